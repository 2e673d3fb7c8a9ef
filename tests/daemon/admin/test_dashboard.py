"""The dashboard: who gets it, what it may do, and that it asks for and reads only what there is.

What its script reckons is tested by figures.test.mjs, by hand, where node is.
"""

from __future__ import annotations

import json
import re
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import pytest
import trio

import gossipmesh
from adminlab import Node, asked, get, over_tcp, over_unix, said
from gossipmesh.daemon.admin.answers import PATHS
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.dashboard import MAX_RANGES, PAGE, SCRIPTS, STYLE, wants_page
from gossipmesh.daemon.admin.event_stream import CONTENT_TYPE as STREAM_TYPE
from gossipmesh.daemon.admin.receiving import MAX_HEAD
from gossipmesh.daemon.admin.view import Endpoints, Members, Services, Status
from gossipmesh.daemon.telemetry.metrics import Metrics

ROOT: Final = Path(__file__).parents[3]
PACKAGE: Final = Path(gossipmesh.__file__).parent
PARTS: Final = PACKAGE / "daemon" / "admin" / "page"
MAX_BYTES: Final = 30_000
MAX_LINES: Final = 400
FIREFOX: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROMIUM: Final = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
DOCUMENTS: Final[dict[str, type]] = {
    "/v1/status": Status,
    "/v1/members": Members,
    "/v1/services": Services,
    "/v1/services/NAME": Endpoints,
    "/v1/check": Checked,
}


def page() -> str:
    return PAGE.body.decode()


def script() -> str:
    (found,) = re.findall(r'<script type="module">(.*)</script>', page(), re.DOTALL)
    return found


def style() -> str:
    (found,) = re.findall(r"<style>(.*)</style>", page(), re.DOTALL)
    return found


def policy() -> dict[str, str]:
    """Give the page's policy: the sources of each directive."""
    (value,) = [value for name, value in PAGE.more if name == "content-security-policy"]
    directives = [each.strip().partition(" ") for each in value.split(";")]
    assert len(dict((name, sources) for name, _, sources in directives)) == len(directives)
    return {name: sources for name, _, sources in directives}


def of(accept: str) -> str:
    return f"Accept: {accept}\r\nConnection: close\r\n"


async def heads(method: str, more: str) -> tuple[dict[str, str], bytes]:
    """Ask for ``/`` over TCP; give the headers and the body of a good answer."""
    async with over_tcp(Node()) as address:
        raw = get("/", str(address), method=method, more=more)
        stream = await trio.open_tcp_stream(address.host, address.port)
        head, _, body = (await said(stream, raw)).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


@pytest.mark.parametrize(
    "accept",
    [
        FIREFOX,
        CHROMIUM,
        "text/html",
        "TEXT/HTML",
        "text/html;charset=utf-8",
        "text/html ; q=0.2",
        "text/plain;q=0.5, text/html",
        "text/plain;q=0, */*",
        "text/*;q=0.1, text/html;q=0.2",
    ],
)
def test_who_likes_html_more_than_plain_text_gets_the_page(accept: str) -> None:
    assert wants_page(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/*",
        "text/plain",
        "application/json",
        "text/html;q=0",
        "text/html;q=0, */*",
        "text/html;q=0.5, */*;q=0.8",
        "text/html, text/plain",
        "text/html;q=0.0",
        "text/html;q=2",
        "text/html;q=-1",
        "text/html;q=nan",
        "text/html;q=",
        "text/html;q=0.\u0663",
        "text",
        "html",
        ";q=1",
        ",,,",
        "application/xhtml+xml",
    ],
)
def test_all_others_get_the_list(accept: str) -> None:
    assert not wants_page(accept)


def test_of_an_accept_without_end_only_the_beginning_is_looked_at() -> None:
    assert wants_page(",".join(["a/b"] * (MAX_RANGES - 1) + ["text/html"]))
    assert not wants_page(",".join(["a/b"] * MAX_RANGES + ["text/html"]))
    assert not wants_page("," * MAX_HEAD)
    assert not wants_page("text/html;q=" + "9" * MAX_HEAD)


async def test_curl_gets_the_list_and_a_browser_the_page() -> None:
    for more in ("Connection: close\r\n", of("*/*"), of("text/html;q=0")):
        found, body = await heads("GET", more)
        assert (found["content-type"], body) == ("text/plain; charset=utf-8", PATHS.encode())
        assert found["vary"] == "Accept"
        assert "content-security-policy" not in found
    for accept in (FIREFOX, CHROMIUM):
        found, body = await heads("GET", of(accept))
        assert (found["content-type"], body) == ("text/html; charset=utf-8", PAGE.body)
        assert found["vary"] == "Accept"
        assert found["cache-control"] == "no-store"
        assert found["x-content-type-options"] == "nosniff"
        assert found["referrer-policy"] == "no-referrer"


async def test_what_is_accepted_may_be_said_in_several_lines() -> None:
    found, _ = await heads("GET", "Accept: image/webp\r\n" + of("text/html"))
    assert found["content-type"].startswith("text/html")
    found, _ = await heads("GET", "Accept: text/html\r\n" + of("text/plain"))
    assert found["content-type"].startswith("text/plain")


async def test_a_head_is_that_of_the_page_or_the_list() -> None:
    for accept in (CHROMIUM, "*/*"):
        whole, body = await heads("GET", of(accept))
        found, nothing = await heads("HEAD", of(accept))
        assert (found, nothing) == (whole, b"")
        assert found["content-length"] == str(len(body))


async def test_only_the_very_root_is_the_page() -> None:
    async with over_tcp(Node()) as address:
        assert await asked(address, get("/?a=b", str(address), more=of(CHROMIUM))) == (200, PAGE.body)
        for path in ("//", "/index.html", "/main.js", "/page/main.js"):
            assert (await asked(address, get(path, str(address), more=of(CHROMIUM))))[0] == 404
        assert (await asked(address, get("/", str(address), method="POST", more=of(CHROMIUM))))[0] == 405


async def test_the_page_is_for_our_own_host_and_for_no_page_of_another_origin() -> None:
    async with over_tcp(Node()) as address:
        assert (await asked(address, get("/", "evil.example", more=of(CHROMIUM))))[0] == 421
        more = f"Sec-Fetch-Site: cross-site\r\n{of(CHROMIUM)}"
        assert (await asked(address, get("/", str(address), more=more)))[0] == 403


async def test_the_owners_socket_has_the_page_too(tmp_path: Path) -> None:
    async with over_unix(Node(), tmp_path / "s"):
        stream = trio.SocketStream(trio.socket.socket(trio.socket.AF_UNIX))
        await stream.socket.connect(str(tmp_path / "s"))
        assert (await said(stream, get("/", "x", more=of(CHROMIUM)))).endswith(PAGE.body)


def test_nothing_runs_but_this_script_and_it_asks_nobody_but_this_daemon() -> None:
    def hashed(text: str) -> str:
        return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

    assert policy() == {
        "default-src": "'none'",
        "script-src": hashed(script()),
        "style-src": hashed(style()),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_page_is_its_parts_without_their_comments() -> None:
    assert {path.name for path in PARTS.iterdir()} == {"index.html", STYLE, *SCRIPTS}
    pieces = "".join((PARTS / name).read_text("utf-8") for name in SCRIPTS).splitlines()
    assert script().splitlines() == [line for line in pieces if not line.strip().startswith("//")]
    assert "/*" not in style()
    assert "*/" not in style()
    assert page().count("</script") == page().count("</style") == 1


def test_the_page_refers_to_nothing_outside() -> None:
    assert re.findall(r"https?:|src=|href=|url\(|@import|\bimport\b|srcset|<link|<iframe", page()) == []
    # One way to ask, and one to listen; neither with a method of its own, so all that it asks is GET.
    asking = (
        r"\bfetch\(|EventSource\(|XMLHttpRequest|sendBeacon|WebSocket|Worker|location|window\.open|method"
    )
    assert sorted(re.findall(asking, page())) == ["EventSource(", "fetch("]


def test_text_becomes_no_markup() -> None:
    """The policy sees to it in browsers that know trusted types; this does for the others."""
    sinks = r"innerHTML|outerHTML|insertAdjacent|document\.write|createContextualFragment|DOMParser|srcdoc"
    code = r"\beval\b|\bFunction\(|setTimeout\(\s*[\"'`]|javascript:|\son\w+="
    assert re.findall(f"{sinks}|{code}", page()) == []


def test_the_page_is_small() -> None:
    assert len(PAGE.body) < MAX_BYTES
    for part in PARTS.iterdir():
        assert part.read_text("utf-8").count("\n") <= MAX_LINES


def shapes() -> dict[str, Any]:
    """Give what the script reads of each document; it is written as JSON there."""
    found = re.search(r"^const SHAPES = (\{.*?^\});$", script(), re.DOTALL | re.MULTILINE)
    assert found is not None
    read: dict[str, Any] = json.loads(found[1])
    return read


def differing(shape: Any, declared: Any, at: str) -> Iterator[str]:
    """Give where ``shape`` has a key that the daemon does not declare, or another type for it."""
    if get_origin(declared) is UnionType:
        yield f"{at}: may be several things"
    elif isinstance(shape, dict):
        known = get_type_hints(declared)
        for key, value in shape.items():
            if key in known:
                yield from differing(value, known[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}: not there"
    elif isinstance(shape, list):
        if get_origin(declared) is not list or len(shape) != 1:
            yield f"{at}: no list"
        else:
            yield from differing(shape[0], get_args(declared)[0], f"{at}[]")
    else:
        types = {type(each) for each in get_args(declared)} if get_origin(declared) is Literal else {declared}
        if not types <= ({int, float} if type(shape) is int else {type(shape)}):
            yield f"{at}: {declared}"


def test_every_key_that_the_script_reads_is_one_that_the_daemon_declares() -> None:
    assert shapes().keys() == DOCUMENTS.keys()
    wrong = [each for path in DOCUMENTS for each in differing(shapes()[path], DOCUMENTS[path], path)]
    assert wrong == []


def test_the_comparison_of_keys_sees_what_differs() -> None:
    shape = {
        "name": 0,
        "uptime": 0,
        "services": [{"port": "", "nothing": ""}],
        "clones": "",
        "listen": {"proxy": ""},
    }
    assert list(differing(shape, Status, "s")) == [
        "s.name: <class 'str'>",
        "s.uptime: not there",
        "s.services[].port: <class 'int'>",
        "s.services[].nothing: not there",
        "s.clones: list[str]",
        "s.listen.proxy: may be several things",
    ]


def test_the_script_reads_no_document_but_by_its_shape() -> None:
    """A key that no shape has is undefined to it, so what is compared is all that it reads."""
    assert (
        script().count("JSON.parse(")
        == len(re.findall(r"shaped\(SHAPES\[[^,]*, JSON\.parse\(", script()))
        == 2
    )
    assert ".json(" not in script()


def test_the_metrics_and_labels_that_the_script_reads_are_counted() -> None:
    names = re.findall(r'= "(gossipmesh_\w+)\{"', script())
    assert len(names) == 2
    metrics = Metrics()
    metrics.request(direction="outbound", service="hello", method="GET", code=200, flag="", duration_s=0.002)
    lines = metrics.text().decode().splitlines()
    found = [line for line in lines if line.startswith(tuple(f"{name}{{" for name in names))]
    assert {line.partition("{")[0] for line in found} == set(names)
    labels = set(re.findall(r'labels\.get\("(\w+)"\)', script()))
    assert labels == {"direction", "service", "code", "flag", "le"}
    assert labels <= {label for line in found for label in re.findall(r'(\w+)="', line)}


async def test_every_path_that_the_script_asks_for_is_answered() -> None:
    paths = set(re.findall(r"[\"'`](/[^\"'`\s]*)[\"'`]", script()))
    assert paths == {*DOCUMENTS, "/metrics", "/v1/events?types=services,members"}
    async with over_tcp(Node()) as address:
        for path in paths - {"/v1/events?types=services,members"}:
            status, body = await asked(address, get(path.replace("NAME", "hello"), str(address)))
            assert status == 200, path
            assert path == "/metrics" or json.loads(body).keys() >= shapes()[path].keys()
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            await stream.send_all(get("/v1/events?types=services,members", str(address)))
            head = await stream.receive_some(4096)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert STREAM_TYPE.encode() in head


def test_the_parts_are_in_the_wheel() -> None:
    """The wheel has all of the package's files but those that are left out by these two."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert settings.keys() == {"targets"}
    assert settings["targets"]["wheel"].keys() == {"packages", "hooks"}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]
    for path in PARTS.rglob("*"):
        within = Path("gossipmesh", path.relative_to(PACKAGE))
        names = {*within.parts, str(within), f"/{within}"}
        assert [each for each in ignored if any(fnmatch(name, each) for name in names)] == [], path

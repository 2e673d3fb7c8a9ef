"""What a request would come to that nobody makes: the same as for one that somebody does."""

from __future__ import annotations

from types import ModuleType

import pytest
from trio.testing import wait_all_tasks_blocked

from gossipmesh.errors import RequestError
from gossipmesh.proxy.dry_run import DryRun, request_of
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outside import External
from gossipmesh.routing.traffic import BreakerLimits, Sticky, Traffic

Headers = list[tuple[str, str]]


def tried(daemon: object, method: str, url: str, headers: Headers | None = None) -> DryRun:
    run: DryRun = daemon.outbound.dry_run(request_of(method, url, headers or []))  # type: ignore[attr-defined]
    return run


def flag(run: DryRun) -> str:
    return "" if run.error is None else f"{run.error.status} {run.error.flag}"


async def test_it_says_what_the_proxy_then_does(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(lab.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        await members.daemon("hello-1", {"hello": port}, tcp={"db": port})
        web = await members.daemon("web-1", external=External("direct", ("example.com",)))
        for method, url, headers, decision, wrong in (
            ("GET", "http://hello/x", [], "send", ""),
            ("GET", "http://hello.mesh:1/x", [], "send", ""),
            ("GET", "/x", [("Host", "hello.mesh")], "send", ""),
            ("CONNECT", f"db:{port}", [], "send", ""),
            ("GET", "http://example.com/", [], "direct", ""),
            ("OPTIONS", "http://hello/", [("Max-Forwards", "0")], "answer", ""),
            ("CONNECT", "db:1", [], "refuse", "405 AZ"),
            ("CONNECT", f"hello:{port}", [], "refuse", "405 AZ"),
            ("TRACE", "http://hello/", [], "refuse", "405 AZ"),
            ("GET", "http://db/", [], "refuse", "403 AZ"),
            ("GET", "http://other.example/", [], "refuse", "403 NR"),
            ("GET", "http://nobody/", [], "refuse", "404 NR"),
            ("GET", "https://hello/", [], "refuse", "400 DPE"),
            ("GET", "/x", [], "refuse", "400 DPE"),
            ("GET", "http://hello/", [("Content-Length", "x")], "refuse", "400 DPE"),
            ("GET", "http://hello/", [("Expect", "tea")], "refuse", "417 DPE"),
            ("GET", "http://hello/", [("Transfer-Encoding", "gzip")], "refuse", "501 DPE"),
            ("POST", "http://hello/", [("Content-Length", "5")], "send", ""),
            ("GET", "http://hello/", [("Upgrade", "websocket"), ("Connection", "upgrade")], "send", ""),
        ):
            run = tried(web, method, url, headers)
            assert (run.decision, flag(run)) == (decision, wrong), url
        await members.ghost("ill", "ill")
        members.endpoints["ill"] = ()
        assert flag(tried(web, "GET", "http://ill/")) == "404 NR"
        assert web.reports == []


async def test_a_request_that_came_by_here_too_often_would_be_refused(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        await members.ghost("hello-1", "hello")
        web = await members.daemon("web-1", limits=ProxyLimits(visits=2))
        assert flag(tried(web, "GET", "http://hello/", [("Via", "1.1 web-1")])) == ""
        assert flag(tried(web, "GET", "http://hello/", [("Via", "1.1 web-1, 1.1 web-1")])) == "508 LP"


async def test_one_too_many_would_be_refused_and_one_behind_others_would_wait(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        await members.ghost("hello-1", "hello")
        full = await members.daemon("full", limits=ProxyLimits(requests_in_flight=0))
        assert flag(tried(full, "GET", "http://hello/")) == "503 UO"
        port = await members.app(lab.silent)
        await members.daemon("slow-1", {"slow": port})
        web = await members.daemon(
            "web-1", traffic={"slow": Traffic(limits=BreakerLimits(in_flight=1, queue=1))}
        )
        assert tried(web, "GET", "http://slow/").decision == "send"
        async with await lab.connect(web) as stream:
            await stream.send_all(b"GET http://slow/ HTTP/1.1\r\nHost: slow\r\n\r\n")
            while tried(web, "GET", "http://slow/").decision == "send":
                await wait_all_tasks_blocked()
            assert tried(web, "GET", "http://slow/").decision == "wait"


async def test_headers_tell_the_session(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        for number in range(8):
            await members.ghost(f"hello-{number}", "hello")
        web = await members.daemon("web-1", traffic={"hello": Traffic(sticky=Sticky("header", "x-user"))})
        chosen = set()
        for user in range(20):
            run = tried(web, "GET", "http://hello/", [("X-User", f"user-{user}")])
            assert run.explanation is not None
            assert run.explanation.choice is not None
            assert run.explanation.choice.session == "hashed"
            assert (
                run.explanation
                == tried(web, "POST", "http://hello/", [("x-user", f"user-{user}")]).explanation
            )
            chosen.add(run.explanation.chosen)
        assert len(chosen) > 2


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GE T", "http://hello/", []),
        ("", "http://hello/", []),
        ("M" * 33, "http://hello/", []),
        ("GET", "http://hello/\r\nX: y", []),
        ("GET", "", []),
        ("GET", "http://h\xe4llo/", []),
        ("GET", "http://hello/", [("a b", "c")]),
        ("GET", "http://hello/", [("a", "b\r\nc: d")]),
        ("GET", "http://hello/", [("a", "\u20ac")]),
        ("GET", "http://hello/", [("Host", "a"), ("host", "b")]),
    ],
)
def test_what_no_head_can_hold_is_no_question(method: str, url: str, headers: Headers) -> None:
    with pytest.raises(RequestError) as raised:
        request_of(method, url, headers)
    assert raised.value.status == 400

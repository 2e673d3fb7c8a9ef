"""An app that is written with a framework, behind one daemon and asked through another's, in both HTTP lanes."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import pytest
from attrs import frozen
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from harness import Mesh, environment, eventually, unused_port
from webapp import pattern
from webclient import TIMEOUT_S, request

pytestmark = pytest.mark.xdist_group("frameworks")

APP: Final = Path(__file__).parents[2] / "examples" / "frameworks" / "app.py"
MIB: Final = 2**20
ONE_HOP: Final = {"date", "connection", "via", "transfer-encoding"}
"""Headers that may differ: they are about one connection, one moment or the way."""


@frozen
class Pair:
    """A client's daemon, and the app itself."""

    proxy: str
    upstream: str
    app: str


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    """Give the address of the app, which runs in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(APP)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast-lane", "h11"])
def pair(request: pytest.FixtureRequest, token: str, app: str) -> Iterator[Pair]:
    mesh = Mesh(token)
    lane = {"GOSSIPMESH_PROXY_FAST_LANE": request.param}
    try:
        upstream = unused_port()
        port = int(app.rpartition(":")[2])
        first = mesh.node("web-1", services={"web": port}, variables=lane).start().ready()
        client = mesh.node("client", "--upstream", f"web={upstream}", join=first, variables=lane).start()
        client.ready()
        eventually(lambda: client.healthy("web") == 1)
        yield Pair(client.listen("proxy"), f"127.0.0.1:{upstream}", app)
    finally:
        mesh.show_logs()
        mesh.close()


class Kept:
    """One connection that is kept for many requests."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, list[Any], bytes]:
        """Give status, headers and body of the answer."""
        chunked = body is not None and not isinstance(body, bytes)
        self._connection.request(method, path, body=body, headers=headers, encode_chunked=chunked)
        answer = self._connection.getresponse()
        kept = [(name.lower(), value) for name, value in answer.getheaders() if name.lower() not in ONE_HOP]
        return answer.status, kept, answer.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_json_comes_with_the_name_of_who_asked(pair: Pair) -> None:
    answer = request(pair.proxy, "http://web/", headers={"x-gossipmesh-node": "someone-else"})
    assert (answer.status, json.loads(answer.body)) == (200, {"hello": "client", "service": ""})


def test_a_query_arrives_as_it_was_written(pair: Pair) -> None:
    answer = request(pair.proxy, "http://web/items/7?q=a%20b%2Fc%26&tag=%C3%A4")
    assert json.loads(answer.body) == {"item": 7, "q": "a b/c&", "tag": "ä"}


def test_the_app_s_own_errors_are_its_own(pair: Pair) -> None:
    for path, status in (("items/-1", 404), ("items/x", 422), ("nothing", 404)):
        answer = request(pair.proxy, f"http://web/{path}")
        assert (answer.status, answer.error) == (status, "")
    answer = request(pair.proxy, "http://web/upload", method="DELETE")
    assert (answer.status, answer.error) == (405, "")
    assert answer.headers["allow"] in ("POST", "PUT")


def test_headers_arrive_in_order_with_what_a_proxy_adds(pair: Pair) -> None:
    answer = request(
        pair.proxy, "http://web/headers", headers={"X-B": "1", "x-a": "2", "x-request-id": "r-1"}
    )
    seen = [tuple(each) for each in json.loads(answer.body)]
    names = [name for name, _ in seen]
    assert names.index("x-b") < names.index("x-a")
    assert dict(seen)["x-gossipmesh-node"] == "client"
    assert dict(seen)["x-request-id"] == "r-1"
    assert dict(seen)["x-forwarded-for"] == "127.0.0.1"
    assert dict(seen)["host"] == "web"


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_arrives_whole(pair: Pair, chunked: bool) -> None:
    body = b"".join(pattern(5 * MIB))
    sent = pattern(len(body)) if chunked else body
    answer = request(pair.proxy, "http://web/upload", method="PUT", body=sent)
    assert json.loads(answer.body) == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def test_curl_waits_for_100_before_it_uploads(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"".join(pattern(2 * MIB)))
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "-v",
            "--max-time",
            "20",
            "-H",
            "Expect: 100-continue",
            "-T",
            str(file),
            "http://web/upload",
        ],
        capture_output=True,
        text=True,
        env=environment() | {"http_proxy": f"http://{pair.proxy}"},
        check=False,
    )
    assert done.stderr.count("< HTTP/1.1 100") == 1
    assert json.loads(done.stdout)["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 70_000, 5 * MIB])
def test_a_stream_comes_down_whole(pair: Pair, size: int) -> None:
    assert request(pair.proxy, f"http://web/stream?size={size}").body == b"".join(pattern(size))


def test_an_event_comes_before_the_next_one_is_sent(pair: Pair) -> None:
    host, _, port = pair.proxy.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    connection.request("GET", "http://web/events")
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.readline() == b": ready\n"
    for text in ("one", "two"):
        told = request(pair.proxy, f"http://web/notify?text={text}", method="POST")
        assert json.loads(told.body) == {"readers": 1}
        assert [answer.readline(), answer.readline()] == [b"\n", f"data: {text}\n".encode()]
    connection.close()
    answer.close()

    def readers() -> int:
        told = request(pair.proxy, "http://web/notify?text=three", method="POST")
        return int(json.loads(told.body)["readers"])

    # The app learns that its reader has left.
    eventually(lambda: readers() == 0)


def test_slow_answers_keep_nobody_waiting(pair: Pair) -> None:
    with ThreadPoolExecutor(8) as threads:
        late = [threads.submit(request, pair.proxy, "http://web/slow?seconds=0.5") for _ in range(7)]
        assert request(pair.proxy, "http://web/items/1").status == 200
        assert {each.result().status for each in late} == {200}


def web_socket(pair: Pair, way: str, path: str = "/ws", **options: Any) -> ClientConnection:
    if way == "upstream":
        return connect(f"ws://{pair.upstream}{path}", proxy=None, **options)
    host, _, port = pair.proxy.rpartition(":")
    return connect(f"ws://web.mesh{path}", sock=socket.create_connection((host, int(port))), **options)


@pytest.mark.parametrize("way", ["upstream", "host"])
def test_a_websocket_carries_messages_of_any_size_both_ways(pair: Pair, way: str) -> None:
    with web_socket(pair, way, subprotocols=["echo"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "echo"
        for message in ("hello", "", "ä" * 70_000, b"\0\xff", b"".join(pattern(900_000))):
            client.send(message)
            assert client.recv(TIMEOUT_S) == message
        assert client.ping().wait(TIMEOUT_S)


def test_either_side_may_close_a_websocket_and_says_why(pair: Pair) -> None:
    with web_socket(pair, "upstream") as client:
        client.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(TIMEOUT_S)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")
    with web_socket(pair, "upstream") as client:
        client.close(4001, "enough")
        assert client.close_code == 4001


def test_a_websocket_that_the_app_refuses_is_refused(pair: Pair) -> None:
    with pytest.raises(InvalidStatus) as refused, web_socket(pair, "host", "/nothing"):
        pass
    assert refused.value.response.status_code in (403, 404)
    assert "x-gossipmesh-error" not in refused.value.response.headers


def mixed(dice: random.Random) -> tuple[str, str, Any, dict[str, str]]:
    """Give one request: method, path, what makes its body, headers."""
    size = dice.choice([0, 1, 1_000, 16_384, 16_385, 70_000, 200_000])
    mark = {"X-Request-Id": f"{dice.getrandbits(64):x}"} if dice.random() < 0.5 else {}
    number = dice.randrange(-3, 1_000)
    match dice.randrange(8):
        case 0 | 1:
            return "GET", f"/items/{number}?q={'x' * dice.randrange(300)}&tag={number}", None, mark
        case 2:
            return dice.choice(["HEAD", "OPTIONS", "DELETE"]), f"/items/{number}", None, mark
        case 3 | 4:
            return "POST", "/upload", lambda: bytes(size), mark
        case 5:
            return "PUT", "/upload", lambda: iter([b"a" * 10, bytes(size) or b"b", b"c"]), mark
        case 6:
            return "GET", f"/stream?size={size}", None, mark
        case _:
            return "GET", "/nothing", None, mark | {"Cookie": "a=1; b=2", "Accept": "*/*"}


def test_hundreds_of_mixed_requests_are_answered_as_by_the_app_itself(pair: Pair) -> None:
    dice = random.Random(4)
    with Kept(pair.upstream) as through, Kept(pair.app) as straight:
        for _ in range(300):
            method, path, body, headers = mixed(dice)
            asked = [
                each.ask(method, path, None if body is None else body(), headers)
                for each in (through, straight)
            ]
            assert asked[0] == asked[1], f"{method} {path} {headers}"

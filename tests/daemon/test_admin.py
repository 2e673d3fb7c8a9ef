from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from gossipmesh.daemon.admin import (
    FIRST_REQUEST_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    serve_tcp,
    serve_unix,
)
from gossipmesh.daemon.answers import PATHS
from gossipmesh.daemon.changes import Picture
from gossipmesh.daemon.identities import Identities, Revocations
from gossipmesh.daemon.metrics import Metrics
from gossipmesh.daemon.news import News
from gossipmesh.daemon.places import MAX_CONNECTIONS
from gossipmesh.daemon.receiving import MAX_HEAD, MAX_OFFERED
from gossipmesh.daemon.view import Endpoints, Members, Readiness, Services, Status
from gossipmesh.errors import MeshError, StateError
from gossipmesh.model import Address

NOTHING = Picture({}, {}, "", lambda _: None, lambda _: {})


class Node:
    """A node that knows itself and one service, and has not left yet."""

    def __init__(self, *, waits_for: str = "") -> None:
        self.readiness = Readiness(not waits_for, waits_for)
        self.drained = self.left = False
        self.recorded = True
        self.offered: list[tuple[str, bytes]] = []
        self.news = News(lambda: NOTHING, first=1, rng=Random(1))

    async def offer(self, kind: str, raw: bytes) -> str:
        await trio.lowlevel.checkpoint()
        self.offered.append((kind, raw))
        return "taken" if raw == b"good" else "refused: version 3 is older"

    def revocations(self) -> Revocations:
        return {"revocations": []}

    def identities(self) -> Identities:
        return {"identities": []}

    def status(self) -> Status:
        return {
            "name": "web-1",
            "id": "ab" * 32,
            "mesh": "cd" * 32,
            "version": "0.1.0",
            "uptime_s": 1.5,
            "listen": {"mesh": "0.0.0.0:7946", "proxy": None, "admin": None, "dns": None},
            "address": "10.0.0.1:7946",
            "members": {"alive": 1, "suspect": 0, "dead": 0, "left": 0},
            "agreement": 1.0,
            "awareness": 0,
            "policy_version": 0,
            "services": [],
            "chain_expires_at": 1_900_000_000,
            "bundle": 0,
            "roots": [],
            "clones": [],
        }

    def members(self) -> Members:
        return {"members": []}

    def services(self) -> Services:
        return {"services": [{"name": "hello", "endpoints": 1, "healthy": 1}]}

    def endpoints(self, name: str) -> Endpoints | None:
        return {"service": "hello", "endpoints": []} if name == "hello" else None

    def config(self) -> Mapping[str, object]:
        return {"node.name": {"value": "web-1", "origin": "default"}}

    def ready(self) -> Readiness:
        return self.readiness

    def metrics_text(self) -> bytes:
        return Metrics().text()

    def trace(self) -> bytes:
        if not self.recorded:
            raise MeshError("trace.none", "there is no recording: nothing was recorded yet")
        return b"gossipmesh trace"

    async def drain(self) -> None:
        await trio.lowlevel.checkpoint()
        self.drained = True

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()
        self.left = True


@asynccontextmanager
async def over_tcp(node: Node) -> AsyncIterator[Address]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_tcp, node, Address("127.0.0.1", 0)))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def over_unix(node: Node, path: Path) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, path))
        yield
        nursery.cancel_scope.cancel()


async def said(stream: trio.SocketStream, raw: bytes) -> bytes:
    """Send ``raw`` and give everything that comes until the end."""
    async with stream:
        await stream.send_all(raw)
        return b"".join([part async for part in stream])


def get(path: str, host: str, *, method: str = "GET", more: str = "Connection: close\r\n") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


async def asked(address: Address, raw: bytes) -> tuple[int, bytes]:
    """Ask once over TCP; give the status and body."""
    answer = await said(await trio.open_tcp_stream(address.host, address.port), raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_every_path_of_the_list_answers() -> None:
    async with over_tcp(Node()) as address:
        for path in ("/status", "/members", "/services", "/services/hello", "/endpoints/hello", "/config"):
            status, body = await asked(address, get(f"/v1{path}", str(address)))
            assert (status, type(json.loads(body))) == (200, dict)
        assert await asked(address, get("/healthz", str(address))) == (200, b"alive\n")
        assert await asked(address, get("/readyz?verbose", str(address))) == (200, b"ready\n")
        assert b"gossipmesh_policy_version" in (await asked(address, get("/metrics", str(address))))[1]
        assert b"/v1/status" in (await asked(address, get("/", str(address))))[1]


async def test_a_node_that_is_not_ready_says_why() -> None:
    async with over_tcp(Node(waits_for="no seed answered yet")) as address:
        assert await asked(address, get("/readyz", str(address))) == (503, b"no seed answered yet\n")
        assert (await asked(address, get("/healthz", str(address))))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/services/",
        "/v1/services/Hello",
        "/v1/services/other",
        "/v1/status/",
        "//",
        "/../",
        "*",
        "http://127.0.0.1/healthz",
    ],
)
async def test_a_path_or_service_that_is_not_there_is_not_found(path: str) -> None:
    async with over_tcp(Node()) as address:
        assert (await asked(address, get(path, str(address))))[0] == 404


async def test_the_host_may_be_ours_with_its_port_or_without() -> None:
    async with over_tcp(Node()) as address:
        for host in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]"):
            assert (await asked(address, get("/healthz", host)))[0] == 200
            assert (await asked(address, get("/healthz", f"{host}:{address.port}")))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1:1", "", "127.1", "localhost:"]
)
async def test_a_browser_page_that_calls_us_by_its_own_name_is_refused(host: str) -> None:
    async with over_tcp(Node()) as address:
        assert (await asked(address, get("/v1/status", host)))[0] == 421


@pytest.mark.parametrize(
    "more",
    [
        "Origin: https://evil.example",
        "Origin: http://127.0.0.1:1",
        "Origin: null",
        "Origin: http://localhost\r\nOrigin: https://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
    ],
)
async def test_a_page_of_another_origin_is_refused_though_it_calls_us_by_our_address(more: str) -> None:
    """A browser sends such a GET under our own Host, and only keeps its answer from the page."""
    async with over_tcp(Node()) as address:
        raw = get("/v1/status", str(address), more=f"{more}\r\nConnection: close\r\n")
        assert (await asked(address, raw))[0] == 403
        assert (await asked(address, get("/v1/status", str(address))))[0] == 200


async def test_what_a_browser_says_of_a_person_who_typed_our_address_is_let_in() -> None:
    async with over_tcp(Node()) as address:
        for more in (f"Origin: http://{address}", "Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin"):
            raw = get("/v1/status", str(address), more=f"{more}\r\nConnection: close\r\n")
            assert (await asked(address, raw))[0] == 200


async def test_a_request_without_a_host_is_refused() -> None:
    async with over_tcp(Node()) as address:
        assert (await asked(address, b"GET /healthz HTTP/1.0\r\n\r\n"))[0] == 421


async def test_nothing_can_be_changed_over_tcp() -> None:
    """Whatever the API lists: a change that somebody adds is tried here too."""
    changes = {line.split()[1] for line in PATHS.splitlines() if line.startswith("POST ")}
    assert changes >= {"/v1/drain", "/v1/leave"}
    node = Node()
    async with over_tcp(node) as address:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT"):
            for change in changes:
                assert (await asked(address, get(change, str(address), method=method)))[0] == 405
    assert not node.drained
    assert not node.left


async def test_the_unix_socket_is_the_owners_and_takes_changes(tmp_path: Path) -> None:
    node, path = Node(), tmp_path / "admin.sock"
    async with over_unix(node, path):
        assert path.stat().st_mode & 0o777 == 0o600
        answer = await said(await trio.open_unix_socket(path), get("/v1/drain", "localhost", method="POST"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert (node.drained, node.left) == (True, False)
        answer = await said(await trio.open_unix_socket(path), get("/v1/leave", "localhost", method="POST"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert node.left
        answer = await said(await trio.open_unix_socket(path), get("/v1/leave", "localhost", method="PUT"))
        assert answer.startswith(b"HTTP/1.1 405 ")
    assert not path.exists()


async def test_the_recording_is_the_owners_alone(tmp_path: Path) -> None:
    node, path = Node(), tmp_path / "admin.sock"
    async with over_tcp(node) as address:
        for target in ("/v1/trace", "/v1/trace?all"):
            assert (await asked(address, get(target, str(address))))[0] == 403
    async with over_unix(node, path):
        answer = await said(await trio.open_unix_socket(path), get("/v1/trace", "localhost"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"gossipmesh trace")
        node.recorded = False
        answer = await said(await trio.open_unix_socket(path), get("/v1/trace", "localhost"))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"nothing was recorded yet" in answer


async def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.touch()
    async with over_unix(Node(), path):
        answer = await said(await trio.open_unix_socket(path), get("/healthz", "x"))
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_what_cannot_be_replaced_by_a_socket_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.mkdir()
    with pytest.raises(StateError, match=f"{path} cannot be made: Is a directory; remove what is there"):
        await serve_unix(Node(), path)
    assert path.is_dir()
    with pytest.raises(StateError, match="cannot be made: No such file or directory"):
        await serve_unix(Node(), tmp_path / "none" / "admin.sock")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (
            get("/healthz", "localhost", more="Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
            + b"0\r\n\r\n",
            400,
        ),
        (
            get("/healthz", "localhost", more="Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")
            + b"0\r\n\r\n",
            400,
        ),
    ],
)
async def test_what_proxies_could_read_in_two_ways_is_refused_and_ends_the_connection(
    raw: bytes, status: int
) -> None:
    async with over_tcp(Node()) as address:
        answer = await said(await trio.open_tcp_stream(address.host, address.port), raw)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_head_request_is_answered_without_a_body() -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        answer = await said(stream, get("/healthz", str(address), method="HEAD"))
        assert b"content-length: 6\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


async def test_a_connection_takes_several_requests() -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        two = get("/healthz", str(address), more="") + get("/readyz", str(address))
        answer = await said(stream, two)
        assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_a_body_is_refused_and_ends_the_connection() -> None:
    async with over_tcp(Node()) as address:
        raw = get("/healthz", str(address), more="Content-Length: 5\r\n") + b"hello"
        assert (await asked(address, raw))[0] == 413


async def test_a_head_without_end_is_cut_off() -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        answer = await said(stream, b"GET / HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD + 1))
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"a request's head has at most 16384 bytes here" in answer


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01\x00\xa5", b"GET / HTTP/1.1\r\n\r\n\r\n", b"\r\n\r\n\r\n", b""]
)
async def test_what_is_no_request_gets_no_more_than_an_error(raw: bytes) -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        await stream.send_all(raw)
        await stream.send_eof()
        answer = b"".join([part async for part in stream])
        await stream.aclose()
        assert not answer or answer.split()[1].startswith(b"4")
        assert (await asked(address, get("/healthz", str(address))))[0] == 200


async def test_a_connection_that_asks_nothing_is_closed_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with over_tcp(Node()) as address:
        for raw in (b"", b"GET / HT"):
            began = trio.current_time()
            stream = await trio.open_tcp_stream(address.host, address.port)
            async with stream:
                if raw:
                    await stream.send_all(raw)
                assert await stream.receive_some() == b""
            assert trio.current_time() - began == pytest.approx(FIRST_REQUEST_TIMEOUT_S, abs=0.5)


async def test_a_connection_that_has_asked_may_think_longer(autojump_clock: trio.testing.MockClock) -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        began = trio.current_time()
        assert (await said(stream, get("/healthz", str(address), more=""))).startswith(b"HTTP/1.1 200 ")
        assert trio.current_time() - began == pytest.approx(REQUEST_TIMEOUT_S, abs=0.5)


async def test_where_no_place_is_free_the_connection_that_is_idle_longest_goes() -> None:
    async with over_tcp(Node()) as address, AsyncExitStack() as held:
        kept = []
        for _ in range(MAX_CONNECTIONS):
            stream = await trio.open_tcp_stream(address.host, address.port)
            kept.append(await held.enter_async_context(stream))
            await stream.send_all(get("/healthz", str(address), more=""))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        for _ in range(2):
            assert (await asked(address, get("/healthz", str(address))))[0] == 200
        assert await kept[0].receive_some() == b""
        await kept[-1].send_all(get("/readyz", str(address), more=""))
        assert (await kept[-1].receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_connections_that_say_nothing_keep_nobody_out() -> None:
    async with over_tcp(Node()) as address, AsyncExitStack() as held:
        for _ in range(MAX_CONNECTIONS + 6):
            await held.enter_async_context(await trio.open_tcp_stream(address.host, address.port))
        with trio.fail_after(FIRST_REQUEST_TIMEOUT_S - 0.5):
            assert (await asked(address, get("/readyz", str(address))))[0] == 200


async def test_an_answer_names_no_script_that_a_browser_would_run() -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        answer = await said(stream, get("/v1/services/<script>", str(address)))
        assert b"x-content-type-options: nosniff" in answer
        assert b"<script>" not in answer


async def test_what_is_signed_for_the_mesh_comes_as_a_body_over_the_unix_socket_only(tmp_path: Path) -> None:
    def offer(raw: bytes) -> bytes:
        head = get("/v1/charter/policy", "localhost", method="POST", more=f"Content-Length: {len(raw)}\r\n")
        return head + raw

    node, path = Node(), tmp_path / "admin.sock"
    async with over_unix(node, path):
        for raw, status in ((b"good", b"200"), (b"bad", b"409"), (bytes(MAX_OFFERED + 1), b"413")):
            answer = await said(await trio.open_unix_socket(path), offer(raw))
            assert answer.startswith(b"HTTP/1.1 " + status), answer
            if status == b"409":
                assert b'"error": "version 3 is older"' in answer
        assert node.offered == [("policy", b"good"), ("policy", b"bad")]
    async with over_tcp(node) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        assert (await said(stream, offer(b"good"))).startswith(b"HTTP/1.1 4")
    assert len(node.offered) == 2

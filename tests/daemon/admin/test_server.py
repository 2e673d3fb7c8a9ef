from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest
import trio

from adminlab import Node, asked, get, over_tcp, said
from gossipmesh.daemon.admin.answers import PATHS
from gossipmesh.daemon.admin.places import MAX_CONNECTIONS
from gossipmesh.daemon.admin.receiving import MAX_HEAD
from gossipmesh.daemon.admin.server import (
    FIRST_REQUEST_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    WRITE_TIMEOUT_S,
)


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
        body = get("/v1/own-services/x", str(address), method="PUT", more="Content-Length: 2\r\n") + b"{}"
        assert (await asked(address, body))[0] == 405
    assert not node.drained
    assert not node.left


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


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get("/healthz", "localhost", method="HEAD", more="Content-Length: 2\r\n") + b"{}", 413),
        (get("/v1/events", "localhost", method="HEAD", more="Content-Length: 2\r\n") + b"{}", 413),
        (b"HEAD /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (
            get("/", "localhost", method="HEAD", more="Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
            + b"0\r\n\r\n",
            400,
        ),
        (get("/", "localhost", method="HEAD", more="Transfer-Encoding: chunked\r\n") + b"no chunk\r\n", 400),
    ],
)
async def test_a_head_request_that_is_refused_before_its_end_has_no_body_either(
    raw: bytes, status: int
) -> None:
    async with over_tcp(Node()) as address:
        answer = await said(await trio.open_tcp_stream(address.host, address.port), raw)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.endswith(b"\r\n\r\n")
        assert (await asked(address, get("/healthz", str(address))))[0] == 200


async def test_a_head_request_for_events_has_the_head_of_a_stream() -> None:
    """Which has no length, though HEAD ends at once (RFC 9110, section 8.6)."""
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        answer = await said(stream, get("/v1/events", str(address), method="HEAD"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"content-type: text/event-stream\r\n" in answer
        assert b"content-length" not in answer
        assert answer.endswith(b"\r\n\r\n")


async def test_a_connection_takes_several_requests() -> None:
    async with over_tcp(Node()) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        two = get("/healthz", str(address), more="") + get("/readyz", str(address))
        answer = await said(stream, two)
        assert answer.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("behind", ["/healthz", "/v1/events"])
async def test_nothing_follows_an_answer_that_was_not_taken_in_time(
    behind: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Who reads on would take what follows for a part of the body before it."""

    class Large(Node):
        def metrics_text(self) -> bytes:
            return b"#" * 2**24

    async with over_tcp(Large()) as address, await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(
            get("/metrics", str(address), more="") + get(behind, str(address)) + get("/healthz", str(address))
        )
        await trio.sleep(WRITE_TIMEOUT_S + 1)
        answer = b"".join([part async for part in stream])
        assert len(answer) < 2**24
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_follower_that_does_not_even_take_the_head_is_let_go_of(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with over_tcp(Node()) as address, await trio.open_tcp_stream(address.host, address.port) as stream:
        began = trio.current_time()
        # Answers that are not read, until one of them does not fit between the two any more.
        asked = get("/metrics", str(address), more="") * 400 + get("/v1/events", str(address), more="") * 400
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await stream.send_all(asked)
        assert trio.current_time() - began < 3 * WRITE_TIMEOUT_S


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

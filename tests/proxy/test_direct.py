"""Requests to hosts outside the mesh, with names of our own making and raw sockets as the hosts."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outside import External

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ALLOWED = External("direct", ("example.com", "*.example.com"))


@define
class Names(trio.abc.HostnameResolver):
    """The names of one test. What is not there does not exist."""

    addresses: dict[str, list[str]]
    asked: list[str] = field(factory=list)

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_: Any, **__: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        if name == "slow.example.com":
            await trio.sleep_forever()
        if name == "broken.example.com":
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        if name not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in self.addresses[name]
        ]

    async def getnameinfo(self, *_: Any) -> Any:
        raise AssertionError("nobody asks for names of addresses")


NAMES = {
    "example.com": ["127.0.0.1"],
    "a.example.com": ["169.254.169.254", "127.0.0.1"],
    "metadata.example.com": ["169.254.169.254", "fe80::1"],
}


@asynccontextmanager
async def outside(
    lab: ModuleType, handler: Any, *, limits: ProxyLimits | None = None, external: External = ALLOWED
) -> AsyncIterator[tuple[Any, int]]:
    """Give a daemon that may reach example.com, and the port of the host of that name."""
    names = Names(NAMES)
    trio.socket.set_custom_hostname_resolver(names)
    async with lab.mesh() as members:
        port = await members.app(handler)
        yield await members.daemon("web-1", limits=limits, external=external, speaks_as="web"), port


async def read_head(stream: trio.SocketStream) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        data = await stream.receive_some(1)
        assert data, f"closed after {received!r}"
        received += data
    return received


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


def get(port: int, *lines: bytes, name: bytes = b"example.com") -> bytes:
    head = b"GET http://%b:%d/x?y=1 HTTP/1.1\r\nHost: other\r\nConnection: close\r\n" % (name, port)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


async def test_a_request_to_the_outside_tells_nothing_of_the_mesh_but_via(lab: ModuleType) -> None:
    seen: list[bytes] = []
    answer = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nx-gossipmesh-error: UH\r\nX-Gossipmesh-Source: admin\r\n"
        b"Keep-Alive: timeout=5\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok"
    )
    async with outside(lab, lab.answering(answer, seen=seen)) as (web, port):
        received = await lab.ask(
            web,
            get(
                port,
                b"X-Gossipmesh-Node: web-1",
                b"x_gossipmesh_source: web",
                b"Proxy-Authorization: Basic x",
                b"A: \xe4",
                b"X-Forwarded-For: 10.0.0.1",
            ),
        )
    assert seen == [
        b"GET /x?y=1 HTTP/1.1\r\nHost: example.com:%d\r\nA: \xe4\r\nX-Forwarded-For: 10.0.0.1\r\n"
        b"Via: 1.1 web-1\r\nConnection: close\r\n\r\n" % port
    ]
    assert received == (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\nVia: 1.1 web-1\r\n"
        b"Connection: close\r\n\r\nok"
    )
    report = web.report
    assert (report.service, report.endpoint, report.attempts) == ("", f"example.com:{port}", 1)
    assert (report.source, report.method, report.path, report.code) == ("web", "GET", "/x", 200)
    assert (report.flag, report.bytes_in, report.bytes_out) == ("", 0, 2)
    assert web.outcomes == []


async def test_a_connection_of_an_app_serves_requests_to_both_worlds(lab: ModuleType) -> None:
    async with outside(lab, lab.answering(OK, OK)) as (web, port):
        keep = get(port).replace(b"Connection: close\r\n", b"")
        received = await lab.ask(
            web, keep + b"GET http://nobody/ HTTP/1.1\r\nHost: nobody\r\n\r\n" + get(port)
        )
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.count(b"HTTP/1.1 404 Not Found\r\n") == 1


@pytest.mark.parametrize(
    ("framing", "sent", "expected"),
    [
        (b"Content-Length: 5", b"hello", b"hello"),
        (
            b"Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: Digest",
            b"5;x=y\r\nhello\r\n0\r\nDigest: y\r\nHost: evil\r\n\r\n",
            b"5\r\nhello\r\n0\r\nDigest: y\r\n\r\n",
        ),
    ],
)
async def test_bodies_and_trailers_go_out_and_come_in(
    lab: ModuleType, framing: bytes, sent: bytes, expected: bytes
) -> None:
    seen: list[bytes] = []
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n"
        b"Digest: x\r\nx-gossipmesh-error: UH\r\n\r\n"
    )
    async with outside(lab, lab.answering(answer, seen=seen)) as (web, port):
        received = await lab.ask(web, get(port, framing).replace(b"GET", b"POST", 1) + sent)
    assert seen[0].partition(b"\r\n\r\n")[2] == expected
    assert received.endswith(b"5\r\nhello\r\n0\r\nDigest: x\r\n\r\n")
    assert web.report.bytes_in == web.report.bytes_out == 5


async def test_large_bodies_go_both_ways(lab: ModuleType) -> None:
    body = bytes(range(256)) * 12_000
    async with outside(lab, lab.echo) as (web, port):
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            head = get(port, b"Content-Length: %d" % len(body)).replace(b"GET", b"PUT", 1)
            nursery.start_soon(stream.send_all, head + body)
            received = await read_all(stream)
    assert received.partition(b"\r\n\r\n")[2] == body


async def test_what_a_host_sends_comes_at_once(lab: ModuleType) -> None:
    async def endless(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await stream.receive_some(1)

    async with outside(lab, endless) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(get(port))
            await lab.read_until(stream, b"1\r\na\r\n")


async def test_a_caller_that_reads_nothing_stops_the_host(lab: ModuleType) -> None:
    sent = 0
    stopped = trio.Event()

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal sent
        await read_head(stream)
        try:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**30)
            while True:
                await stream.send_all(bytes(65_536))
                sent += 65_536
        except trio.BrokenResourceError:
            stopped.set()

    async with outside(lab, flood) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(get(port))
            await stream.receive_some(1)
            await wait_all_tasks_blocked(0.1)
        await stopped.wait()
        await lab.until(lambda: web.reports)
        assert web.report.flag == "DC"
        # The rest is in the kernel's buffers, of three sockets.
        assert sent - web.report.bytes_out < 64 * 2**20


async def test_interim_responses_come_in_but_for_100(lab: ModuleType) -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx-gossipmesh-error: x\r\nLink: </a>\r\n\r\n"
        + OK
    )
    async with outside(lab, lab.answering(answer)) as (web, port):
        received = await lab.ask(web, get(port))
    assert received.startswith(b"HTTP/1.1 103 \r\nLink: </a>\r\nVia: 1.1 web-1\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_an_expectation_is_met_here(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with outside(lab, lab.answering(OK, seen=seen)) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            head = get(port, b"Content-Length: 5", b"Expect: 100-continue")
            await stream.send_all(head.replace(b"GET", b"PUT", 1))
            assert await read_head(stream) == b"HTTP/1.1 100 \r\n\r\n"
            await stream.send_all(b"hello")
            assert (await read_all(stream)).endswith(b"ok")
    assert b"xpect" not in seen[0]


@pytest.mark.parametrize(
    ("name", "external", "expected"),
    [
        (b"example.com", External(), (403, "NR")),
        (b"example.org", ALLOWED, (403, "NR")),
        (b"127.0.0.1", External("direct", ("127.0.0.1",)), (403, "NR")),
        (b"metadata.example.com", ALLOWED, (403, "NR")),
        (b"unknown.example.com", ALLOWED, (404, "NR")),
        (b"broken.example.com", ALLOWED, (503, "UF")),
    ],
)
async def test_what_may_not_or_cannot_be_gone_to_is_answered_here(
    lab: ModuleType, name: bytes, external: External, expected: tuple[int, str]
) -> None:
    async with outside(lab, lab.refusing, external=external) as (web, port):
        for request in (
            get(port, name=name),
            b"CONNECT %b:%d HTTP/1.1\r\nHost: %b\r\n\r\n" % (name, port, name),
        ):
            assert lab.flag_of(await lab.ask(web, request)) == expected
        assert [(each.code, each.flag, each.service) for each in web.reports] == [(*expected, "")] * 2


async def test_of_the_addresses_of_a_name_only_those_that_may_be_dialled_are(lab: ModuleType) -> None:
    async with outside(lab, lab.answering(OK)) as (web, port):
        assert lab.flag_of(await lab.ask(web, get(port, name=b"a.example.com"))) == (200, "")


async def test_a_name_is_resolved_once_for_each_connection(lab: ModuleType) -> None:
    async with outside(lab, lab.answering(OK)) as (web, port):
        names = Names(NAMES)
        trio.socket.set_custom_hostname_resolver(names)
        await lab.ask(web, get(port))
        assert names.asked == ["example.com"]


async def test_a_host_that_does_not_listen_cannot_be_connected_to(lab: ModuleType) -> None:
    async with outside(lab, lab.refusing) as (web, _):
        port = await lab.unused_port()
        for request in (get(port), b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port):
            received = await lab.ask(web, request)
            assert lab.flag_of(received) == (503, "UF")
            assert b"example.com cannot be connected to" in received


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", (502, "UC")),
        (b"HTTP/1.1 200 OK\r\nContent-Le", (502, "UC")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", (502, "UC")),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", (502, "UPE")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", (502, "UPE")),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", (502, "UPE")),
        (b"HTTP/1.1 103 \r\n\r\n" * 9 + OK, (502, "UPE")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", (502, "UPE")),
    ],
)
async def test_a_host_that_fails_is_told_from_others_and_asked_once(
    lab: ModuleType, answer: bytes, expected: tuple[int, str]
) -> None:
    connections = 0
    serve = lab.closing(answer)

    async def host(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await serve(stream)

    async with outside(lab, host) as (web, port):
        received = await lab.ask(web, get(port))
        assert lab.flag_of(received[received.rindex(b"HTTP/1.1") :]) == expected
        assert (web.report.flag, web.report.attempts, web.report.retried) == (expected[1], 1, ())
    assert connections == 1


async def test_a_host_that_says_nothing_is_given_up_on(lab: ModuleType, autojump_clock: MockClock) -> None:
    async with outside(lab, lab.silent) as (web, port):
        assert lab.flag_of(await lab.ask(web, get(port))) == (504, "UT")
        assert 60.0 <= trio.current_time() < 61.0


async def test_a_response_that_breaks_off_breaks_off_for_the_caller_too(lab: ModuleType) -> None:
    seen = trio.Event()
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with outside(lab, lab.breaking_off(answer, b"", seen)) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(get(port))
            await lab.read_until(stream, b"hello\r\n")
            seen.set()
            assert await read_all(stream) == b""
        assert (web.report.code, web.report.flag) == (200, "UC")


async def test_a_caller_that_goes_away_takes_its_request_with_it(lab: ModuleType) -> None:
    asked, left = trio.Event(), trio.Event()

    async def host(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        await lab.silent(stream)
        left.set()

    async with outside(lab, host) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(get(port))
            await asked.wait()
        await left.wait()
        await lab.until(lambda: web.reports)
        assert web.report.flag == "DC"


async def test_a_caller_that_goes_away_while_a_name_is_resolved_leaves_nothing_behind(
    lab: ModuleType,
) -> None:
    async with outside(lab, lab.refusing) as (web, port):
        names = Names(NAMES)
        trio.socket.set_custom_hostname_resolver(names)
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(get(port, name=b"slow.example.com"))
            await lab.until(lambda: names.asked)
        await lab.until(lambda: web.reports)
        assert (web.report.flag, web.outbound.in_flight) == ("DC", 0)


async def test_an_early_answer_is_passed_on_and_ends_the_connection(lab: ModuleType) -> None:
    async def impatient(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await lab.silent(stream)

    async with outside(lab, impatient) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(
                get(port, b"Content-Length: 1000000").replace(b"GET", b"POST", 1) + bytes(1_000)
            )
            received = await read_all(stream)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.endswith(b"big")

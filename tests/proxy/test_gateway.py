"""Strangers at a gateway: through its listener, two daemons and an app, and what is made of their headers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from attrs import frozen

from certificates import NAME, write_certificate
from gossipmesh.errors import RequestError
from gossipmesh.model import Address
from gossipmesh.proxy.gateway import Gate
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.routes import Route, Routes
from gossipmesh.transport.tls import Certificate

ROUTES = Routes([Route("hello", path="/hello"), Route("gone", path="/gone")])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Gossipmesh-Error: forged\r\n\r\nok"
GET = b"GET /hello/x?y HTTP/1.1\r\nHost: www.example.com:8443\r\nConnection: close\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@frozen
class Front:
    """Where strangers come in: what ``lab.ask`` takes for a daemon."""

    proxy: Address


@asynccontextmanager
async def gateway(
    lab: ModuleType, handler: Any, *, hops: int = 0, certificate: Certificate | None = None, **limits: float
) -> AsyncIterator[tuple[Front, Any]]:
    """Give a gateway in front of hello's one node, and the gateway's daemon."""
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(handler)})
        edge = await members.daemon("edge-1", limits=ProxyLimits(**limits))  # type: ignore[arg-type]
        scheme = "http" if certificate is None else "https"
        outbound = Outbound(
            edge.outbound._ports,
            gate=Gate(ROUTES, scheme=scheme, trusted_hops=hops),
            wrap=None if certificate is None else certificate.wrap,
        )
        bound = await members.nursery.start(outbound.serve, Address("127.0.0.1", 0))
        yield Front(bound), edge


async def test_a_request_goes_where_the_map_says_with_path_and_host_as_they_came(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with gateway(lab, lab.answering(OK, seen=seen)) as (front, edge):
        answer = await lab.ask(front, GET)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"ok")
    assert b"gossipmesh-error" not in answer.lower()
    (request,) = seen
    lines = request.split(b"\r\n")
    assert lines[0] == b"GET /hello/x?y HTTP/1.1"
    assert b"Host: www.example.com:8443" in lines
    assert b"X-Forwarded-For: 127.0.0.1" in lines
    assert b"X-Forwarded-Proto: http" in lines
    assert b"X-Forwarded-Host: www.example.com:8443" in lines
    assert b'Forwarded: for=127.0.0.1;host="www.example.com:8443";proto=http' in lines
    assert b"x-gossipmesh-node: edge-1" in lines
    assert (edge.report.service, edge.report.code, edge.report.flag) == ("hello", 200, "")


async def test_what_a_stranger_says_of_itself_does_not_reach_the_app(lab: ModuleType) -> None:
    seen: list[bytes] = []
    forged = [
        b"X-Forwarded-For: 6.6.6.6",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-Port: 66",
        b"X_Forwarded_For: 6.6.6.6",
        b"Forwarded: for=6.6.6.6",
        b"X-Real-IP: 6.6.6.6",
        b"X-Original-URL: /evil",
        b"X_Real_IP: 6.6.6.6",
        b"Proxy: evil",
        b"X-Request-Id: evil",
        b"x-gossipmesh-source: evil",
        b"X_Gossipmesh_Node: evil",
    ]
    head = GET.replace(b"Connection:", b"\r\n".join(forged) + b"\r\nConnection:")
    async with gateway(lab, lab.answering(OK, seen=seen)) as (front, _):
        assert (await lab.ask(front, head)).startswith(b"HTTP/1.1 200 OK\r\n")
    (request,) = seen
    assert b"evil" not in request
    assert b"6.6.6.6" not in request
    assert b"X-Forwarded-Port" not in request


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        (b"GET / HTTP/1.1", b"a", 404),
        (b"GET /helloo HTTP/1.1", b"a", 404),
        (b"GET http://hello/ HTTP/1.1", b"hello", 404),
        (b"GET http://169.254.169.254/latest HTTP/1.1", b"a", 404),
        (b"GET https://a/hello HTTP/1.1", b"a", 400),
        (b"GET ftp://a/hello HTTP/1.1", b"a", 400),
        (b"GET /hello/../gone HTTP/1.1", b"a", 400),
        (b"GET /hello%2fx HTTP/1.1", b"a", 400),
        (b"GET /hello HTTP/1.1", b"a b", 400),
        (b"GET /hello HTTP/1.1", b"user@a", 400),
        (b"OPTIONS * HTTP/1.1", b"a", 404),
        (b"CONNECT hello:80 HTTP/1.1", b"hello:80", 405),
        (b"CONNECT a:443 HTTP/1.1", b"a:443", 405),
        (b"TRACE /hello HTTP/1.1", b"a", 405),
        (b"GET /gone HTTP/1.1", b"a", 404),
    ],
)
async def test_nothing_but_the_map_leads_anywhere(
    lab: ModuleType, request_line: bytes, host: bytes, status: int
) -> None:
    async with gateway(lab, lab.refusing) as (front, edge):
        answer = await lab.ask(front, request_line + b"\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert int(answer.split(b" ", 2)[1]) == status
    assert b"gossipmesh" not in answer.lower()
    assert not {b'"service"', b'"flag"'} & set(answer.replace(b":", b" ").split())
    assert edge.report.flag in ("NR", "DPE", "AZ")


async def test_an_absolute_target_is_taken_at_its_word_and_still_goes_by_the_map(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with gateway(lab, lab.answering(OK, seen=seen)) as (front, _):
        head = b"GET http://WWW.example.com./hello HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"
        assert (await lab.ask(front, head)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert seen[0].startswith(b"GET /hello HTTP/1.1\r\nHost: WWW.example.com.\r\n")
    # Host is overruled (RFC 9112, section 3.2.2): nothing that the app is told comes from it.
    assert b"other" not in seen[0]
    assert b"\r\nX-Forwarded-Host: WWW.example.com.\r\n" in seen[0]


async def test_connection_takes_away_nothing_that_we_say(lab: ModuleType) -> None:
    seen: list[bytes] = []
    named = b"Connection: close, Forwarded, X-Forwarded-For, X-Request-Id, X-Own"
    async with gateway(lab, lab.answering(OK, seen=seen)) as (front, _):
        head = GET.replace(b"Connection: close", named + b"\r\nX-Own: gone")
        assert (await lab.ask(front, head)).startswith(b"HTTP/1.1 200 OK\r\n")
    (request,) = seen
    names = {line.partition(b":")[0].lower() for line in request.split(b"\r\n")}
    assert names >= {b"forwarded", b"x-forwarded-for", b"x-request-id"}
    assert b"x-own" not in names


async def test_trailers_carry_nothing_that_headers_may_not(lab: ModuleType) -> None:
    seen: list[bytes] = []

    async def app(stream: trio.SocketStream) -> None:
        data = b""
        while b"\r\n0\r\n" not in data or not data.endswith(b"\r\n\r\n"):
            data += await stream.receive_some()
        seen.append(data)
        await stream.send_all(OK)

    said = b"Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 66\r\nX-Original-URL: /66\r\n"
    said += b"Fine: yes\r\n"
    head = b"POST /hello HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    async with gateway(lab, app) as (front, _):
        answer = await lab.ask(front, head + b"2\r\nab\r\n0\r\n" + said + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    trailers = seen[0].partition(b"\r\n0\r\n")[2].lower()
    assert b"fine: yes" in trailers
    assert b"66" not in trailers


async def test_a_request_without_a_host_goes_by_its_path(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with gateway(lab, lab.answering(OK, seen=seen)) as (front, _):
        assert (await lab.ask(front, b"GET /hello HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nHost: hello\r\n" in seen[0]


async def shouting(stream: trio.SocketStream) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    assert b"Upgrade: WebSocket" in data
    await stream.send_all(SWITCH)
    async for more in stream:
        await stream.send_all(more.upper())


async def test_a_websocket_may_pass(lab: ModuleType) -> None:
    async with gateway(lab, shouting) as (front, _), await lab.connect(front) as stream:
        head = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
        await stream.send_all(head)
        assert (await lab.read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await stream.send_all(b"hello")
        assert await lab.read_until(stream, b"HELLO") == b"HELLO"


@pytest.mark.parametrize("protocol", [b"h2c", b"tls/1.3", b"websocket, other"])
async def test_no_other_protocol_does(lab: ModuleType, protocol: bytes) -> None:
    seen: list[bytes] = []
    async with gateway(lab, lab.answering(OK, seen=seen)) as (front, _):
        upgrade = b"Connection: close, upgrade\r\nUpgrade: " + protocol
        assert (await lab.ask(front, GET.replace(b"Connection: close", upgrade))).endswith(b"ok")
    assert b"upgrade" not in seen[0].lower()


async def test_what_is_no_http_is_refused_without_a_word_about_the_mesh(lab: ModuleType) -> None:
    async with gateway(lab, lab.refusing) as (front, _):
        answer = await lab.ask(front, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"gossipmesh" not in answer.lower()


async def test_strangers_have_their_own_limit_and_take_no_place_from_local_apps(lab: ModuleType) -> None:
    async with gateway(lab, lab.echo, connections=1) as (front, edge), await lab.connect(front) as stranger:
        await stranger.send_all(b"GET /hello HTTP/1.1\r\n")
        answer = await lab.ask(edge, b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


# --- TLS -------------------------------------------------------------------------------------------------------------


async def test_over_tls_the_scheme_is_told_and_an_answer_ends_with_a_goodbye(
    lab: ModuleType, tmp_path: Path
) -> None:
    files = write_certificate(tmp_path)
    seen: list[bytes] = []
    context = ssl.create_default_context(cafile=files.cert)
    certificate = Certificate(files.cert, files.key)

    async def app(stream: trio.SocketStream) -> None:
        while request := await lab.read_request(stream):
            seen.append(request)
            if b"GET /hello/last" in request:
                await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 200_000)
                return
            await stream.send_all(OK)

    async with gateway(lab, app, certificate=certificate) as (front, _):
        plain = await lab.connect(front)
        async with trio.SSLStream(plain, context, server_hostname=NAME, https_compatible=False) as stream:
            await stream.send_all(GET.replace(b"Connection: close\r\n", b""))
            assert (await lab.read_until(stream, b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
            await stream.send_all(GET.replace(b"/x", b"/last").replace(b"1.1", b"1.0"))
            received = b""
            async for data in stream:  # Without a goodbye this would raise: the answer might be cut.
                received += data
    assert received.endswith(b"x" * 200_000)
    assert b"X-Forwarded-Proto: https" in seen[0]
    assert b";proto=https" in seen[0]


async def test_who_speaks_plain_http_to_a_tls_port_gets_nothing(lab: ModuleType, tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    certificate = Certificate(files.cert, files.key)
    async with (
        gateway(lab, lab.refusing, certificate=certificate) as (front, _),
        await lab.connect(front) as stream,
    ):
        await stream.send_all(GET)
        with suppress(trio.BrokenResourceError):
            while received := await stream.receive_some():
                assert not received.startswith(b"HTTP")


# --- whom it believes ------------------------------------------------------------------------------------------------


def request(*headers: tuple[bytes, bytes], host: bytes | None = b"a") -> RequestIn:
    return RequestIn(b"GET", b"/hello", b"1.1", headers, 0, False, b"", host, False)


def admitted(gate: Gate, *headers: tuple[bytes, bytes], peer: str = "10.0.0.9") -> dict[bytes, bytes]:
    pairs = gate.admit(request(*headers), peer).headers
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return {name.lower(): value for name, value in pairs}


def test_as_many_proxies_are_believed_as_are_trusted_counted_from_us() -> None:
    said = (
        (b"X-Forwarded-For", b"6.6.6.6, 1.1.1.1"),
        (b"x-forwarded-for", b"2.2.2.2"),
        (b"X-Forwarded-Proto", b"HTTPS"),
        (b"X-Forwarded-Host", b"www.example.com"),
        (b"Forwarded", b'for="6.6.6.6, for=evil", for=1.1.1.1;host="a,b"'),
        (b"X-Request-Id", b"kept"),
    )
    once = admitted(Gate(ROUTES, scheme="http", trusted_hops=1), *said)
    # The outbound side adds our peer behind it, as it does for everybody.
    assert once[b"x-forwarded-for"] == b"2.2.2.2"
    assert once[b"x-forwarded-proto"] == b"https"
    assert once[b"x-forwarded-host"] == b"a"
    assert once[b"forwarded"] == b'for=1.1.1.1;host="a,b", for=10.0.0.9;host="a";proto=http'
    assert once[b"x-request-id"] == b"kept"
    twice = admitted(Gate(ROUTES, scheme="http", trusted_hops=2), *said)
    assert twice[b"x-forwarded-for"] == b"1.1.1.1, 2.2.2.2"


def test_of_other_headers_those_are_believed_that_the_proxy_in_front_always_writes() -> None:
    said = (
        (b"X-Forwarded-Host", b"www.example.com"),
        (b"X-Real-IP", b"1.1.1.1"),
        (b"X_Real_IP", b"6.6.6.6"),
        (b"X-Original-URL", b"/evil"),
        (b"X-Forwarded-Prefix", b"/evil"),
    )
    trusted = ("x-forwarded-host", "x-real-ip")
    told = admitted(Gate(ROUTES, scheme="http", trusted_hops=1, trusted_headers=trusted), *said)
    assert told[b"x-forwarded-host"] == b"www.example.com"
    assert told[b"x-real-ip"] == b"1.1.1.1"
    assert not any(b"evil" in value or b"6.6.6.6" in value for value in told.values())
    for gate in (
        Gate(ROUTES, scheme="http", trusted_hops=1),
        Gate(ROUTES, scheme="http", trusted_hops=0, trusted_headers=trusted),
    ):
        assert set(admitted(gate, *said)) == {b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Forwarded-Proto", b"gopher"),
        (b"X-Forwarded-Host", b"a b"),
        (b"Forwarded", b'for="open, for=1.1.1.1;host="a"'),
        (b"X_Forwarded_For", b"6.6.6.6"),
    ],
)
def test_what_is_not_clear_is_not_believed_even_then(name: bytes, value: bytes) -> None:
    headers = admitted(Gate(ROUTES, scheme="https", trusted_hops=1), (name, value), peer="::1")
    assert headers == {
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"a",
        b"forwarded": b'for="[::1]";host="a";proto=https',
    }


def test_a_gate_has_no_way_for_a_connect() -> None:
    connect = RequestIn(b"CONNECT", b"hello:80", b"1.1", (), 0, False, b"", b"hello:80", False)
    with pytest.raises(RequestError, match="no open proxy"):
        Gate(ROUTES, scheme="http", trusted_hops=0).name(connect)

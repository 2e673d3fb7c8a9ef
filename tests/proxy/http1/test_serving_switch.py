"""Connections that end as HTTP and go on as something else: Upgrade and CONNECT, at the server's side."""

from __future__ import annotations

import pytest

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import LocalProtocolError
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits

CHAT = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
SWITCH = ResponseHead(101, ((b"Upgrade", b"websocket"), (b"Connection", b"upgrade")))


@pytest.fixture(params=[True, False], ids=["fast", "h11"])
def machine(request: pytest.FixtureRequest) -> Serving:
    return Serving(ProxyLimits(), fast_lane=request.param)


@pytest.mark.parametrize(
    ("head", "upgrade"),
    [
        (CHAT, b"WebSocket"),
        (CHAT.replace(b"WebSocket", b"h2c"), b""),
        (CHAT.replace(b"WebSocket", b"H2C , x/1,y"), b"x/1, y"),
        (CHAT.replace(b", Upgrade", b""), b""),
        (CHAT.replace(b"1.1", b"1.0"), b""),
        (CHAT[:-2] + b"Content-Length: 2\r\n\r\n", b""),
        (CHAT[:-2] + b"Content-Length: 0\r\n\r\n", b"WebSocket"),
        (CHAT.replace(b"GET /chat", b"CONNECT a:1"), b""),
    ],
)
def test_what_a_caller_would_rather_speak_counts_only_if_it_is_asked_for_properly(
    machine: Serving, head: bytes, upgrade: bytes
) -> None:
    machine.receive(head)
    request = machine.next_request()
    assert request is not None
    assert request.upgrade == upgrade


def test_what_comes_behind_a_switch_is_raw(machine: Serving) -> None:
    machine.receive(CHAT + b"early")
    machine.next_request()
    assert machine.take_raw() == b""
    assert machine.switch(SWITCH) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    )
    assert machine.take_raw() == b"early"
    machine.receive(b"later")
    assert machine.take_raw() == b"later"
    assert machine.take_raw() == b""
    assert machine.answering
    assert not machine.complete
    assert machine.next_request() is None


@pytest.mark.parametrize(
    "head",
    [
        ResponseHead(101),
        ResponseHead(101, ((b"Upgrade", b"other"),)),
        ResponseHead(101, ((b"Upgrade", b"websocket, other"),)),
        ResponseHead(200, ((b"Upgrade", b"websocket"),)),
    ],
)
def test_a_switch_to_something_else_is_refused_and_changes_nothing(
    machine: Serving, head: ResponseHead
) -> None:
    machine.receive(CHAT)
    machine.next_request()
    with pytest.raises(LocalProtocolError):
        machine.switch(head)
    assert machine.switch(SWITCH)


def test_a_switch_that_nobody_asked_for_is_refused(machine: Serving) -> None:
    machine.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    machine.next_request()
    with pytest.raises(LocalProtocolError) as raised:
        machine.switch(SWITCH)
    assert raised.value.code == "http.upgrade"


def test_a_declined_switch_leaves_a_connection_that_goes_on(machine: Serving) -> None:
    machine.receive(CHAT + CHAT)
    for _ in range(2):
        assert machine.next_request() is not None
        machine.whole(ResponseHead(200, ((b"Content-Length", b"0"),)), b"", last=False)
        assert machine.complete
        machine.next_exchange()


def test_a_tunnel_has_no_framing(machine: Serving) -> None:
    machine.receive(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nraw")
    machine.next_request()
    head = ResponseHead(200, ((b"Content-Length", b"5"), (b"A", b"b"), (b"transfer-encoding", b"chunked")))
    with pytest.raises(LocalProtocolError):
        machine.response(head, last=False)
    assert machine.switch(head) == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert machine.take_raw() == b"raw"


def test_a_refused_tunnel_is_an_answer_like_any_other(machine: Serving) -> None:
    machine.receive(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
    machine.next_request()
    head = ResponseHead(405, ((b"Content-Length", b"0"),))
    assert machine.whole(head, b"", last=False) == (
        b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
    )
    assert machine.complete

"""Answers that come in two segments, between which their sender's system may wait for ours."""

from __future__ import annotations

import socket

import pytest
import trio
from attrs import define, field

from gossipmesh.errors import AppRefused
from gossipmesh.proxy.apps import AppConnection, AppPool
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.transport.reactor import Reactor

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@define
class User:
    """Reads answers as they come."""

    connection: AppConnection
    body: bytes = b""
    readable: trio.Event = field(factory=trio.Event)

    def app_readable(self) -> None:
        self.connection.http.next_response()
        self.body += self.connection.http.take_body()
        self.readable.set()

    def app_drained(self) -> None:
        pass

    def app_broken(self) -> None:
        raise AssertionError("the app is still there")

    def app_late(self, now: float) -> None:
        raise AssertionError("nobody is late here")

    def ask(self) -> None:
        self.readable = trio.Event()
        self.connection.link.send(self.connection.http.whole(b"GET", b"/", [(b"Host", b"a")], b""))


@pytest.mark.parametrize("first", [HEAD[:20], HEAD, HEAD + b"o"])
async def test_an_app_need_not_wait_for_our_acknowledgement_with_the_rest_of_its_answer(first: bytes) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        reactor = Reactor()
        await nursery.start(reactor.run)
        pool = AppPool(reactor, ProxyLimits())
        send, receive = trio.open_memory_channel[AppConnection | AppRefused](1)
        reactor.defer(lambda: pool.connect(listener.socket.getsockname()[1], send.send_nowait) and None)
        app = await listener.accept()
        connection = await receive.receive()
        assert isinstance(connection, AppConnection)
        connection.user = user = User(connection)
        acknowledging = []
        # An answer or two, and the system takes this for a conversation, in which acknowledging can wait.
        for answer in (HEAD + b"ok", HEAD + b"ok", first):
            user.ask()
            await app.receive_some()
            await app.send_all(answer)
            await user.readable.wait()
            sock = connection.link._sock
            acknowledging.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))
            if connection.http.spare:
                connection.http.next_exchange()
        assert acknowledging[-1] == 1
        user.readable = trio.Event()
        await app.send_all((HEAD + b"ok").removeprefix(first))
        await user.readable.wait()
        assert user.body == b"okokok"
        connection.close()
        await app.aclose()
        nursery.cancel_scope.cancel()

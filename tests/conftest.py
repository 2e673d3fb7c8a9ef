"""Streams and channels for dialogues: what the reactor tells by callbacks, read when the test asks for it.

Test files cannot import each other here, as their folders are no packages; they get this module as the fixture
``hops``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from hypothesis import HealthCheck, settings
from trio.testing import wait_all_tasks_blocked

import gossipmesh
from gossipmesh import crypto
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.noise import Role
from gossipmesh.errors import StreamResetError
from gossipmesh.identity.credentials import WHOLE_MESSAGES, Peer
from gossipmesh.model import NodeId
from gossipmesh.transport.hop import HopConnection, Serve
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

# How long one example takes, or is made, tells of the machine: other tests share it, and its host may stop all of it.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")


def pytest_report_header() -> str:
    return gossipmesh.release()


@pytest.fixture
def hops() -> ModuleType:
    return sys.modules[__name__]


class Talk:
    """One end of a stream, for a test to talk on: keeps what came, and waits for what did not.

    Every wait raises StreamResetError once the stream was reset and nothing that came before is left.
    """

    def __init__(self, stream: HopStream | None = None) -> None:
        self.heads: list[ResponseHead] = []
        self.chunks: list[bytes] = []
        self.end: End | None = None
        self.whole = False
        """Whether the response came at once."""
        self.told: list[str] = []
        """The flags of all resets that were told."""
        self._changed = trio.Event()
        self._flag: str | None = None
        if stream is not None:
            self.attach(stream)

    def attach(self, stream: HopStream) -> None:
        """Take the stream: at its destination with what of the request came with its head."""
        self.stream = stream
        self.request = stream.request
        stream.listener = self
        if stream.body is not None:
            self.chunks.extend([stream.body] if stream.body else [])
            self.end = End()

    # --- what the stream tells -------------------------------------------------------------------------------------

    def head_received(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self._wake()

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        self.whole = True
        self.heads.append(head)
        self.chunks.extend([body] if body else [])
        self.end = end
        self._wake()

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        self._wake()

    def end_received(self, end: End) -> None:
        self.end = end
        self._wake()

    def reset_received(self, flag: str) -> None:
        self.told.append(flag)
        self._flag = flag
        self._wake()

    def doubted(self) -> None:
        self.told.append("doubted")

    def credit_gained(self) -> None:
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # --- what a test asks for --------------------------------------------------------------------------------------

    async def response_head(self) -> ResponseHead:
        while not self.heads:
            await self._wait()
        return self.heads.pop(0)

    async def receive_data(self) -> bytes:
        """Give all body bytes that are here, at least one; nothing behind the last."""
        while not self.chunks and self.end is None:
            await self._wait()
        data = b"".join(self.chunks)
        self.chunks.clear()
        self.stream.consumed(len(data))
        return data

    async def body(self) -> bytes:
        """Give all that is left of the body."""
        body = bytearray()
        while data := await self.receive_data():
            body += data
        return bytes(body)

    async def send_data(self, data: bytes) -> None:
        left = memoryview(data)
        while left := left[self.stream.send_data(left) :]:
            await self._wait()

    def send_head(self, head: ResponseHead) -> None:
        self.stream.send_head(head)

    def send_end(self, end: End = End()) -> None:  # noqa: B008
        self.stream.send_end(end)

    def reset(self, flag: str) -> None:
        self.stream.reset(flag)
        self._flag = flag
        self._wake()

    async def flag(self) -> str:
        """Wait until the stream is reset, and give the flag."""
        while self._flag is None:
            await self._changed.wait()
        return self._flag

    async def status_or_flag(self) -> int | str:
        """Give the status of the response, or the flag of the reset in its place."""
        try:
            return (await self.response_head()).status
        except StreamResetError as error:
            return error.flag

    async def _wait(self) -> None:
        if self._flag is not None:
            raise StreamResetError(self._flag)
        await self._changed.wait()


Handler = Callable[[Talk], Awaitable[None]]


def ask(connection: HopConnection, head: RequestHead, body: bytes | None = None) -> Talk:
    """Begin a request; with a body it is whole."""
    talk = Talk()
    talk.attach(connection.open_stream(head, talk, body))
    talk.end = None
    return talk


def serving(nursery: trio.Nursery, handler: Handler) -> Serve:
    """Give what serves each request by a coroutine of its own, which a reset does not end."""

    async def handle(talk: Talk) -> None:
        try:
            await handler(talk)
        except StreamResetError:
            return
        talk.stream.done()

    def serve(stream: HopStream) -> None:
        nursery.start_soon(handle, Talk(stream))

    return serve


async def echo(talk: Talk) -> None:
    talk.send_head(ResponseHead(200))
    while data := await talk.receive_data():
        await talk.send_data(data)
    talk.send_end(End(in_flight=1))


async def never(talk: Talk) -> None:
    await talk.flag()


def identity(name: bytes, *, features: int = WHOLE_MESSAGES, peer: Peer | None = None) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about.

    Args:
        name: whom the other side takes us for.
        features: what we take the other side to understand.
        peer: whom we take the other side for; by default whoever it says it is.
    """
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda _: name,
        authenticate=lambda credentials, _, __: peer or Peer(NodeId(credentials), None, None, 0, features),  # type: ignore[arg-type]
        static_private=lambda: crypto.blake2b(name, 32),
        entropy=os.urandom,
    )


async def secure_pair(ours: ChannelIdentity, theirs: ChannelIdentity) -> tuple[SecureStream, SecureStream]:
    """Give both ends of a channel, who opened it first."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        server = await listener.accept()
    initiator = SecureStream(client, Role.INITIATOR, ours)
    responder = SecureStream(server, Role.RESPONDER, theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(initiator.handshake)
        nursery.start_soon(responder.handshake)
    return initiator, responder


@asynccontextmanager
async def reactor() -> AsyncIterator[Reactor]:
    running = Reactor()
    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        yield running
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await wait_all_tasks_blocked()


async def settled() -> None:
    """Wait until nobody has anything to do, sockets included."""
    await wait_all_tasks_blocked(0.01)

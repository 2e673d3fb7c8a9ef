"""One hop channel: a task that reads and a task that writes, around the pure multiplexer."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

import trio

from gossipmesh.channel.hop import HopMux, StreamLimit
from gossipmesh.channel.hop_events import (
    CreditGained,
    DataReceived,
    GoneAway,
    HopEvent,
    PongReceived,
    RequestOpened,
    ResponseStarted,
    ResponseWhole,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_messages import REFUSED, UNWANTED, UPSTREAM_CLOSED, End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP
from gossipmesh.errors import MeshError, RemoteProtocolError
from gossipmesh.identity.credentials import Peer
from gossipmesh.transport.hop_stream import HopStream, StreamResetError
from gossipmesh.transport.parking import Parking
from gossipmesh.transport.secure_stream import FINISH_TIMEOUT_S, ChannelClosed, SecureStream

WRITE_TURN: Final = 256 * 1024
"""Bytes sealed and sent at once; then what became ready meanwhile has its turn."""
PING_AFTER_S: Final = 0.5
"""Silence while requests wait after which the other side is asked whether it is still there ..."""
PONG_WITHIN_S: Final = 1.0
"""... and how long it may take to say anything at all."""
LATE_S: Final = 0.1
"""A deadline that we reach this much too late says more about our own stall than about the other side."""

Serve = Callable[[HopStream], Awaitable[None]]
"""Handles one request at its destination. What it leaves unfinished of the stream is reset when it returns."""


MAX_IDLE_WORKERS: Final = 64
"""Tasks of one channel that are kept for requests to come."""


class _Workers:
    """Tasks that handle one request after another: waking one costs a quarter of starting one."""

    def __init__(self, handle: Serve) -> None:
        self._handle = handle
        self._idle: list[tuple[Parking, deque[HopStream]]] = []
        self.nursery: trio.Nursery | None = None

    def start(self, stream: HopStream) -> None:
        if self._idle:
            parking, streams = self._idle.pop()
            streams.append(stream)
            parking.unpark()
        elif self.nursery is not None:
            self.nursery.start_soon(self._work, stream)

    async def _work(self, stream: HopStream) -> None:
        parking, streams = Parking(), deque([stream])
        while streams:
            await self._handle(streams.popleft())
            if len(self._idle) < MAX_IDLE_WORKERS:
                self._idle.append((parking, streams))
                await parking.park()


class HopConnection:
    """One side of a hop channel, as a service.

    All frames that became ready in one turn of the event loop leave as one sealed record and one send; the reader
    never waits for the writer. No request has a task, nursery or cancel scope of its own at the caller's end; at the
    destination the tasks that handle requests are kept and used again.

    Resource handling: :meth:`run` owns ``stream`` and closes it.
    Error handling: when the channel breaks, all its streams fail at once with ``UC``, and what handles them is
    cancelled; :meth:`run` returns, and :attr:`failure` says why.

    Args:
        stream: its handshake finished.
        role: the initiator opens streams, the responder serves them.
        serve: the responder's handler of one request.
        budget: what all channels of a daemon share.
    """

    def __init__(
        self,
        stream: SecureStream,
        role: Role,
        *,
        serve: Serve | None = None,
        budget: ReceiveBudget | None = None,
    ) -> None:
        self._stream = stream
        self._initiator = role is Role.INITIATOR
        self._serve = serve
        self._mux = HopMux(role, budget=budget)
        self._streams: dict[int, HopStream] = {}
        self._blocked: set[HopStream] = set()
        self._workers = _Workers(self._handle)
        self._writing = Parking()
        self._watching = Parking()
        self._scope = trio.CancelScope()
        self._pings = 0
        self._reads = 0
        self._over = False
        self._heard_at = self.opened_at = self.used_at = trio.current_time()
        self.failure: MeshError | None = None
        """Why the channel broke; None while it lives, and if it was closed in good order."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""
        return self._stream.peer

    @property
    def accepts_streams(self) -> bool:
        """Whether new streams may be opened, as far as their number allows."""
        return not self._over and not self._mux.gone_away

    @property
    def open_streams(self) -> int:
        """Requests that are not over."""
        return len(self._streams)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read and write until both sides have said END, the channel breaks, or this is cancelled."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._workers.nursery = nursery
                    nursery.start_soon(self._guard, self._write)
                    nursery.start_soon(self._watch)
                    task_status.started()
                    await self._guard(self._read)
                    nursery.cancel_scope.cancel()
            if self.failure is None:
                await self._stream.finish()
        finally:
            self._end()
            self._stream.close()

    def open_stream(self, head: RequestHead) -> HopStream:
        """Begin a request. It leaves with all else that becomes ready in this turn of the event loop.

        Raises:
            StreamLimit: ``hop.gone-away`` or ``hop.stream-limit``; nothing was sent.
            LocalProtocolError: ``hop.head-too-long`` or ``hop.head``.
        """
        if self._over:
            raise StreamLimit("hop.gone-away", "the channel is closed")
        number = self._mux.open_stream(head)
        stream = self._streams[number] = HopStream(self, number, head)
        self._writing.unpark()
        self._watching.unpark()
        return stream

    def go_away(self) -> None:
        """Open, or take, no more streams. Once those that are open have ended the channel closes in good order."""
        if not self._over:
            self._mux.go_away()
            self._writing.unpark()

    def close(self, code: str = "channel.closed") -> None:
        """End the channel now, and all its streams with it: its peer lost our trust, or we stop."""
        self._fail(ChannelClosed(code, "the channel was closed"))

    # --- what streams ask for ----------------------------------------------------------------------------------

    def send_head(self, stream: HopStream, head: ResponseHead) -> None:
        """Send a response head."""
        self._mux.send_head(stream.number, head)
        self._writing.unpark()

    def send_data(self, stream: HopStream, data: bytes | memoryview) -> int:
        """Send as much as credit allows, and give how much that is."""
        sent = self._mux.send_data(stream.number, data)
        if sent:
            self._writing.unpark()
        return sent

    async def wait_for_credit(self, stream: HopStream) -> None:
        """Wait until there may be credit again, or the stream was reset."""
        self._blocked.add(stream)
        try:
            await stream.park_for_credit()
        finally:
            self._blocked.discard(stream)

    def send_end(self, stream: HopStream, end: End) -> None:
        """End our direction."""
        self._mux.send_end(stream.number, end)
        stream.sent_end = True
        self._forget_if_over(stream)
        self._writing.unpark()

    def consume(self, stream: HopStream, size: int) -> None:
        """Note that the app took body bytes."""
        self._mux.consume(stream.number, size)
        if self._mux.has_output:
            self._writing.unpark()

    def reset(self, stream: HopStream, flag: str) -> None:
        """Give a stream up."""
        if self._streams.pop(stream.number, None) is not None:
            self._mux.reset(stream.number, flag)
            stream.fail(flag)
            self._wake_blocked()
            self._writing.unpark()

    # --- reading -----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while records := await self._stream.receive_records():
            if self._over:
                # The channel was given up while this task was already on its way: cancellation has not reached it
                # yet, and its streams are gone.
                return
            self._heard_at = trio.current_time()
            self._reads += 1
            for record in records:
                if record.kind != HOP:
                    raise RemoteProtocolError("hop.kind", f"a record of kind {record.kind} on a hop channel")
                for event in self._mux.receive_record_untrusted(record.body):
                    self._perform(event)
            if self._mux.has_output or self._mux.gone_away:
                self._writing.unpark()

    def _perform(self, event: HopEvent) -> None:
        match event:
            case DataReceived(number, data):
                if (stream := self._streams.get(number)) is not None:
                    stream.deliver_data(data)
            case ResponseStarted(number, head):
                if (stream := self._streams.get(number)) is not None:
                    stream.deliver_head(head)
            case StreamEnded(number, end):
                if (stream := self._streams.get(number)) is not None:
                    stream.deliver_end(end)
                    self._forget_if_over(stream)
            case ResponseWhole(number, head, body, end):
                if (stream := self._streams.get(number)) is not None:
                    stream.deliver_head(head)
                    if body:
                        stream.deliver_data(body)
                    stream.deliver_end(end)
                    self._forget_if_over(stream)
            case RequestOpened(number, head, whole):
                stream = self._streams[number] = HopStream(self, number, head)
                if whole is not None:
                    if whole:
                        stream.deliver_data(whole)
                    stream.deliver_end(End())
                self._watching.unpark()
                self._workers.start(stream)
            case CreditGained(number):
                self._deliver_credit(number)
            case StreamReset(number, flag):
                self._deliver_reset(number, flag)
            case GoneAway(_, refused):
                for number in refused:
                    self._deliver_reset(number, REFUSED)
            case PongReceived():
                pass  # That anything came was noted when it was read.
            case _:
                assert_never(event)

    def _deliver_reset(self, number: int, flag: str) -> None:
        # The other side may reset what is over for us, while our own end waits to be sent.
        if (stream := self._streams.pop(number, None)) is not None:
            stream.deliver_reset(flag)
        self._wake_blocked()

    def _deliver_credit(self, number: int | None) -> None:
        if number is None:
            self._wake_blocked()
        elif (stream := self._streams.get(number)) is not None:
            stream.deliver_credit()

    def _wake_blocked(self) -> None:
        for stream in self._blocked:
            stream.deliver_credit()

    def _forget_if_over(self, stream: HopStream) -> None:
        if stream.sent_end and stream.end is not None:
            self._streams.pop(stream.number, None)
            self.used_at = trio.current_time()

    # --- handling ----------------------------------------------------------------------------------------------

    async def _handle(self, stream: HopStream) -> None:
        if self._serve is None:
            stream.reset(REFUSED)
            return
        try:
            await self._serve(stream)
        except StreamResetError:
            return
        if not stream.sent_end:
            stream.reset(UNWANTED)
        elif self._streams.pop(stream.number, None) is not None:
            self._mux.discard(stream.number)
            self._writing.unpark()

    # --- writing -----------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        if self._initiator and not self._mux.has_output:
            await self._stream.send_records(
                HOP, [b""]
            )  # Says what the channel is for before there is a request.
        while True:
            if bodies := self._mux.take_records(WRITE_TURN):
                await self._stream.send_records(HOP, bodies)
            elif self._initiator and self._mux.gone_away and not self._mux.open_streams:
                await self._stream.send_end()
                await trio.sleep(FINISH_TIMEOUT_S)  # The other side's END ends the reader, and this with it.
                raise ChannelClosed("channel.unfinished", "the other side did not end the channel")
            else:
                await self._writing.park()

    # --- watching ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Notice a host that vanished while requests wait for it: no packet will ever say so."""
        quiet_since = trio.current_time()
        while True:
            if not self._streams:
                await self._watching.park()
                quiet_since = trio.current_time()
            quiet_since = max(quiet_since, self._heard_at)
            if trio.current_time() < quiet_since + PING_AFTER_S:
                await trio.sleep_until(quiet_since + PING_AFTER_S)
            elif await self._is_alive():
                quiet_since = trio.current_time()
            else:
                self._fail(ChannelClosed("channel.silent", "no answer to a ping while requests wait"))
                return

    async def _is_alive(self) -> bool:
        reads = self._reads
        self._pings += 1
        self._mux.ping(self._pings)
        self._writing.unpark()
        due = trio.current_time() + PONG_WITHIN_S
        while self._reads == reads:
            late_s = trio.current_time() - due
            if late_s > LATE_S:
                due = trio.current_time() + PONG_WITHIN_S  # The answer may be in the socket: we did not look.
            elif late_s >= 0:
                return False
            await trio.sleep_until(due)
        return True

    # --- ending ------------------------------------------------------------------------------------------------

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (RemoteProtocolError, ChannelClosed) as error:
            self._fail(error)

    def _fail(self, error: MeshError) -> None:
        if not self._over:
            self.failure = error
        self._end()
        self._scope.cancel()

    def _end(self) -> None:
        self._over = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.deliver_reset(UPSTREAM_CLOSED)

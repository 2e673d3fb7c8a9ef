"""One hop channel on the reactor: a link on one side, the pure multiplexer on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from gossipmesh.channel.hop import HopMux
from gossipmesh.channel.hop_events import RequestOpened
from gossipmesh.channel.hop_messages import REFUSED, UNWANTED, UPSTREAM_CLOSED, End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, Ended, Record
from gossipmesh.errors import LocalProtocolError, MeshError, RemoteProtocolError, StreamLimit
from gossipmesh.identity.credentials import LONG_MESSAGES, WHOLE_MESSAGES, Peer
from gossipmesh.transport.hop_stream import HopStream, StreamListener
from gossipmesh.transport.hop_streams import HopStreams
from gossipmesh.transport.link import Link
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import FINISH_TIMEOUT_S, ChannelClosed, SecureStream
from gossipmesh.transport.silence import Silence, Verdict

RECEIVE_SIZE: Final = 512 * 1024
"""Bytes read at once, at most; the fewer records are cut in two, the fewer are copied."""
WRITE_TURN: Final = 256 * 1024
"""Bytes sealed and sent at once; then what became ready meanwhile has its turn."""

Serve = Callable[[HopStream], None]
"""Takes one request at its destination, in a turn: it sets the stream's listener, and brings the stream to its end."""


class HopConnection:
    """One side of a hop channel.

    All frames that became ready in one turn of the reactor leave as one sealed record and one send. Reading never waits
    for writing: what a peer does not take is bounded by credit.

    Resource handling: owns ``stream``'s socket from :meth:`run` on, and closes it.
    Error handling: when the channel breaks, all its streams fail at once with ``UC``; :meth:`run` returns, and
    :attr:`failure` says why.

    Args:
        reactor: calls back.
        stream: its handshake finished.
        role: the initiator opens streams, the responder serves them.
        serve: the responder's handler of one request.
        budget: what all channels of a daemon share.
        silent: is told of a peer that owes answers and says nothing, not even to a ping.
    """

    def __init__(
        self,
        reactor: Reactor,
        stream: SecureStream,
        role: Role,
        *,
        serve: Serve | None = None,
        budget: ReceiveBudget | None = None,
        silent: Callable[[], None] = lambda: None,
    ) -> None:
        self.peer: Final[Peer] = stream.peer
        """Who is on the other side."""
        self._reactor = reactor
        self._initiator = role is Role.INITIATOR
        self._serve = serve
        self._silent = silent
        compact, long = (bool(self.peer.features & each) for each in (WHOLE_MESSAGES, LONG_MESSAGES))
        self._mux = HopMux(role, budget=budget, compact=compact, long=long)
        self.streams: Final = HopStreams(self._request_opened)
        """The requests that are not over."""
        self._socket, self._channel, self._early = stream.detach()
        self._link: Link | None = None
        self._alarm = reactor.alarm(self._look)
        self._flushing = self._over = self._sent_end = self._peer_ended = False
        self._closed = trio.Event()
        self._reads = 0
        self._silence = Silence()
        self._quiet_since = self._heard_at = self.opened_at = self.used_at = reactor.now
        self.failure: MeshError | None = None
        """Why the channel broke; None while it lives, and if it was closed in good order."""

    @property
    def accepts_streams(self) -> bool:
        """Whether new streams may be opened, as far as their number allows."""
        return not self._over and not self._mux.gone_away

    @property
    def told_to_go(self) -> bool:
        """Whether the other side said GOAWAY."""
        return self._mux.told_to_go

    @property
    def is_silent(self) -> bool:
        """Whether nothing came from the other side for long, not even after a ping."""
        return self._silence.is_doubted(self._reads)

    @property
    def open_streams(self) -> int:
        """Requests that are not over."""
        return len(self.streams)

    @property
    def unsettled(self) -> tuple[int, int] | None:
        """How far the other side is in taking what it still has to get, to be compared; None where that is nothing."""
        if self._over or self._link is None or not (self._mux.owes or not self.streams):
            return None
        return (self._reads if self._mux.gathers else 0), self._link.untaken  # pings show no progress

    @property
    def carries_bulk(self) -> bool:
        """Whether a stream has moved more than :data:`BULK`: what TCP lost or queued holds up all that is behind it."""
        return self.streams.bulk > 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry requests until both sides have said END, the channel breaks, or this is cancelled."""
        try:
            if not self._over:
                self._reactor.defer(self._start)
            task_status.started()
            await self._closed.wait()
        finally:
            self._end()

    def _start(self) -> None:
        if self._over:
            return
        self._link = Link(self._reactor, self._socket, self, most=RECEIVE_SIZE)
        if self._initiator and not self._mux.has_output:
            self._channel.send_record(HOP, b"")  # Says what the channel is for before there is a request.
        early, self._early = self._early, []
        try:
            self._take_records(early)
            self.streams.deliver()
        except RemoteProtocolError as error:
            self._fail(error)
            return
        self.flush_soon()

    def open_stream(
        self, head: RequestHead, listener: StreamListener | None, body: bytes | None = None
    ) -> HopStream:
        """Begin a request. It leaves with all else that becomes ready in this turn of the reactor.

        Args:
            head: the request's.
            listener: is told of the response.
            body: of at most ``MAX_LONG`` bytes, if all of it is here and has no trailers; it ends the request.

        Raises:
            StreamLimit: ``hop.gone-away`` or ``hop.stream-limit``; nothing was sent.
            LocalProtocolError: ``hop.head-too-long`` or ``hop.head``.
        """
        if self._over:
            raise StreamLimit("hop.gone-away", "the channel is closed")
        number = self._mux.open_stream(head, body)
        stream = HopStream(self, number, head)
        stream.listener = listener
        stream.sent_end = body is not None
        if not self.streams:
            self._quiet_since = self._reactor.now
            self._silence.begin(self._quiet_since, heard_at=self._heard_at, reads=self._reads)
            self._alarm.set(self._silence.due)
        self.streams.add(stream)
        self.flush_soon()
        return stream

    def go_away(self) -> None:
        """Open, or take, no more streams. Once those that are open have ended the channel closes in good order."""
        if not self._over:
            self._mux.go_away()
            self.flush_soon()

    def close(self, code: str = "channel.closed") -> None:
        """End the channel now, and all its streams with it: its peer lost our trust, or we stop."""
        self._fail(ChannelClosed(code, "the channel was closed"))

    def send_head(self, stream: HopStream, head: ResponseHead) -> None:
        """Send a response head."""
        try:
            self._mux.send_head(stream.number, head)
        except LocalProtocolError as error:
            self._mux.raise_unless_reset(stream.number, error)
            return
        self.flush_soon()

    def send_data(self, stream: HopStream, data: bytes | memoryview) -> int:
        """Send as much as credit allows, and give how much that is."""
        try:
            sent = self._mux.send_data(stream.number, data)
        except LocalProtocolError as error:
            self._mux.raise_unless_reset(stream.number, error)
            return 0
        if sent:
            self.streams.count(stream, sent)
            self.flush_soon()
        if sent < len(data):
            self.streams.block(stream)
        return sent

    def send_end(self, stream: HopStream, end: End) -> None:
        """End our direction."""
        try:
            self._mux.send_end(stream.number, end)
        except LocalProtocolError as error:
            self._mux.raise_unless_reset(stream.number, error)
            return
        stream.sent_end = True
        if stream.ended:
            self._forget(stream)
        self.flush_soon()

    def answer(self, stream: HopStream, head: ResponseHead, body: bytes | memoryview, end: End) -> bool:
        """Send a whole response, if credit allows that."""
        try:
            if not self._mux.answer(stream.number, head, body, end):
                return False
        except LocalProtocolError as error:
            self._mux.raise_unless_reset(stream.number, error)
            return False
        stream.sent_end = True
        if stream.ended:
            self._forget(stream)
        self.flush_soon()
        return True

    def consume(self, stream: HopStream, size: int) -> None:
        """Note that the app took body bytes."""
        if stream in self.streams:
            self._mux.consume(stream.number, size)
            if self._mux.has_output:
                self.flush_soon()

    def reset(self, stream: HopStream, flag: str) -> None:
        """Give a stream up."""
        if stream in self.streams:
            self._forget(stream)
            stream.flag = flag
            stream.listener = None
            self._mux.reset(stream.number, flag)
            self.streams.wake_blocked()
            self.flush_soon()

    def done(self, stream: HopStream) -> None:
        """Want no more of a request at its destination."""
        if not stream.sent_end:
            self.reset(stream, UNWANTED)
        elif stream in self.streams:
            self._forget(stream)
            stream.listener = None
            if not self._mux.is_reset(stream.number):
                self._mux.discard(stream.number)
            self.flush_soon()

    def bytes_received(self, data: bytes) -> None:
        """Take what the other side sent."""
        self._heard_at = self._reactor.now
        self._reads += 1
        try:
            self._take_records(self._channel.receive_bytes_untrusted(data))
            self.streams.deliver()
        except RemoteProtocolError as error:
            self._fail(error)
            return
        if self._mux.has_output or self._mux.gone_away:
            self.flush_soon()

    def _take_records(self, events: list[Any]) -> None:
        receive, perform = self._mux.receive_record_untrusted, self.streams.perform
        for event in events:
            if type(event) is Record:
                if event.kind != HOP:
                    raise RemoteProtocolError("hop.kind", f"a record of kind {event.kind} on a hop channel")
                perform(receive(event.body))
                if self._over:
                    return
            elif type(event) is Ended:
                self._peer_ended = True
                if self._sent_end:
                    self._finish()
                else:
                    self._say_end()
                    return

    def eof_received(self) -> None:
        """The other side closed: in good order only behind its END."""
        try:
            self._channel.receive_eof()
        except RemoteProtocolError as error:
            self._fail(error)
            return
        self._finish()

    def broken(self) -> None:
        """The connection is gone."""
        if self._sent_end and self._peer_ended:
            self._finish()
        else:
            self._fail(ChannelClosed("channel.cut", "the connection broke"))

    def drained(self) -> None:
        """The other side took everything: what became ready meanwhile has its turn."""
        if self._peer_ended and self._sent_end:
            self._finish()
        else:
            self.flush_soon()

    def hung_up(self) -> None:
        """Nothing: reading is never paused here, so what was sent before is read first."""

    def _request_opened(self, event: RequestOpened) -> None:
        stream = HopStream(self, event.stream, event.head, event.body)
        self.streams.add(stream)
        if self._serve is None:
            stream.reset(REFUSED)
        else:
            self._serve(stream)

    def _forget(self, stream: HopStream) -> None:
        if self.streams.forget(stream):
            self.used_at = self._reactor.now

    def flush_soon(self) -> None:
        """Send what is ready at the end of this turn."""
        if not self._flushing:
            self._flushing = True
            self._reactor.defer(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        link, mux, channel = self._link, self._mux, self._channel
        if self._over or link is None or self._sent_end or link.unsent:
            return
        for parts in mux.take_parts(WRITE_TURN):
            channel.send_record(HOP, *parts)
        if channel.unsent:
            link.send_parts(channel.parts_to_send())
        if mux.has_output:
            self.flush_soon()  # Or, if not all of it was taken, when it is drained.
        elif self._initiator and mux.gone_away and not mux.open_streams:
            self._say_end()

    def _look(self) -> None:
        """Notice a host that vanished while requests wait for it: no packet will ever say so."""
        now = self._reactor.now
        if self._sent_end:
            self._fail(ChannelClosed("channel.unfinished", "the other side did not end the channel"))
        if self._over or not (self.streams or self._silence.is_asked(self._reads)):
            return
        since = max(self._quiet_since, self._heard_at)
        verdict = self._silence.look(now, quiet_since=since, reads=self._reads)
        if verdict is Verdict.GIVE_UP:
            self._fail(ChannelClosed("channel.silent", "no answer to a ping while requests wait"))
        elif verdict is Verdict.DOUBT and self.streams:
            self._silent()
            self.streams.doubt(lambda _: True)
        elif verdict is Verdict.PING:
            self._mux.ping(int(now * 1e6) & 0xFFFFFFFFFFFFFFFF)
            self.flush_soon()
        if not self._over:
            self._alarm.set(self._silence.due)

    def reset_stalled(self) -> None:
        """Give requests up that came in part, and of which nothing came since this was called last."""
        self._mux.reset_stalled()
        self.flush_soon()

    def _say_end(self) -> None:
        """Send END, behind everything; the channel is over once the other side's is here too."""
        assert self._link is not None
        self._sent_end = True
        try:
            self._channel.send_end()
            self._link.send(self._channel.bytes_to_send())
        except MeshError as error:
            self._fail(error)
            return
        if self._peer_ended and not self._link.unsent:
            self._finish()
        else:
            self._alarm.set(self._reactor.now + FINISH_TIMEOUT_S)

    def _fail(self, error: MeshError) -> None:
        if not self._over:
            self.failure = error
        self._finish()

    def _finish(self) -> None:
        self._end()
        self._closed.set()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._alarm.drop()
            self._mux.abandon()
            (self._link or self._socket).close()
        self.streams.fail_all(UPSTREAM_CLOSED)

"""One side of a hop channel as its own side sees it: the streams, and what is asked of them."""

from __future__ import annotations

from typing import Final

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel import hop_messages as messages
from gossipmesh.channel.hop_long import MAX_LONG, encode_long
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_outbox import Outbox
from gossipmesh.channel.hop_stream import (
    CHANNEL_WINDOW,
    ChannelWindow,
    HopStreamState,
    ReceiveBudget,
    Receiving,
    Sending,
)
from gossipmesh.channel.hop_whole import MAX_WHOLE, encode_answer, encode_call
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import Part
from gossipmesh.errors import LocalProtocolError, StreamLimit

MAX_STREAMS: Final = 1_024
"""Streams of one channel that are not over."""
LAST_STREAM: Final = 2**32 - 1
"""The last number; a channel that comes to it is used up."""

_HEAD_DUE: Final = Sending.HEAD_DUE
_CLOSED: Final = Sending.CLOSED
_THEIRS_CLOSED: Final = Receiving.CLOSED
_OWING: Final = frozenset({Sending.ENDING, Sending.WHOLE, Sending.RESETTING})
_PLAIN_END: Final = messages.encode_end(End())


class SendingSide:
    """What is asked of a multiplexer; :class:`~gossipmesh.channel.hop.HopMux` adds what is received."""

    def __init__(self, role: Role, *, budget: ReceiveBudget | None, compact: bool, long: bool) -> None:
        self._initiator = role is Role.INITIATOR
        self._compact = compact
        self._long = long
        self._budget = ReceiveBudget() if budget is None else budget
        self._streams: dict[int, HopStreamState] = {}
        self._newest = 0
        self._last = LAST_STREAM
        self._gone_away = self._broken = False
        self._send_credit = CHANNEL_WINDOW
        self._window = ChannelWindow()
        self._outbox = Outbox(self._window, self._close_sending)
        self._held: dict[int, bytes] = {}
        """Bodies of whole requests that wait for the channel's credit, by stream."""

    @property
    def open_streams(self) -> int:
        """Streams that are not over, those included whose end still waits to be sent."""
        return len(self._streams)

    @property
    def gone_away(self) -> bool:
        """Whether either side has said GOAWAY; the channel can be closed once no stream is open."""
        return self._gone_away

    @property
    def send_credit(self) -> int:
        """Body bytes that the channel may still accept, whatever their streams may."""
        return self._send_credit

    @property
    def has_output(self) -> bool:
        """Whether :meth:`take_records` would give anything."""
        return self._outbox.waiting

    def open_stream(self, head: RequestHead, body: bytes | None = None) -> int:
        """Begin a request and give its stream's number (initiator only).

        Args:
            head: the request's head.
            body: all of the body, at most :data:`~gossipmesh.channel.hop_long.MAX_LONG` bytes, of a request without
                trailers: our direction ends with it. None: what there is follows by :meth:`send_data` and
                :meth:`send_end`.

        Raises:
            StreamLimit: ``hop.stream-limit`` or ``hop.gone-away``.
            LocalProtocolError: ``hop.head-too-long`` or ``hop.head``; ``hop.whole`` for a body that is too long;
                ``hop.role`` at the acceptor.
        """
        if not self._initiator:
            raise LocalProtocolError("hop.role", "only the side that opened the channel opens streams")
        if self._gone_away or self._broken or self._newest == LAST_STREAM:
            raise StreamLimit("hop.gone-away", "this channel takes no more streams")
        if len(self._streams) >= MAX_STREAMS:
            raise StreamLimit("hop.stream-limit", f"{MAX_STREAMS} streams are open on this channel")
        if body is not None:
            return self._open_whole(head, body)
        return self._open_with_head(messages.encode_request_head(head)).number

    def _open_whole(self, head: RequestHead, body: bytes) -> int:
        size = len(body)
        if size > MAX_LONG:
            raise _too_long(size)
        if size <= self._send_credit and (self._compact if size <= MAX_WHOLE else self._long):
            payload = encode_call(head, body if size <= MAX_WHOLE else b"")
            if payload is not None:
                self._newest += 1
                self._send_whole(self._add(self._newest), frames.CALL, payload, body)
                return self._newest
        stream = self._open_with_head(messages.encode_request_head(head))
        if size <= self._send_credit:
            self._send_rest(stream, body)
        else:
            stream.send_end(_PLAIN_END)
            self._held[stream.number] = body
        return stream.number

    def _open_with_head(self, payload: bytes) -> HopStreamState:
        self._newest += 1
        stream = self._add(self._newest)
        stream.heads.append((frames.HEAD, payload))
        self._outbox.heads[stream.number] = stream
        return stream

    def answer(self, number: int, head: ResponseHead, body: bytes | memoryview, end: End) -> bool:
        """Answer a request with a whole response (acceptor only); tell whether credit allows it.

        Nothing was done where it does not: :meth:`send_head`, :meth:`send_data` and :meth:`send_end` do it then.

        Args:
            number: the stream.
            head: the final head.
            body: all of the body, at most :data:`~gossipmesh.channel.hop_long.MAX_LONG` bytes.
            end: the load; without trailers.

        Raises:
            LocalProtocolError: ``hop.order``; ``hop.head-too-long`` or ``hop.head``; ``hop.whole`` for what cannot be
                a whole response.
        """
        stream = self._open(number)
        if stream.sending is not _HEAD_DUE:
            raise LocalProtocolError("hop.order", f"an answer on a stream that is {stream.sending.value}")
        size = len(body)
        if size > MAX_LONG:
            raise _too_long(size)
        if not head.final or end.trailers:
            raise LocalProtocolError("hop.whole", "a whole response has a final head and no trailers")
        if size > self._send_credit or size > stream.send_credit:
            return False
        payload = None
        if self._compact if size <= MAX_WHOLE else self._long:
            payload = encode_answer(head, bytes(body) if size <= MAX_WHOLE else b"", end)
        if payload is None:
            self.send_head(number, head)
            stream.send_data(body, size)
            self._send_credit -= size
            self.send_end(number, end)
            return True
        self._send_whole(stream, frames.ANSWER, payload, body)
        return True

    def _send_whole(
        self, stream: HopStreamState, kind: int, payload: bytes, body: bytes | memoryview
    ) -> None:
        size = len(body)
        if size <= MAX_WHOLE:
            stream.send_whole(kind, payload, size)
        else:
            stream.send_long(encode_long(payload, size), body)
            self._outbox.bodies[stream.number] = stream
        self._send_credit -= size
        self._outbox.heads[stream.number] = stream

    def send_head(self, number: int, head: ResponseHead) -> None:
        """Answer a request with an interim or the final head (acceptor only).

        Raises:
            LocalProtocolError: ``hop.order``, ``hop.head-too-long`` or ``hop.head``.
        """
        stream = self._open(number)
        stream.send_head(head, messages.encode_response_head(head))
        self._outbox.heads[number] = stream

    def send_data(self, number: int, data: bytes | memoryview) -> int:
        """Accept body bytes as far as credit goes, and give how many; the rest stays with the caller.

        Raises:
            LocalProtocolError: ``hop.order``, before the head, after the end, or on a stream that is over.
        """
        stream = self._open(number)
        accepted = stream.send_data(data, self._send_credit)
        if accepted:
            self._send_credit -= accepted
            self._outbox.bodies.setdefault(number, stream)
        return accepted

    def send_end(self, number: int, end: End) -> None:
        """End our direction, behind all that was accepted before.

        Raises:
            LocalProtocolError: ``hop.order``, ``hop.head-too-long`` or ``hop.head``.
        """
        stream = self._open(number)
        stream.send_end(messages.encode_end(end))
        self._outbox.bodies.setdefault(number, stream)

    def reset(self, number: int, flag: str) -> None:
        """Give a stream up, both ways; on one that is over already, do nothing.

        Raises:
            LocalProtocolError: ``hop.flag``.
        """
        payload = messages.encode_flag(flag)
        stream = self._streams.get(number)
        if stream is None or stream.sending is Sending.RESETTING:
            return
        if stream.unannounced:
            self._forget(stream)
        elif not (stream.sending is _CLOSED and stream.receiving is Receiving.DISCARDING):
            self._drop_output(stream)
            stream.reset(payload)
            self._outbox.resets[number] = stream

    def is_reset(self, number: int) -> bool:
        """Tell whether a stream takes nothing any more because it was reset, by either side."""
        stream = self._streams.get(number)
        return stream is None or stream.sending is Sending.RESETTING

    def raise_unless_reset(self, number: int, error: LocalProtocolError) -> None:
        """Raise ``error`` if it has another reason than that the stream was reset.

        Events are told one after the other, and one of them may be answered although a later one is a RESET: the other
        side gave the stream up with the very record that is being answered. What is sent until that is told is for
        nobody, and no mistake.
        """
        if error.code != "hop.order" or not self.is_reset(number):
            raise error

    def discard(self, number: int) -> None:
        """Want no more of a stream whose own direction has ended: what was accepted still goes, then a RESET.

        Raises:
            LocalProtocolError: ``hop.order``, if our direction has not ended.
        """
        stream = self._streams.get(number)
        if stream is not None and stream.discard(messages.encode_flag(messages.UNWANTED)):
            self._outbox.resets[number] = stream

    def consume(self, number: int, size: int) -> None:
        """Note that the app took ``size`` bytes of a stream: the other side may send as many more.

        Raises:
            LocalProtocolError: ``hop.consume``, for more than was received.
        """
        stream = self._streams.get(number)
        if stream is not None:
            stream.consume(size)
            if stream.credit_due:
                self._outbox.credits[number] = stream

    @property
    def owes(self) -> bool:
        """Whether a stream that is done still has something to be sent, or a long request has begun to come in."""
        return self.gathers or any(each.sending in _OWING for each in self._streams.values())

    @property
    def gathers(self) -> bool:
        """Whether a long message has begun to come in."""
        return any(each.long is not None for each in self._streams.values())

    def abandon(self) -> None:
        """Give the budgets back what the open streams took of them: the channel is gone."""
        for stream in self._streams.values():
            stream.release()

    def go_away(self) -> None:
        """Open no more streams, or take no more: what is open now lives until it ends."""
        if not self._gone_away:
            self._gone_away = True
            self._last = LAST_STREAM if self._initiator else self._newest
            self._outbox.control[frames.GOAWAY] = frames.U32.pack(self._newest)

    def ping(self, nonce: int) -> None:
        """Ask the other side to answer with ``nonce``, a u64. Of several that wait to be sent the last one goes."""
        self._outbox.control[frames.PING] = frames.U64.pack(nonce)

    def take_records(self, limit: int) -> list[bytes]:
        """Give what :meth:`take_parts` does, with the parts of each record joined."""
        return [b"".join(parts) for parts in self.take_parts(limit)]

    def take_parts(self, limit: int) -> list[list[Part]]:
        """Give what is ready as the bodies of records, in order: about ``limit`` bytes, at most two frames more.

        What they hold counts as sent. What the limit left behind comes with the next call.

        Returns:
            Of each record the parts, which belong together in this order.
        """
        return self._outbox.take_parts(limit)

    def _send_held(self) -> None:
        for number in list(self._held):
            if len(self._held[number]) > self._send_credit:
                break
            self._send_rest(self._streams[number], self._held.pop(number))

    def _send_rest(self, stream: HopStreamState, body: bytes) -> None:
        """Send the body of a whole request whose head went before it, and its end."""
        self._send_credit -= len(body)
        stream.send_rest(body, _PLAIN_END)
        self._outbox.bodies[stream.number] = stream

    def _add(self, number: int) -> HopStreamState:
        stream = HopStreamState(number, opened_by_us=self._initiator, budget=self._budget)
        self._streams[number] = stream
        return stream

    def _open(self, number: int) -> HopStreamState:
        stream = self._streams.get(number)
        if stream is None:
            raise LocalProtocolError("hop.order", f"stream {number} is over")
        return stream

    def _close_sending(self, stream: HopStreamState) -> None:
        stream.sending = _CLOSED
        if stream.receiving is _THEIRS_CLOSED:
            self._forget(stream)

    def _forget(self, stream: HopStreamState) -> None:
        if stream.sending is not _CLOSED:  # Else everything was sent: nothing of it waits anywhere.
            self._drop_output(stream)
            self._outbox.resets.pop(stream.number, None)
        stream.release()
        del self._streams[stream.number]

    def _drop_output(self, stream: HopStreamState) -> None:
        # What was accepted and is never sent gives the channel its credit back: the other side cannot.
        self._send_credit += stream.drop_output()
        self._outbox.drop(stream.number)
        self._held.pop(stream.number, None)
        self._send_held()


def _too_long(size: int) -> LocalProtocolError:
    return LocalProtocolError("hop.whole", f"{size} body bytes; a whole message has at most {MAX_LONG}")

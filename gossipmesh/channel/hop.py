"""Many requests in one channel: the multiplexer, pure, for either side of a hop channel.

Only the channel's initiator opens streams, one per request, with rising numbers. What it asks and what the other side
answers wait here until :meth:`HopMux.take_records` gives all that is ready in one turn of the event loop as few
records: one seal and one send for many requests is worth more than any other single choice.

The law:

- **Order.** On one stream everything arrives as it was sent. Between streams: control frames first, then heads and
  whole messages in the order in which they became ready (the initiator's: that of their streams), then bodies in
  turns (:mod:`gossipmesh.channel.hop_outbox`). So what is small waits only for what was taken before it.
- **Credit.** Bodies need credit of their stream and of the channel, those of whole messages too. The channel's comes
  back as soon as bytes enter the stream's buffer, so that streams whose readers stalled hold up nobody else; the
  stream's comes back as its reader takes them. Heads and control frames need none, and their number is bounded by
  :data:`MAX_STREAMS`. So is that of whole requests that wait for the channel's credit.
- **A whole message is its parts in one.** What it may be, what it needs and what it does to a stream is what its head,
  body and end would. Only a peer that said that it understands them gets whole ones.
- **A violation is final.** A record that cannot be decoded changes nothing. One that breaks the rules of a stream may
  have had an effect by then; in both cases the peer is broken, and the multiplexer receives nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gossipmesh.channel import hop_events as events
from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel import hop_long as long_messages
from gossipmesh.channel import hop_messages as messages
from gossipmesh.channel import hop_whole as whole
from gossipmesh.channel.hop_events import HopEvent
from gossipmesh.channel.hop_long import LongMessage
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_sending import LAST_STREAM, MAX_STREAMS, SendingSide
from gossipmesh.channel.hop_stream import CHANNEL_WINDOW, HopStreamState, ReceiveBudget, Sending
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import Part
from gossipmesh.errors import RemoteProtocolError, StreamLimit

__all__ = ["CHANNEL_WINDOW", "MAX_STREAMS", "HopMux", "StreamLimit"]

_Reader = tuple[Callable[[Any], Any], Callable[[int, Any], HopEvent | None], bool | None]
"""For a kind of frame: how to read its payload, what to do with it then, and whether it is one of the channel's own,
not a stream's; None: it may be either."""


class HopMux(SendingSide):
    """One side of a hop channel.

    Args:
        role: the initiator of the channel opens streams, the responder answers them.
        budget: what all channels of a daemon share; a budget of its own without it.
        compact: the other side understands whole messages. They are always understood here.
        long: it understands those whose bodies follow too.
    """

    def __init__(
        self, role: Role, *, budget: ReceiveBudget | None = None, compact: bool = False, long: bool = False
    ) -> None:
        super().__init__(role, budget=budget, compact=compact, long=long)
        self._peer_last = LAST_STREAM
        self._room = ReceiveBudget(long_messages.MAX_GATHERED)
        head: _Reader = (messages.decode_request_head_untrusted, self._receive_request, False)
        if self._initiator:
            head = (messages.decode_response_head_untrusted, self._receive_response, False)
        self._kinds: Final[dict[int, _Reader]] = {
            frames.HEAD: head,
            frames.DATA: (_as_it_is, self._receive_data, False),
            frames.END: (messages.decode_end_untrusted, self._receive_end, False),
            frames.RESET: (messages.decode_flag_untrusted, self._receive_reset, False),
            frames.WINDOW: (frames.decode_u32_untrusted, self._receive_window, None),
            frames.GOAWAY: (frames.decode_u32_untrusted, self._receive_goaway, True),
            frames.PING: (frames.decode_u64_untrusted, self._receive_ping, True),
            frames.PONG: (frames.decode_u64_untrusted, self._receive_pong, True),
        }
        if self._initiator:
            self._kinds[frames.ANSWER] = (whole.decode_answer_untrusted, self._receive_answer, False)
            decode_long = long_messages.decode_long_answer_untrusted
            self._kinds[frames.LONG] = (decode_long, self._receive_long_answer, False)
        else:
            self._kinds[frames.CALL] = (whole.decode_call_untrusted, self._receive_call, False)
            decode_long_call = long_messages.decode_long_call_untrusted
            self._kinds[frames.LONG] = (decode_long_call, self._receive_long_call, False)

    @property
    def told_to_go(self) -> bool:
        """Whether the other side has said GOAWAY."""
        return self._peer_last < LAST_STREAM

    def receive_record_untrusted(self, body: bytes | memoryview) -> list[HopEvent]:
        """Take one record's body and give what it means.

        Raises:
            RemoteProtocolError: ``hop.malformed``, ``hop.order``, ``hop.credit``, ``hop.stream`` for a stream that
                cannot be, or ``hop.broken`` ever after.
        """
        if self._broken:
            raise RemoteProtocolError("hop.broken", "the other side broke the protocol before")
        kinds = self._kinds
        try:
            steps = []
            for number, kind, payload in frames.split_frames_untrusted(body):
                reader = kinds.get(kind)
                if reader is None:
                    raise RemoteProtocolError("hop.malformed", f"a frame of kind {kind}")
                decode, receive, on_channel = reader
                if on_channel is (number != 0):
                    raise RemoteProtocolError("hop.malformed", f"a frame of kind {kind} on stream {number}")
                steps.append((receive, number, decode(payload)))
            return [
                event for receive, number, value in steps if (event := receive(number, value)) is not None
            ]
        except RemoteProtocolError:
            self._broken = True
            raise

    def _receive_request(self, number: int, head: RequestHead) -> HopEvent | None:
        return None if self._accept(number) is None else events.RequestOpened(number, head)

    def _receive_call(self, number: int, call: tuple[RequestHead, bytes]) -> HopEvent | None:
        head, body = call
        if body:
            self._window.receive(len(body))
        stream = self._accept(number)
        if stream is None:
            return None
        stream.receive_whole_request(len(body))
        return events.RequestOpened(number, head, body)

    def _accept(self, number: int) -> HopStreamState | None:
        if number <= self._newest:
            raise RemoteProtocolError("hop.order", f"stream {number} opened after stream {self._newest}")
        if number > self._last:
            return None
        if len(self._streams) >= MAX_STREAMS:
            raise RemoteProtocolError("hop.stream", f"more than {MAX_STREAMS} open streams")
        self._newest = number
        return self._add(number)

    def _receive_response(self, number: int, head: ResponseHead) -> HopEvent | None:
        stream = self._named(number)
        return events.ResponseStarted(number, head) if stream and stream.receive_head(head) else None

    def _receive_answer(self, number: int, answer: tuple[ResponseHead, bytes, End]) -> HopEvent | None:
        head, body, end = answer
        if body:
            self._window.receive(len(body))
        stream = self._named(number)
        if stream is None:
            return None
        wanted = stream.receive_whole(head, len(body))
        if stream.over:
            self._forget(stream)
        return events.ResponseWhole(number, head, body, end) if wanted else None

    def _receive_data(self, number: int, data: Part) -> HopEvent | None:
        if not data:
            raise RemoteProtocolError("hop.malformed", "a DATA frame without data")
        self._window.receive(len(data))
        stream = self._named(number)
        if stream is None:
            return None
        wanted = stream.receive_data(len(data))
        if stream.long is not None:
            return self._gather(stream, stream.long, data, wanted=wanted)
        return events.DataReceived(number, bytes(data)) if wanted else None

    def _receive_end(self, number: int, end: End) -> HopEvent | None:
        stream = self._named(number)
        if stream is None:
            return None
        if stream.long is not None:
            raise RemoteProtocolError("hop.order", f"stream {number}: an end inside a long message")
        return events.StreamEnded(number, end) if self._end_receiving(stream) else None

    def _end_receiving(self, stream: HopStreamState) -> bool:
        """End the other side's direction; tell whether anybody still wants to know."""
        wanted = stream.receive_end()
        self._outbox.credits.pop(stream.number, None)
        if stream.over:
            self._forget(stream)
        return wanted

    def _receive_long_call(self, number: int, request: LongMessage) -> HopEvent | None:
        stream = self._accept(number)
        if stream is not None:
            stream.long = request
            if self._room.take(request.left):
                request.over = partial(self._room.give, request.left)
            else:
                self.reset(number, messages.REFUSED)
        return None

    def _receive_long_answer(self, number: int, answer: LongMessage) -> HopEvent | None:
        stream = self._named(number)
        if stream is not None:
            assert isinstance(answer.head, ResponseHead)
            stream.receive_head(answer.head)
            stream.long = answer
        return None

    def _gather(
        self, stream: HopStreamState, message: LongMessage, data: Part, *, wanted: bool
    ) -> HopEvent | None:
        """Take what came of a long message's body; tell of the message with the last of it."""
        if not message.add(data, keep=wanted):
            return None
        stream.long = None
        told = message.complete(stream.number) if self._end_receiving(stream) else None
        message.finish()
        return told

    def reset_stalled(self) -> None:
        """Give those long requests up of which nothing came since this was called last (acceptor only)."""
        for number, stream in tuple(self._streams.items()):
            if stream.long is not None and stream.sending is not Sending.RESETTING and stream.long.stalled():
                self.reset(number, messages.REFUSED)

    def _receive_reset(self, number: int, flag: str) -> HopEvent | None:
        # A stream that is over by now may still be reset, by a side that did not know yet.
        stream = self._named(number, may_be_over=True)
        if stream is None:
            return None
        self._drop_output(stream)
        wanted = stream.receive_reset(flag.encode())
        if stream.sending is Sending.RESETTING:
            self._outbox.resets[number] = stream
        if stream.over:
            self._forget(stream)
        return events.StreamReset(number, flag) if wanted else None

    def _receive_window(self, number: int, credit: int) -> HopEvent | None:
        if number == 0:
            if credit == 0 or self._send_credit + credit > CHANNEL_WINDOW:
                raise RemoteProtocolError("hop.credit", f"channel credit for {credit} more bytes")
            self._send_credit += credit
            self._send_held()
            return events.CreditGained(None)
        stream = self._named(number, may_be_over=True)
        if stream is None:
            return None
        stream.receive_credit(credit)
        return events.CreditGained(number) if stream.sending is Sending.OPEN else None

    def _receive_goaway(self, _: int, last: int) -> HopEvent | None:
        if last > self._peer_last:
            raise RemoteProtocolError("hop.order", f"GOAWAY for {last} after one for {self._peer_last}")
        self._gone_away = True
        self._peer_last = last
        refused = [stream for number, stream in self._streams.items() if number > last]
        for stream in refused:
            self._forget(stream)
        return events.GoneAway(last, tuple(stream.number for stream in refused))

    def _receive_ping(self, _: int, nonce: int) -> HopEvent | None:
        # Only the newest is answered, so that a peer that pings without reading fills no memory.
        self._outbox.control[frames.PONG] = frames.U64.pack(nonce)
        return None

    def _receive_pong(self, _: int, nonce: int) -> HopEvent | None:
        return events.PongReceived(nonce)

    def _named(self, number: int, *, may_be_over: bool = False) -> HopStreamState | None:
        """Give a stream that the other side named; None if what came for it is to be ignored."""
        stream = self._streams.get(number)
        if stream is not None and not stream.unannounced:
            return stream
        if number > self._last or (may_be_over and stream is None and number <= self._newest):
            return None
        raise RemoteProtocolError("hop.stream", f"a frame for stream {number}, which is not open")


def _as_it_is(payload: Part) -> Part:
    return payload

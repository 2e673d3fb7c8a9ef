"""Many requests in one channel: the multiplexer, pure, for either side of a hop channel.

Only the channel's initiator opens streams, one per request, with rising numbers. What it asks and what the other side
answers wait here until :meth:`HopMux.take_records` gives all that is ready in one turn of the event loop as few
records: one seal and one send for many requests is worth more than any other single choice.

The law:

- **Order.** On one stream everything arrives as it was sent. Between streams: control frames first, then heads in the
  order of their streams, then bodies in turns of at most 16 KiB, so that no body delays a small request by more than
  one such chunk of each other body.
- **Credit.** Bodies need credit of their stream and of the channel. The channel's comes back as soon as bytes enter
  the stream's buffer, so that streams whose readers stalled hold up nobody else; the stream's comes back as its
  reader takes them. Heads and control frames need none, and their number is bounded by :data:`MAX_STREAMS`.
- **A violation is final.** A record that cannot be decoded changes nothing. One that breaks the rules of a stream may
  have had an effect by then; in both cases the peer is broken, and the multiplexer receives nothing more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gossipmesh.channel import hop_events as events
from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel import hop_messages as messages
from gossipmesh.channel.hop_events import HopEvent
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import HopStreamState, ReceiveBudget, Receiving, Sending
from gossipmesh.channel.noise import Role
from gossipmesh.errors import LocalProtocolError, MeshError, RemoteProtocolError

MAX_STREAMS: Final = 1_024
"""Streams of one channel that are not over."""
CHANNEL_WINDOW: Final = 4 * 1024 * 1024
"""Body bytes of one direction of a channel that may be under way."""
LAST_STREAM: Final = 2**32 - 1
"""The last number; a channel that comes to it is used up."""

_Reader = tuple[Callable[[bytes], Any], Callable[[int, Any], HopEvent | None]]
_ON_CHANNEL: Final = frozenset({frames.GOAWAY, frames.PING, frames.PONG})


class StreamLimit(MeshError):
    """This channel opens no stream, and nothing was sent.

    ``hop.stream-limit``: not while so many are open; ``hop.gone-away``: never again.
    """


class HopMux:
    """One side of a hop channel.

    Args:
        role: the initiator of the channel opens streams, the responder answers them.
        budget: what all channels of a daemon share; a budget of its own without it.
    """

    def __init__(self, role: Role, *, budget: ReceiveBudget | None = None) -> None:
        self._initiator = role is Role.INITIATOR
        self._budget = ReceiveBudget() if budget is None else budget
        self._streams: dict[int, HopStreamState] = {}
        self._newest = 0
        self._last = self._peer_last = LAST_STREAM
        self._gone_away = self._broken = self._credit_due = False
        self._send_credit = self._receive_credit = CHANNEL_WINDOW
        self._control: dict[int, bytes] = {}
        self._resets: dict[int, HopStreamState] = {}
        self._credits: dict[int, HopStreamState] = {}
        self._heads: OrderedDict[int, HopStreamState] = OrderedDict()
        self._bodies: OrderedDict[int, HopStreamState] = OrderedDict()
        read_response: _Reader = (messages.decode_response_head_untrusted, self._receive_response)
        read_request: _Reader = (messages.decode_request_head_untrusted, self._receive_request)
        # For each kind: how to read its payload, and what to do with it then.
        self._kinds: Final[dict[int, _Reader]] = {
            frames.HEAD: read_response if self._initiator else read_request,
            frames.DATA: (bytes, self._receive_data),
            frames.END: (messages.decode_end_untrusted, self._receive_end),
            frames.RESET: (messages.decode_flag_untrusted, self._receive_reset),
            frames.WINDOW: (frames.decode_u32_untrusted, self._receive_window),
            frames.GOAWAY: (frames.decode_u32_untrusted, self._receive_goaway),
            frames.PING: (frames.decode_u64_untrusted, self._receive_ping),
            frames.PONG: (frames.decode_u64_untrusted, self._receive_pong),
        }

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
        waiting = self._bodies or self._heads or self._control or self._credits or self._resets
        return self._credit_due or bool(waiting)

    def open_stream(self, head: RequestHead) -> int:
        """Begin a request and give its stream's number (initiator only).

        Raises:
            StreamLimit: ``hop.stream-limit`` or ``hop.gone-away``.
            LocalProtocolError: ``hop.head-too-long`` or ``hop.head``; ``hop.role`` at the acceptor.
        """
        if not self._initiator:
            raise LocalProtocolError("hop.role", "only the side that opened the channel opens streams")
        if self._gone_away or self._broken or self._newest == LAST_STREAM:
            raise StreamLimit("hop.gone-away", "this channel takes no more streams")
        if len(self._streams) >= MAX_STREAMS:
            raise StreamLimit("hop.stream-limit", f"{MAX_STREAMS} streams are open on this channel")
        payload = messages.encode_request_head(head)
        self._newest += 1
        stream = self._add(self._newest)
        stream.heads.append(payload)
        self._heads[stream.number] = stream
        return stream.number

    def send_head(self, number: int, head: ResponseHead) -> None:
        """Answer a request with an interim or the final head (acceptor only).

        Raises:
            LocalProtocolError: ``hop.order``, ``hop.head-too-long`` or ``hop.head``.
        """
        stream = self._open(number)
        stream.send_head(head, messages.encode_response_head(head))
        self._heads[number] = stream

    def send_data(self, number: int, data: bytes | memoryview) -> int:
        """Accept body bytes as far as credit goes, and give how many; the rest stays with the caller.

        Raises:
            LocalProtocolError: ``hop.order``, before the head, after the end, or on a stream that is over.
        """
        stream = self._open(number)
        accepted = stream.send_data(data, self._send_credit)
        if accepted:
            self._send_credit -= accepted
            self._bodies.setdefault(number, stream)
        return accepted

    def send_end(self, number: int, end: End) -> None:
        """End our direction, behind all that was accepted before.

        Raises:
            LocalProtocolError: ``hop.order``, ``hop.head-too-long`` or ``hop.head``.
        """
        stream = self._open(number)
        stream.send_end(messages.encode_end(end))
        self._bodies.setdefault(number, stream)

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
        elif not (stream.sending is Sending.CLOSED and stream.receiving is Receiving.DISCARDING):
            self._drop_output(stream)
            stream.reset(payload)
            self._resets[number] = stream

    def discard(self, number: int) -> None:
        """Want no more of a stream whose own direction has ended: what was accepted still goes, then a RESET.

        Raises:
            LocalProtocolError: ``hop.order``, if our direction has not ended.
        """
        stream = self._streams.get(number)
        if stream is not None and stream.discard(messages.encode_flag(messages.UNWANTED)):
            self._resets[number] = stream

    def consume(self, number: int, size: int) -> None:
        """Note that the app took ``size`` bytes of a stream: the other side may send as many more.

        Raises:
            LocalProtocolError: ``hop.consume``, for more than was received.
        """
        stream = self._streams.get(number)
        if stream is not None:
            stream.consume(size)
            if stream.credit_due:
                self._credits[number] = stream

    def go_away(self) -> None:
        """Open no more streams, or take no more: what is open now lives until it ends."""
        if not self._gone_away:
            self._gone_away = True
            self._last = LAST_STREAM if self._initiator else self._newest
            self._control[frames.GOAWAY] = frames.U32.pack(self._newest)

    def ping(self, nonce: int) -> None:
        """Ask the other side to answer with ``nonce``, a u64. Of several that wait to be sent the last one goes."""
        self._control[frames.PING] = frames.U64.pack(nonce)

    def take_records(self, limit: int) -> list[bytes]:
        """Give what is ready as the bodies of records, in order: about ``limit`` bytes, at most one frame more.

        What they hold counts as sent. What the limit left behind comes with the next call.
        """
        packer = frames.RecordPacker(limit)
        self._take_control(packer)
        while self._heads and not packer.full:
            number, stream = self._heads.popitem(last=False)
            for payload in stream.heads:
                packer.add(number, frames.HEAD, payload)
            stream.heads.clear()
            stream.unannounced = False
        while self._bodies and not packer.full:
            self._take_turn(packer)
        return packer.finish()

    def _take_control(self, packer: frames.RecordPacker) -> None:
        control, self._control = self._control, {}
        for kind, payload in control.items():
            packer.add(0, kind, payload)
        # Credit counts as given only here: counted when it fell due, two such times before one frame would differ.
        if self._credit_due:
            packer.add(0, frames.WINDOW, frames.U32.pack(CHANNEL_WINDOW - self._receive_credit))
            self._receive_credit = CHANNEL_WINDOW
            self._credit_due = False
        resets, self._resets = self._resets, {}
        for stream in resets.values():
            packer.add(stream.number, frames.RESET, stream.flag)
            self._close_sending(stream)
        credits, self._credits = self._credits, {}
        for stream in credits.values():
            packer.add(stream.number, frames.WINDOW, frames.U32.pack(stream.take_credit()))

    def _take_turn(self, packer: frames.RecordPacker) -> None:
        number, stream = self._bodies.popitem(last=False)
        if stream.outgoing:
            size = packer.chunk_room(len(stream.outgoing))
            packer.add(number, frames.DATA, stream.take_chunk(size))
        if stream.outgoing:
            self._bodies[number] = stream
        elif stream.sending is Sending.ENDING:
            packer.add(number, frames.END, stream.ending)
            if stream.flag:
                packer.add(number, frames.RESET, stream.flag)
            self._close_sending(stream)

    def receive_record_untrusted(self, body: bytes) -> list[HopEvent]:
        """Take one record's body and give what it means.

        Raises:
            RemoteProtocolError: ``hop.malformed``, ``hop.order``, ``hop.credit``, ``hop.stream`` for a stream that
                cannot be, or ``hop.broken`` ever after.
        """
        if self._broken:
            raise RemoteProtocolError("hop.broken", "the other side broke the protocol before")
        try:
            steps = [self._decode_untrusted(frame) for frame in frames.split_frames_untrusted(body)]
            return [event for step in steps if (event := step()) is not None]
        except RemoteProtocolError:
            self._broken = True
            raise

    def _decode_untrusted(self, frame: frames.Frame) -> Callable[[], HopEvent | None]:
        number, kind, payload = frame
        if kind not in self._kinds:
            raise RemoteProtocolError("hop.malformed", f"a frame of kind {kind}")
        if kind != frames.WINDOW and (number == 0) is not (kind in _ON_CHANNEL):
            raise RemoteProtocolError("hop.malformed", f"a frame of kind {kind} on stream {number}")
        decode, receive = self._kinds[kind]
        return partial(receive, number, decode(payload))

    def _receive_request(self, number: int, head: RequestHead) -> HopEvent | None:
        if number <= self._newest:
            raise RemoteProtocolError("hop.order", f"stream {number} opened after stream {self._newest}")
        if number > self._last:
            return None
        if len(self._streams) >= MAX_STREAMS:
            raise RemoteProtocolError("hop.stream", f"more than {MAX_STREAMS} open streams")
        self._newest = number
        self._add(number)
        return events.RequestOpened(number, head)

    def _receive_response(self, number: int, head: ResponseHead) -> HopEvent | None:
        stream = self._named(number)
        return events.ResponseStarted(number, head) if stream and stream.receive_head(head) else None

    def _receive_data(self, number: int, data: bytes) -> HopEvent | None:
        if not data:
            raise RemoteProtocolError("hop.malformed", "a DATA frame without data")
        if len(data) > self._receive_credit:
            raise RemoteProtocolError("hop.credit", f"{len(data)} bytes past the channel's credit")
        self._receive_credit -= len(data)
        # Whoever reads the stream: only the stream's own credit waits for its reader.
        self._credit_due = 2 * self._receive_credit <= CHANNEL_WINDOW
        stream = self._named(number)
        return events.DataReceived(number, data) if stream and stream.receive_data(len(data)) else None

    def _receive_end(self, number: int, end: End) -> HopEvent | None:
        stream = self._named(number)
        if stream is None:
            return None
        wanted = stream.receive_end()
        self._credits.pop(number, None)
        if stream.over:
            self._forget(stream)
        return events.StreamEnded(number, end) if wanted else None

    def _receive_reset(self, number: int, flag: str) -> HopEvent | None:
        # A stream that is over by now may still be reset, by a side that did not know yet.
        stream = self._named(number, may_be_over=True)
        if stream is None:
            return None
        self._drop_output(stream)
        wanted = stream.receive_reset(flag.encode())
        if stream.sending is Sending.RESETTING:
            self._resets[number] = stream
        if stream.over:
            self._forget(stream)
        return events.StreamReset(number, flag) if wanted else None

    def _receive_window(self, number: int, credit: int) -> HopEvent | None:
        if number == 0:
            if credit == 0 or self._send_credit + credit > CHANNEL_WINDOW:
                raise RemoteProtocolError("hop.credit", f"channel credit for {credit} more bytes")
            self._send_credit += credit
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
        self._control[frames.PONG] = frames.U64.pack(nonce)
        return None

    def _receive_pong(self, _: int, nonce: int) -> HopEvent | None:
        return events.PongReceived(nonce)

    def _add(self, number: int) -> HopStreamState:
        stream = HopStreamState(number, opened_by_us=self._initiator, budget=self._budget)
        self._streams[number] = stream
        return stream

    def _open(self, number: int) -> HopStreamState:
        stream = self._streams.get(number)
        if stream is None:
            raise LocalProtocolError("hop.order", f"stream {number} is over")
        return stream

    def _named(self, number: int, *, may_be_over: bool = False) -> HopStreamState | None:
        """Give a stream that the other side named; None if what came for it is to be ignored."""
        stream = self._streams.get(number)
        if stream is not None and not stream.unannounced:
            return stream
        if number > self._last or (may_be_over and stream is None and number <= self._newest):
            return None
        raise RemoteProtocolError("hop.stream", f"a frame for stream {number}, which is not open")

    def _close_sending(self, stream: HopStreamState) -> None:
        stream.sending = Sending.CLOSED
        if stream.over:
            self._forget(stream)

    def _forget(self, stream: HopStreamState) -> None:
        self._drop_output(stream)
        self._resets.pop(stream.number, None)
        stream.release()
        del self._streams[stream.number]

    def _drop_output(self, stream: HopStreamState) -> None:
        # What was accepted and is never sent gives the channel its credit back: the other side cannot.
        self._send_credit += stream.drop_output()
        self._heads.pop(stream.number, None)
        self._bodies.pop(stream.number, None)
        self._credits.pop(stream.number, None)

"""One stream between its carrier and its listener; whole channels are in ``test_hop.py``."""

from __future__ import annotations

import pytest
from attrs import define, field

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.errors import StreamResetError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId
from gossipmesh.transport.hop_stream import HopStream

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)


@define(eq=False)
class Wire:
    """Carries a stream: takes as much as there is credit for, and keeps what it took."""

    credit: int = 1_000
    sent: list[object] = field(factory=list)
    consumed: int = 0
    flags: list[str] = field(factory=list)
    peer: Peer = field(factory=lambda: Peer(NodeId(b"orders"), None, None, 0))  # type: ignore[arg-type]

    def send_head(self, stream: HopStream, head: ResponseHead) -> None:
        self.sent.append(head)

    def send_data(self, stream: HopStream, data: bytes | memoryview) -> int:
        taken = bytes(data[: self.credit])
        self.credit -= len(taken)
        self.sent.append(taken)
        return len(taken)

    def send_end(self, stream: HopStream, end: End) -> None:
        self.sent.append(end)

    def answer(self, stream: HopStream, head: ResponseHead, body: bytes, end: End) -> bool:
        self.sent.append((head, body, end))
        return True

    def consume(self, stream: HopStream, size: int) -> None:
        self.consumed += size

    def reset(self, stream: HopStream, flag: str) -> None:
        self.flags.append(flag)

    def done(self, stream: HopStream) -> None:
        self.flags.append("done")


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def head_received(self, head: ResponseHead) -> None:
        self.told.append(head)

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        self.told.append((head, body, end))

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def end_received(self, end: End) -> None:
        self.told.append(end)

    def reset_received(self, flag: str) -> None:
        self.told.append(flag)

    def credit_gained(self) -> None:
        self.told.append("credit")


def stream_on(wire: Wire, body: bytes | None = None) -> HopStream:
    return HopStream(wire, 1, GET, body)


def test_a_reset_says_why() -> None:
    error = StreamResetError("UC")
    assert (error.flag, error.code) == ("UC", "hop.reset")
    assert "UC" in str(error)


def test_a_whole_request_has_ended_with_its_head() -> None:
    assert (stream_on(Wire()).ended, stream_on(Wire()).body) == (False, None)
    assert (stream_on(Wire(), b"").ended, stream_on(Wire(), b"").body) == (True, b"")


def test_what_is_sent_goes_to_the_carrier_as_far_as_there_is_credit() -> None:
    wire = Wire(credit=4)
    stream = stream_on(wire)
    stream.send_head(OK)
    assert stream.send_data(b"0123456789") == 4
    assert stream.send_data(memoryview(b"456789")) == 0
    stream.send_end(End())
    assert wire.sent == [OK, b"0123", b"", End()]
    assert stream.answer(OK, b"x", End())
    assert wire.sent[-1] == (OK, b"x", End())


def test_what_is_done_with_goes_to_the_carrier_too() -> None:
    wire = Wire()
    stream = stream_on(wire)
    stream.consumed(3)
    stream.consumed(4)
    stream.done()
    stream.reset("DC")
    assert (wire.consumed, wire.flags) == (7, ["done", "DC"])


def test_only_the_first_reset_counts_and_is_told_of_once() -> None:
    stream, listener = stream_on(Wire()), Listener()
    stream.listener = listener
    stream.fail("UC")
    stream.fail("UR")
    assert stream.flag == "UC"
    assert listener.told == ["UC"]


def test_a_reset_that_nobody_listens_to_is_still_known() -> None:
    stream = stream_on(Wire())
    stream.fail("UC")
    assert stream.flag == "UC"


def test_nothing_is_sent_on_a_stream_that_was_reset() -> None:
    wire = Wire()
    stream = stream_on(wire)
    stream.fail("UC")
    for call in (
        lambda: stream.send_head(OK),
        lambda: stream.send_data(b"x"),
        lambda: stream.send_end(End()),
        lambda: stream.answer(OK, b"", End()),
    ):
        with pytest.raises(StreamResetError) as raised:
            call()
        assert raised.value.flag == "UC"
    assert wire.sent == []


def test_a_stream_knows_who_is_on_the_other_side() -> None:
    wire = Wire()
    assert stream_on(wire).peer is wire.peer

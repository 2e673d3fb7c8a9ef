"""One stream between its carrier and the tasks that wait on it; whole channels are in ``test_hop.py``."""

from __future__ import annotations

import pytest
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId
from gossipmesh.transport.hop_stream import HopStream, StreamResetError

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
        if taken:
            self.sent.append(taken)
        return len(taken)

    async def wait_for_credit(self, stream: HopStream) -> None:
        await stream.park_for_credit()

    def send_end(self, stream: HopStream, end: End) -> None:
        self.sent.append(end)

    def consume(self, stream: HopStream, size: int) -> None:
        self.consumed += size

    def reset(self, stream: HopStream, flag: str) -> None:
        self.flags.append(flag)
        stream.fail(flag)


def stream_on(wire: Wire) -> HopStream:
    return HopStream(wire, 1, GET)


def test_a_reset_says_why() -> None:
    error = StreamResetError("UC")
    assert (error.flag, error.code) == ("UC", "hop.reset")
    assert "UC" in str(error)


@given(st.lists(st.lists(st.binary(min_size=1, max_size=20), max_size=5), max_size=5))
def test_however_a_body_came_it_is_read_whole_and_all_of_it_consumed(turns: list[list[bytes]]) -> None:
    wire = Wire()
    stream = stream_on(wire)

    async def read() -> bytes:
        body = b""
        for turn in turns:
            for piece in turn:
                stream.deliver_data(piece)
            if turn:
                body += await stream.receive_data()
        stream.deliver_end(End(in_flight=3))
        assert await stream.receive_data() == b""
        assert await stream.receive_data() == b""
        return body

    whole = b"".join(piece for turn in turns for piece in turn)
    assert trio.run(read) == whole
    assert wire.consumed == len(whole)
    assert stream.end == End(in_flight=3)


async def test_interim_heads_come_in_order_before_the_final_one() -> None:
    stream = stream_on(Wire())
    for status in (100, 103, 200):
        stream.deliver_head(ResponseHead(status))
    assert [(await stream.response_head()).status for _ in range(3)] == [100, 103, 200]


async def test_what_came_before_a_reset_can_still_be_read() -> None:
    stream = stream_on(Wire())
    stream.deliver_head(OK)
    stream.deliver_data(b"part")
    stream.deliver_reset("UC")
    assert await stream.response_head() == OK
    assert await stream.receive_data() == b"part"
    with pytest.raises(StreamResetError):
        await stream.receive_data()
    with pytest.raises(StreamResetError):
        await stream.response_head()


async def test_a_body_that_is_complete_stays_so_when_its_stream_is_reset() -> None:
    stream = stream_on(Wire())
    stream.deliver_data(b"all")
    stream.deliver_end(End())
    stream.deliver_reset("UR")
    assert await stream.receive_data() == b"all"
    assert await stream.receive_data() == b""


async def test_a_sender_waits_for_credit_and_sends_the_rest() -> None:
    wire = Wire(credit=4)
    stream = stream_on(wire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_data, b"0123456789")
        for credit in (0, 3, 100):
            await wait_all_tasks_blocked()
            wire.credit += credit
            stream.deliver_credit()
    assert wire.sent == [b"0123", b"456", b"789"]


async def test_a_reset_wakes_the_reader_and_the_writer_with_its_flag() -> None:
    stream = stream_on(Wire(credit=0))
    flags: list[str] = []

    async def read() -> None:
        with pytest.raises(StreamResetError) as caught:
            await stream.receive_data()
        flags.append(caught.value.flag)

    async def write() -> None:
        with pytest.raises(StreamResetError) as caught:
            await stream.send_data(b"x")
        flags.append(caught.value.flag)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        stream.reset("DC")
    assert flags == ["DC", "DC"]


async def test_only_the_first_reset_counts_and_is_told_of_once() -> None:
    stream, told = stream_on(Wire()), list[str | None]()
    stream.on_reset = lambda: told.append(stream.flag)
    stream.deliver_reset("UC")
    stream.deliver_reset("UR")
    assert stream.flag == "UC"
    assert told == ["UC"]


async def test_a_reset_of_our_own_is_not_told_to_ourselves() -> None:
    wire = Wire()
    stream, told = stream_on(wire), list[str | None]()
    stream.on_reset = lambda: told.append(stream.flag)
    stream.reset("DC")
    assert wire.flags == ["DC"]
    assert told == []


async def test_nothing_is_sent_on_a_stream_that_was_reset() -> None:
    wire = Wire()
    stream = stream_on(wire)
    stream.deliver_reset("UC")
    with pytest.raises(StreamResetError):
        stream.send_head(OK)
    with pytest.raises(StreamResetError):
        await stream.send_data(b"x")
    with pytest.raises(StreamResetError):
        stream.send_end(End())
    assert wire.sent == []


async def test_a_stream_knows_who_is_on_the_other_side() -> None:
    wire = Wire()
    assert stream_on(wire).peer is wire.peer

"""The order in which things go, and that what a call leaves behind goes with the next one."""

from __future__ import annotations

from types import ModuleType

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.channel.hop_outbox import Outbox
from gossipmesh.channel.hop_stream import CHANNEL_WINDOW, INITIAL_WINDOW, ChannelWindow, HopStreamState
from gossipmesh.channel.secure import MAX_RECORD_BODY

GET = RequestHead("orders", b"GET", b"/")
ALL = 2**30


def sizes(records: list[bytes]) -> list[tuple[int, int, int]]:
    return [
        (number, kind, len(payload))
        for body in records
        for number, kind, payload in frames.split_frames_untrusted(body)
    ]


def chunks(records: list[bytes]) -> list[tuple[int, int]]:
    return [(number, size) for number, kind, size in sizes(records) if kind == frames.DATA]


def test_an_empty_outbox_has_nothing_to_give() -> None:
    closed: list[HopStreamState] = []
    outbox = Outbox(ChannelWindow(), closed.append)
    assert not outbox.waiting
    assert outbox.take_parts(ALL) == []


def test_the_channels_credit_waits_until_half_of_it_was_used() -> None:
    window = ChannelWindow()
    outbox = Outbox(window, lambda _: None)
    window.receive(CHANNEL_WINDOW // 2 - 1)
    assert not outbox.waiting
    window.receive(1)
    assert outbox.waiting
    (parts,) = outbox.take_parts(ALL)
    assert frames.split_frames_untrusted(b"".join(parts)) == [
        (0, frames.WINDOW, frames.U32.pack(CHANNEL_WINDOW // 2))
    ]
    assert not outbox.waiting


def test_a_body_waits_for_its_head_that_a_full_call_left_behind_and_others_do_not(lab: ModuleType) -> None:
    pair = lab.Pair()
    known = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    fills, late = pair.web.open_stream(GET), pair.web.open_stream(GET)
    pair.web.send_data(late, b"late")
    pair.web.send_data(known, b"known")
    kinds = [(number, kind) for number, kind, _ in sizes(pair.web.take_records(1))]
    assert kinds == [(fills, frames.HEAD), (known, frames.DATA)]
    kinds = [(number, kind) for number, kind, _ in sizes(pair.web.take_records(1))]
    assert kinds == [(late, frames.HEAD), (late, frames.DATA)]
    assert pair.web.take_records(ALL) == []


def test_bodies_take_turns_of_16_kib_until_one_is_alone(lab: ModuleType) -> None:
    pair = lab.Pair()
    first, second = pair.web.open_stream(GET), pair.web.open_stream(GET)
    pair.deliver(pair.web)
    pair.web.send_data(first, bytes(INITIAL_WINDOW))
    pair.web.send_data(second, bytes(20_000))
    header = frames.HEADER.size
    taken = [(first, 16_384), (second, 16_384), (first, 16_384), (second, 3_616)]
    room = MAX_RECORD_BODY - sum(header + size for _, size in taken) - header
    assert chunks(pair.web.take_records(ALL)) == [*taken, (first, room), (first, 2 * 16_384 - room)]


def test_a_body_that_is_alone_fills_what_the_call_may_give_but_no_more_than_a_record(
    lab: ModuleType,
) -> None:
    pair = lab.Pair()
    stream = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    pair.web.send_data(stream, bytes(INITIAL_WINDOW))
    assert chunks(pair.web.take_records(20_000)) == [(stream, 20_000)]
    assert chunks(pair.web.take_records(1)) == [(stream, frames.MAX_CHUNK)]
    assert chunks(pair.web.take_records(ALL)) == [(stream, INITIAL_WINDOW - 20_000 - frames.MAX_CHUNK)]
    full = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    pair.web.send_data(full, bytes(INITIAL_WINDOW))
    assert chunks(pair.web.take_records(ALL))[0] == (full, frames.MAX_PAYLOAD)


def test_heads_that_a_call_leaves_behind_go_with_the_next_one_in_their_order(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    streams = [pair.web.open_stream(GET, bytes(10_000)) for _ in range(5)]
    taken = []
    while pair.web.has_output:
        taken.append([number for number, _, _ in sizes(pair.web.take_records(15_000))])
    assert taken == [streams[:2], streams[2:4], streams[4:]]


def test_what_is_accepted_piece_by_piece_arrives_in_one(lab: ModuleType) -> None:
    pair = lab.Pair()
    stream = pair.web.open_stream(GET)
    changing = bytearray(b"first")
    pair.web.send_data(stream, memoryview(changing))
    changing[:] = b"wrong"
    pair.web.send_data(stream, b" second")
    pair.web.send_data(stream, memoryview(b" third"))
    (_, data) = pair.deliver(pair.web)
    assert data.data == b"first second third"

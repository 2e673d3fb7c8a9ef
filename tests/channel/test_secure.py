"""Records on an open channel as dialogues between two machines, a hand-driven peer, and somebody in the middle."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.channel.noise import Suite
from gossipmesh.channel.secure import (
    END,
    HOP,
    MAX_RECORD_BODY,
    MAX_UNSENT,
    Ended,
    Event,
    HandshakeDone,
    Record,
    SecureChannel,
)
from gossipmesh.crypto import HAS_AES
from gossipmesh.errors import LocalProtocolError


def frames(stream: bytes) -> list[bytes]:
    found = []
    while stream:
        size = 2 + int.from_bytes(stream[:2], "big")
        found.append(stream[:size])
        stream = stream[size:]
    return found


# --- records


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=400)), max_size=8),
    st.lists(st.integers(1, 120), min_size=1, max_size=30),
)
def test_records_arrive_the_same_however_the_stream_is_cut(
    lab: ModuleType, bodies: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    initiator, responder = lab.alice(), lab.bob()
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    for kind, body in bodies:
        initiator.send_record(kind, body)
    initiator.send_end()
    stream, events = initiator.bytes_to_send(), []
    while stream:
        for cut in cuts:
            if piece := stream[:cut]:
                events += responder.receive_bytes_untrusted(piece)
            stream = stream[cut:]
    assert events == [HandshakeDone("alice"), *(Record(kind, body) for kind, body in bodies), Ended()]
    responder.receive_eof()


def test_all_records_of_one_turn_leave_together(lab: ModuleType) -> None:
    initiator, responder = lab.opened()
    initiator.send_record(HOP, b"he", bytearray(b"a"), memoryview(b"d"))
    initiator.send_record(HOP)
    assert initiator.unsent == (2 + 1 + 4 + 16) + (2 + 1 + 16)
    wire = initiator.bytes_to_send()
    assert len(frames(wire)) == 2
    assert initiator.bytes_to_send() == b""
    assert initiator.unsent == 0
    assert responder.receive_bytes_untrusted(wire) == [Record(HOP, b"head"), Record(HOP, b"")]


def test_the_largest_record_fits_and_a_larger_one_is_our_own_mistake(lab: ModuleType) -> None:
    initiator, responder = lab.opened()
    with pytest.raises(LocalProtocolError) as mistake:
        initiator.send_record(HOP, bytes(MAX_RECORD_BODY + 1))
    assert mistake.value.code == "channel.size"
    wire = lab.sealed(initiator, HOP, bytes(MAX_RECORD_BODY))
    assert len(wire) == 2 + 65_535
    assert responder.receive_bytes_untrusted(wire) == [Record(HOP, bytes(MAX_RECORD_BODY))]


@pytest.mark.parametrize("kind", [-1, END, 256])
def test_only_the_channel_itself_makes_end_records(lab: ModuleType, kind: int) -> None:
    initiator, _ = lab.opened()
    with pytest.raises(LocalProtocolError) as mistake:
        initiator.send_record(kind, b"")
    assert mistake.value.code == "channel.kind"


def test_what_waits_to_be_sent_is_bounded(lab: ModuleType) -> None:
    initiator, _ = lab.opened()
    body = bytes(MAX_RECORD_BODY)
    for _ in range(MAX_UNSENT // (2 + 65_535)):
        initiator.send_record(HOP, body)
    with pytest.raises(LocalProtocolError) as mistake:
        initiator.send_record(HOP, body)
    assert mistake.value.code == "channel.unsent"
    assert initiator.unsent <= MAX_UNSENT
    initiator.bytes_to_send()
    initiator.send_record(HOP, body)


def test_damage_to_a_record_is_never_taken_for_a_record(lab: ModuleType) -> None:
    def receiver() -> tuple[SecureChannel[str], bytes]:
        initiator, responder = lab.opened()
        return responder, lab.sealed(initiator, HOP, b"body")

    for bad in lab.damaged(receiver()[1]):
        lab.fails_by_the_end_of(receiver()[0], bad)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 1), (0, 2), (1, 2)])
def test_records_out_of_order_repeated_or_missing_close_the_channel(
    lab: ModuleType, order: tuple[int, ...]
) -> None:
    initiator, responder = lab.opened()
    wires = [lab.sealed(initiator, HOP, bytes([number])) for number in range(3)]
    stream = b"".join(wires[number] for number in order)
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(stream)) == "channel.record"
    lab.assert_closed_for_good(responder, "channel.record")


def test_a_record_reflected_to_its_sender_closes_the_channel(lab: ModuleType) -> None:
    initiator, _ = lab.opened()
    wire = lab.sealed(initiator, HOP, b"echo")
    assert lab.code_of(lambda: initiator.receive_bytes_untrusted(wire)) == "channel.record"


def test_a_failed_channel_forgets_what_it_had_not_sent(lab: ModuleType) -> None:
    initiator, _ = lab.opened()
    initiator.send_record(HOP, b"never mind")
    assert lab.code_of(lambda: initiator.receive_bytes_untrusted(bytes(2))) == "channel.malformed"
    assert initiator.unsent == 0
    lab.assert_closed_for_good(initiator, "channel.malformed")


def test_a_frame_without_room_for_a_type_byte_is_malformed(lab: ModuleType) -> None:
    responder = lab.bob()
    sending, _ = lab.raw_initiator(responder)
    wire = lab.framed(sending.encrypt(b""))
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(wire)) == "channel.malformed"


@pytest.mark.parametrize("piece", [1, 3, 4_096, 65_536, 1_000_000])
def test_large_receives_and_small_ones_hold_at_most_one_incomplete_frame(lab: ModuleType, piece: int) -> None:
    initiator, responder = lab.opened()
    bodies = [bytes([number]) * MAX_RECORD_BODY for number in range(4)]
    stream = b"".join(lab.sealed(initiator, HOP, body) for body in bodies)
    events: list[Event[str]] = []
    for start in range(0, len(stream), piece):
        events += responder.receive_bytes_untrusted(stream[start : start + piece])
    assert events == [Record(HOP, body) for body in bodies]


# --- the end


def test_each_direction_ends_on_its_own(lab: ModuleType) -> None:
    initiator, responder = lab.opened()
    initiator.send_record(HOP, b"last")
    initiator.send_end()
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [Record(HOP, b"last"), Ended()]
    responder.receive_eof()
    assert initiator.receive_bytes_untrusted(lab.sealed(responder, HOP, b"answer")) == [
        Record(HOP, b"answer")
    ]
    responder.send_end()
    assert initiator.receive_bytes_untrusted(responder.bytes_to_send()) == [Ended()]
    initiator.receive_eof()


def test_a_stream_that_stops_without_an_end_was_cut(lab: ModuleType) -> None:
    initiator, responder = lab.opened()
    wire = lab.sealed(initiator, HOP, b"whole")
    assert responder.receive_bytes_untrusted(wire) == [Record(HOP, b"whole")]
    assert lab.code_of(responder.receive_eof) == "channel.truncated"
    lab.assert_closed_for_good(responder, "channel.truncated")


def test_our_own_end_does_not_make_a_cut_stream_clean(lab: ModuleType) -> None:
    initiator, _ = lab.opened()
    initiator.send_end()
    assert lab.code_of(initiator.receive_eof) == "channel.truncated"


def test_a_channel_that_is_cut_during_its_handshake_was_cut(lab: ModuleType) -> None:
    assert lab.fails_by_the_end_of(lab.bob(), b"") == "channel.truncated"
    assert lab.fails_by_the_end_of(lab.alice(), b"\0") == "channel.truncated"
    assert lab.fails_by_the_end_of(lab.alice(), b"") == "channel.unanswered"


def test_nothing_follows_an_end(lab: ModuleType) -> None:
    initiator, responder = lab.opened()
    initiator.send_end()
    for again in (initiator.send_end, lambda: initiator.send_record(HOP, b"more")):
        with pytest.raises(LocalProtocolError) as mistake:
            again()
        assert mistake.value.code == "channel.order"
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    assert (
        lab.code_of(lambda: responder.receive_bytes_untrusted(lab.framed(bytes(17)))) == "channel.after-end"
    )
    lab.assert_closed_for_good(responder, "channel.after-end")


def test_a_part_of_a_frame_after_an_end_is_no_clean_end(lab: ModuleType) -> None:
    initiator, responder = lab.opened()
    initiator.send_end()
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(b"\0")) == "channel.after-end"


def test_an_end_with_a_body_is_malformed(lab: ModuleType) -> None:
    responder = lab.bob()
    sending, _ = lab.raw_initiator(responder)
    wire = lab.framed(sending.encrypt(bytes([END]) + b"but"))
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(wire)) == "channel.malformed"


def test_no_bytes_at_all_are_our_own_mistake_not_a_clean_end(lab: ModuleType) -> None:
    _, responder = lab.opened()
    with pytest.raises(LocalProtocolError):
        responder.receive_bytes_untrusted(b"")


# --- rekeying


@pytest.mark.parametrize(
    "suite",
    [
        Suite.CHACHA,
        pytest.param(
            Suite.AES, marks=pytest.mark.skipif(not HAS_AES, reason="no instructions for AES-GCM here")
        ),
    ],
)
def test_both_ends_rekey_in_step(lab: ModuleType, suite: Suite) -> None:
    initiator, responder = lab.opened(rekey_every=3, suite=suite)
    for number in range(20):
        body = bytes([number])
        assert responder.receive_bytes_untrusted(lab.sealed(initiator, HOP, body)) == [Record(HOP, body)]
        if number % 2:
            assert initiator.receive_bytes_untrusted(lab.sealed(responder, HOP, body)) == [Record(HOP, body)]
    many = [bytes([number]) for number in range(10)]
    for body in many:
        initiator.send_record(HOP, body)
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [
        Record(HOP, body) for body in many
    ]


def test_the_key_changes_after_exactly_the_agreed_number_of_records(lab: ModuleType) -> None:
    responder = lab.bob(rekey_every=3)
    sending, receiving = lab.raw_initiator(responder)
    for number in range(9):
        wire = lab.framed(sending.encrypt(bytes([HOP, number])))
        assert responder.receive_bytes_untrusted(wire) == [Record(HOP, bytes([number]))]
        assert receiving.decrypt_untrusted(lab.sealed(responder, HOP, b"back")[2:]) == bytes([HOP]) + b"back"
        if number % 3 == 2:
            sending.rekey()
            receiving.rekey()


def test_ends_that_rekey_at_different_times_stop_understanding_each_other(lab: ModuleType) -> None:
    responder = lab.bob(rekey_every=3)
    sending, _ = lab.raw_initiator(responder)
    for _ in range(3):
        responder.receive_bytes_untrusted(lab.framed(sending.encrypt(bytes([HOP]))))
    wire = lab.framed(sending.encrypt(bytes([HOP])))
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(wire)) == "channel.record"

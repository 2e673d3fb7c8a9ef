"""The channel as dialogues between two machines, a hand-driven peer, and somebody in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from gossipmesh.channel.noise import PROTOCOL_NAME, CipherState, Handshake, Role
from gossipmesh.channel.secure import (
    END,
    HOP,
    MAX_CREDENTIALS,
    MAX_HANDSHAKE,
    MAX_RECORD_BODY,
    MAX_UNSENT,
    PROLOGUE,
    SYNC,
    Ended,
    Event,
    HandshakeDone,
    Record,
    SecureChannel,
)
from gossipmesh.crypto import dh_public
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError, TrustError

MESH = bytes(range(32))
ALICE, BOB, MALLORY = bytes([1] * 32), bytes([2] * 32), bytes([3] * 32)
NAMES = {dh_public(ALICE): "alice", dh_public(BOB): "bob", dh_public(MALLORY): "mallory"}

Channel = SecureChannel[str]


def credentials(private: bytes) -> bytes:
    return b"credentials of " + dh_public(private)


def expect(*names: str) -> Callable[[bytes, bytes], str]:
    """Stand in for identity: credentials are genuine if they name the key that the handshake proved."""

    def authenticate(payload: bytes, remote_static: bytes) -> str:
        if payload != b"credentials of " + remote_static:
            raise TrustError("credentials.dh", "the credentials name another key")
        if NAMES[remote_static] not in names:
            raise TrustError("credentials.id", f"{NAMES[remote_static]} is not who was expected")
        return NAMES[remote_static]

    return authenticate


def channel(
    role: Role,
    static: bytes,
    *names: str,
    mesh: bytes = MESH,
    shown: bytes | None = None,
    rekey_every: int = 2**20,
    ephemeral: int = 0,
) -> Channel:
    return SecureChannel(
        role,
        mesh_id=mesh,
        static_private=static,
        ephemeral_private=bytes([static[0], ephemeral] * 16),
        credentials=credentials(static) if shown is None else shown,
        authenticate=expect(*names),
        rekey_every=rekey_every,
    )


def alice(**options: int) -> Channel:
    return channel(Role.INITIATOR, ALICE, "bob", **options)


def bob(**options: int) -> Channel:
    return channel(Role.RESPONDER, BOB, "alice", **options)


def pair(**options: int) -> tuple[Channel, Channel]:
    initiator, responder = alice(**options), bob(**options)
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    return initiator, responder


def sealed(sender: Channel, kind: int, body: bytes) -> bytes:
    sender.send_record(kind, body)
    return sender.bytes_to_send()


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def frames(stream: bytes) -> list[bytes]:
    found = []
    while stream:
        size = 2 + int.from_bytes(stream[:2], "big")
        found.append(stream[:size])
        stream = stream[size:]
    return found


def damaged(data: bytes) -> Iterator[bytes]:
    for size in range(len(data)):
        yield data[:size]
    for bit in range(8 * len(data)):
        twin = bytearray(data)
        twin[bit // 8] ^= 1 << bit % 8
        yield bytes(twin)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(RemoteProtocolError) as error:
        call()
    return error.value.code


def assert_closed_for_good(side: Channel, code: str) -> None:
    for call in (
        lambda: side.receive_bytes_untrusted(b"x"),
        lambda: side.send_record(HOP, b"x"),
        side.send_end,
        side.bytes_to_send,
        side.receive_eof,
    ):
        assert code_of(call) == code
    assert not side.established


def fails_by_the_end_of(side: Channel, stream: bytes) -> str:
    """Give the code with which ``side`` fails at ``stream`` and then the end; it must have served nobody."""
    events: list[Event[str]] = []
    try:
        if stream:
            events = side.receive_bytes_untrusted(stream)
        side.receive_eof()
    except RemoteProtocolError as error:
        assert events == []
        assert_closed_for_good(side, error.code)
        return error.code
    pytest.fail("the channel took damage for a clean end")


def raw_initiator(side: Channel) -> tuple[CipherState, CipherState]:
    """Finish a handshake with the responder ``side`` by hand, as Alice; give what to send and receive with."""
    handshake = Handshake(
        Role.INITIATOR, prologue=PROLOGUE + MESH, static_private=ALICE, ephemeral_private=bytes([9] * 32)
    )
    side.receive_bytes_untrusted(framed(handshake.write_message(b"")))
    handshake.read_message_untrusted(side.bytes_to_send()[2:])
    message = framed(handshake.write_message(credentials(ALICE)))
    assert side.receive_bytes_untrusted(message) == [HandshakeDone("alice")]
    return handshake.split()


# --- the handshake


def test_a_channel_opens_in_three_messages_and_then_carries_records_both_ways() -> None:
    initiator, responder = alice(), bob()
    first = initiator.bytes_to_send()
    assert len(first) == 2 + 32
    assert responder.bytes_to_send() == b""
    assert responder.receive_bytes_untrusted(first) == []
    assert initiator.receive_bytes_untrusted(responder.bytes_to_send()) == [HandshakeDone("bob")]
    assert initiator.established
    assert not responder.established
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [HandshakeDone("alice")]
    assert responder.established
    assert responder.receive_bytes_untrusted(sealed(initiator, SYNC, b"ask")) == [Record(SYNC, b"ask")]
    assert initiator.receive_bytes_untrusted(sealed(responder, SYNC, b"answer")) == [Record(SYNC, b"answer")]


def test_the_initiator_s_first_records_may_travel_with_its_last_message() -> None:
    initiator, responder = alice(), bob()
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    initiator.send_record(HOP, b"head")
    initiator.send_record(HOP, b"data")
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [
        HandshakeDone("alice"),
        Record(HOP, b"head"),
        Record(HOP, b"data"),
    ]


def test_an_initiator_that_reached_somebody_else_shows_nothing() -> None:
    initiator, mallory = alice(), channel(Role.RESPONDER, MALLORY, "alice")
    mallory.receive_bytes_untrusted(initiator.bytes_to_send())
    answer = mallory.bytes_to_send()
    assert code_of(lambda: initiator.receive_bytes_untrusted(answer)) == "credentials.id"
    assert_closed_for_good(initiator, "credentials.id")
    assert code_of(mallory.receive_eof) == "channel.truncated"


def test_a_responder_that_refuses_its_caller_reports_neither_it_nor_its_records() -> None:
    mallory, responder = channel(Role.INITIATOR, MALLORY, "bob"), bob()
    responder.receive_bytes_untrusted(mallory.bytes_to_send())
    mallory.receive_bytes_untrusted(responder.bytes_to_send())
    mallory.send_record(HOP, b"let me in")
    wire = mallory.bytes_to_send()
    with pytest.raises(TrustError) as refusal:
        responder.receive_bytes_untrusted(wire)
    assert refusal.value.code == "credentials.id"
    assert_closed_for_good(responder, "credentials.id")
    assert code_of(mallory.receive_eof) == "channel.truncated"


def test_nodes_of_different_meshes_do_not_open_a_channel() -> None:
    initiator, responder = alice(), channel(Role.RESPONDER, BOB, "alice", mesh=bytes(32))
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    wire = responder.bytes_to_send()
    assert code_of(lambda: initiator.receive_bytes_untrusted(wire)) == "channel.handshake"
    assert code_of(responder.receive_eof) == "channel.truncated"


@pytest.mark.parametrize("swapped", [1, 2, 3])
@pytest.mark.parametrize("donor", [ALICE, BOB, MALLORY])
def test_a_message_of_another_handshake_makes_both_ends_fail(swapped: int, donor: bytes) -> None:
    other_initiator = channel(Role.INITIATOR, donor, *NAMES.values(), ephemeral=7)
    other_responder = channel(Role.RESPONDER, donor, *NAMES.values(), ephemeral=8)
    other_1 = other_initiator.bytes_to_send()
    other_responder.receive_bytes_untrusted(other_1)
    other_2 = other_responder.bytes_to_send()
    other_initiator.receive_bytes_untrusted(other_2)
    other = {1: other_1, 2: other_2, 3: other_initiator.bytes_to_send()}

    initiator, responder = alice(), bob()
    message_1 = initiator.bytes_to_send()
    responder.receive_bytes_untrusted(other[1] if swapped == 1 else message_1)
    message_2 = responder.bytes_to_send()
    if swapped < 3:
        assert fails_by_the_end_of(initiator, other[2] if swapped == 2 else message_2) == "channel.handshake"
        assert fails_by_the_end_of(responder, b"") == "channel.truncated"
    else:
        initiator.receive_bytes_untrusted(message_2)
        assert fails_by_the_end_of(responder, other[3]) == "channel.handshake"
        assert fails_by_the_end_of(initiator, b"") == "channel.truncated"


@pytest.mark.parametrize("stolen", [ALICE, BOB])
def test_certificates_of_another_key_make_both_ends_fail_whoever_shows_them(stolen: bytes) -> None:
    initiator, mallory = alice(), channel(Role.RESPONDER, MALLORY, "alice", shown=credentials(stolen))
    mallory.receive_bytes_untrusted(initiator.bytes_to_send())
    assert fails_by_the_end_of(initiator, mallory.bytes_to_send()) == "credentials.dh"
    assert fails_by_the_end_of(mallory, b"") == "channel.truncated"

    mallory, responder = channel(Role.INITIATOR, MALLORY, "bob", shown=credentials(stolen)), bob()
    responder.receive_bytes_untrusted(mallory.bytes_to_send())
    mallory.receive_bytes_untrusted(responder.bytes_to_send())
    mallory.send_record(HOP, b"application data")
    assert fails_by_the_end_of(responder, mallory.bytes_to_send()) == "credentials.dh"
    assert fails_by_the_end_of(mallory, b"") == "channel.truncated"


def test_somebody_in_the_middle_with_both_sides_credentials_gets_through_to_neither() -> None:
    initiator, responder = alice(), bob()
    as_bob = channel(Role.RESPONDER, MALLORY, "alice", shown=credentials(BOB))
    as_alice = channel(Role.INITIATOR, MALLORY, "bob", shown=credentials(ALICE))
    as_bob.receive_bytes_untrusted(initiator.bytes_to_send())
    responder.receive_bytes_untrusted(as_alice.bytes_to_send())
    as_alice.receive_bytes_untrusted(responder.bytes_to_send())
    assert fails_by_the_end_of(initiator, as_bob.bytes_to_send()) == "credentials.dh"
    assert fails_by_the_end_of(responder, as_alice.bytes_to_send()) == "credentials.dh"


def test_damage_to_message_1_makes_both_ends_fail() -> None:
    message = alice().bytes_to_send()
    for bad in damaged(message):
        initiator, responder = alice(), bob()
        initiator.bytes_to_send()
        answer = b""
        try:
            assert responder.receive_bytes_untrusted(bad or b"\0") == []
            answer = responder.bytes_to_send()
            responder.receive_eof()
        except RemoteProtocolError as error:
            assert_closed_for_good(responder, error.code)
        else:
            pytest.fail("the responder took damage for a clean end")
        fails_by_the_end_of(initiator, answer)


def test_damage_to_message_2_makes_both_ends_fail() -> None:
    responder = bob()
    responder.receive_bytes_untrusted(alice().bytes_to_send())
    for bad in damaged(responder.bytes_to_send()):
        initiator = alice()
        initiator.bytes_to_send()
        fails_by_the_end_of(initiator, bad)
    assert fails_by_the_end_of(responder, b"") == "channel.truncated"


def test_damage_to_message_3_makes_both_ends_fail() -> None:
    initiator, responder = alice(), bob()
    message_1 = initiator.bytes_to_send()
    responder.receive_bytes_untrusted(message_1)
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    for bad in damaged(initiator.bytes_to_send()):
        responder = bob()
        responder.receive_bytes_untrusted(message_1)
        fails_by_the_end_of(responder, bad)
    assert fails_by_the_end_of(initiator, b"") == "channel.truncated"


def test_a_record_before_the_handshake_is_finished_reaches_nobody() -> None:
    initiator, _ = pair()
    record = sealed(initiator, HOP, b"too early")
    for role in (Role.INITIATOR, Role.RESPONDER):
        side = alice() if role is Role.INITIATOR else bob()
        with pytest.raises(LocalProtocolError) as mistake:
            side.send_record(HOP, b"too early")
        assert mistake.value.code == "channel.order"
        with pytest.raises(LocalProtocolError):
            side.send_end()
        assert not side.established
    fresh = alice()
    assert fails_by_the_end_of(fresh, record) == "channel.handshake"
    waiting = bob()
    waiting.receive_bytes_untrusted(alice().bytes_to_send())
    assert fails_by_the_end_of(waiting, record) == "channel.handshake"


def test_the_first_message_carries_nothing() -> None:
    handshake = Handshake(
        Role.INITIATOR, prologue=PROLOGUE + MESH, static_private=ALICE, ephemeral_private=bytes([9] * 32)
    )
    responder = bob()
    message = framed(handshake.write_message(b"early data"))
    assert code_of(lambda: responder.receive_bytes_untrusted(message)) == "channel.handshake"
    assert_closed_for_good(responder, "channel.handshake")


def test_a_handshake_longer_than_4_kib_is_refused_as_soon_as_a_length_says_so() -> None:
    responder = bob()
    header = (MAX_HANDSHAKE - 1).to_bytes(2, "big")
    assert code_of(lambda: responder.receive_bytes_untrusted(header)) == "channel.handshake-too-long"
    responder = bob()
    first = alice().bytes_to_send()
    responder.receive_bytes_untrusted(first)
    header = (MAX_HANDSHAKE - len(first) - 2 + 1).to_bytes(2, "big")
    assert responder.receive_bytes_untrusted(header[:1]) == []
    assert code_of(lambda: responder.receive_bytes_untrusted(header[1:])) == "channel.handshake-too-long"
    assert_closed_for_good(responder, "channel.handshake-too-long")


def test_the_largest_credentials_fit_both_ways_and_larger_ones_are_our_own_mistake() -> None:
    def largest(role: Role, static: bytes) -> SecureChannel[int]:
        return SecureChannel(
            role,
            mesh_id=MESH,
            static_private=static,
            ephemeral_private=bytes([static[0]] * 32),
            credentials=bytes(MAX_CREDENTIALS),
            authenticate=lambda payload, _: len(payload),
        )

    initiator, responder = largest(Role.INITIATOR, ALICE), largest(Role.RESPONDER, BOB)
    first = initiator.bytes_to_send()
    responder.receive_bytes_untrusted(first)
    assert initiator.receive_bytes_untrusted(responder.bytes_to_send()) == [HandshakeDone(MAX_CREDENTIALS)]
    third = initiator.bytes_to_send()
    assert len(first) + len(third) == MAX_HANDSHAKE
    assert responder.receive_bytes_untrusted(third) == [HandshakeDone(MAX_CREDENTIALS)]
    with pytest.raises(LocalProtocolError):
        channel(Role.INITIATOR, ALICE, shown=bytes(MAX_CREDENTIALS + 1))


def test_a_bug_while_authenticating_leaves_a_channel_that_serves_nobody() -> None:
    def broken(payload: bytes, remote_static: bytes) -> str:
        raise KeyError("a bug")

    initiator, responder = (
        SecureChannel(
            role,
            mesh_id=MESH,
            static_private=static,
            ephemeral_private=static,
            credentials=credentials(static),
            authenticate=authenticate,
        )
        for role, static, authenticate in (
            (Role.INITIATOR, ALICE, expect("bob")),
            (Role.RESPONDER, BOB, broken),
        )
    )
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    third = initiator.bytes_to_send()
    with pytest.raises(KeyError):
        responder.receive_bytes_untrusted(third)
    assert not responder.established
    record = sealed(initiator, HOP, b"anybody?")
    with pytest.raises(LocalProtocolError):
        responder.receive_bytes_untrusted(record)


# --- records


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=400)), max_size=8),
    st.lists(st.integers(1, 120), min_size=1, max_size=30),
)
def test_records_arrive_the_same_however_the_stream_is_cut(
    bodies: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    initiator, responder = alice(), bob()
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


def test_all_records_of_one_turn_leave_together() -> None:
    initiator, responder = pair()
    initiator.send_record(HOP, b"he", bytearray(b"a"), memoryview(b"d"))
    initiator.send_record(HOP)
    assert initiator.unsent == (2 + 1 + 4 + 16) + (2 + 1 + 16)
    wire = initiator.bytes_to_send()
    assert len(frames(wire)) == 2
    assert initiator.bytes_to_send() == b""
    assert initiator.unsent == 0
    assert responder.receive_bytes_untrusted(wire) == [Record(HOP, b"head"), Record(HOP, b"")]


def test_the_largest_record_fits_and_a_larger_one_is_our_own_mistake() -> None:
    initiator, responder = pair()
    with pytest.raises(LocalProtocolError) as mistake:
        initiator.send_record(HOP, bytes(MAX_RECORD_BODY + 1))
    assert mistake.value.code == "channel.size"
    wire = sealed(initiator, HOP, bytes(MAX_RECORD_BODY))
    assert len(wire) == 2 + 65_535
    assert responder.receive_bytes_untrusted(wire) == [Record(HOP, bytes(MAX_RECORD_BODY))]


@pytest.mark.parametrize("kind", [-1, END, 256])
def test_only_the_channel_itself_makes_end_records(kind: int) -> None:
    initiator, _ = pair()
    with pytest.raises(LocalProtocolError) as mistake:
        initiator.send_record(kind, b"")
    assert mistake.value.code == "channel.kind"


def test_what_waits_to_be_sent_is_bounded() -> None:
    initiator, _ = pair()
    body = bytes(MAX_RECORD_BODY)
    for _ in range(MAX_UNSENT // (2 + 65_535)):
        initiator.send_record(HOP, body)
    with pytest.raises(LocalProtocolError) as mistake:
        initiator.send_record(HOP, body)
    assert mistake.value.code == "channel.unsent"
    assert initiator.unsent <= MAX_UNSENT
    initiator.bytes_to_send()
    initiator.send_record(HOP, body)


def test_damage_to_a_record_is_never_taken_for_a_record() -> None:
    def receiver() -> tuple[Channel, bytes]:
        initiator, responder = pair()
        return responder, sealed(initiator, HOP, b"body")

    for bad in damaged(receiver()[1]):
        fails_by_the_end_of(receiver()[0], bad)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 1), (0, 2), (1, 2)])
def test_records_out_of_order_repeated_or_missing_close_the_channel(order: tuple[int, ...]) -> None:
    initiator, responder = pair()
    wires = [sealed(initiator, HOP, bytes([number])) for number in range(3)]
    stream = b"".join(wires[number] for number in order)
    assert code_of(lambda: responder.receive_bytes_untrusted(stream)) == "channel.record"
    assert_closed_for_good(responder, "channel.record")


def test_a_record_reflected_to_its_sender_closes_the_channel() -> None:
    initiator, _ = pair()
    wire = sealed(initiator, HOP, b"echo")
    assert code_of(lambda: initiator.receive_bytes_untrusted(wire)) == "channel.record"


def test_a_failed_channel_forgets_what_it_had_not_sent() -> None:
    initiator, _ = pair()
    initiator.send_record(HOP, b"never mind")
    assert code_of(lambda: initiator.receive_bytes_untrusted(bytes(2))) == "channel.malformed"
    assert initiator.unsent == 0
    assert_closed_for_good(initiator, "channel.malformed")


def test_a_frame_without_room_for_a_type_byte_is_malformed() -> None:
    responder = bob()
    sending, _ = raw_initiator(responder)
    wire = framed(sending.encrypt(b""))
    assert code_of(lambda: responder.receive_bytes_untrusted(wire)) == "channel.malformed"


@pytest.mark.parametrize("piece", [1, 3, 4_096, 65_536, 1_000_000])
def test_large_receives_and_small_ones_hold_at_most_one_incomplete_frame(piece: int) -> None:
    initiator, responder = pair()
    bodies = [bytes([number]) * MAX_RECORD_BODY for number in range(4)]
    stream = b"".join(sealed(initiator, HOP, body) for body in bodies)
    events: list[Event[str]] = []
    for start in range(0, len(stream), piece):
        events += responder.receive_bytes_untrusted(stream[start : start + piece])
    assert events == [Record(HOP, body) for body in bodies]


# --- the end


def test_each_direction_ends_on_its_own() -> None:
    initiator, responder = pair()
    initiator.send_record(HOP, b"last")
    initiator.send_end()
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [Record(HOP, b"last"), Ended()]
    responder.receive_eof()
    assert initiator.receive_bytes_untrusted(sealed(responder, HOP, b"answer")) == [Record(HOP, b"answer")]
    responder.send_end()
    assert initiator.receive_bytes_untrusted(responder.bytes_to_send()) == [Ended()]
    initiator.receive_eof()


def test_a_stream_that_stops_without_an_end_was_cut() -> None:
    initiator, responder = pair()
    wire = sealed(initiator, HOP, b"whole")
    assert responder.receive_bytes_untrusted(wire) == [Record(HOP, b"whole")]
    assert code_of(responder.receive_eof) == "channel.truncated"
    assert_closed_for_good(responder, "channel.truncated")


def test_our_own_end_does_not_make_a_cut_stream_clean() -> None:
    initiator, _ = pair()
    initiator.send_end()
    assert code_of(initiator.receive_eof) == "channel.truncated"


def test_a_channel_that_is_cut_during_its_handshake_was_cut() -> None:
    assert fails_by_the_end_of(bob(), b"") == "channel.truncated"
    assert fails_by_the_end_of(alice(), b"") == "channel.truncated"


def test_nothing_follows_an_end() -> None:
    initiator, responder = pair()
    initiator.send_end()
    for again in (initiator.send_end, lambda: initiator.send_record(HOP, b"more")):
        with pytest.raises(LocalProtocolError) as mistake:
            again()
        assert mistake.value.code == "channel.order"
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    assert code_of(lambda: responder.receive_bytes_untrusted(framed(bytes(17)))) == "channel.after-end"
    assert_closed_for_good(responder, "channel.after-end")


def test_a_part_of_a_frame_after_an_end_is_no_clean_end() -> None:
    initiator, responder = pair()
    initiator.send_end()
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    assert code_of(lambda: responder.receive_bytes_untrusted(b"\0")) == "channel.after-end"


def test_an_end_with_a_body_is_malformed() -> None:
    responder = bob()
    sending, _ = raw_initiator(responder)
    wire = framed(sending.encrypt(bytes([END]) + b"but"))
    assert code_of(lambda: responder.receive_bytes_untrusted(wire)) == "channel.malformed"


def test_no_bytes_at_all_are_our_own_mistake_not_a_clean_end() -> None:
    _, responder = pair()
    with pytest.raises(LocalProtocolError):
        responder.receive_bytes_untrusted(b"")


# --- rekeying


def test_both_ends_rekey_in_step() -> None:
    initiator, responder = pair(rekey_every=3)
    for number in range(20):
        body = bytes([number])
        assert responder.receive_bytes_untrusted(sealed(initiator, HOP, body)) == [Record(HOP, body)]
        if number % 2:
            assert initiator.receive_bytes_untrusted(sealed(responder, HOP, body)) == [Record(HOP, body)]
    many = [bytes([number]) for number in range(10)]
    for body in many:
        initiator.send_record(HOP, body)
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [
        Record(HOP, body) for body in many
    ]


def test_the_key_changes_after_exactly_the_agreed_number_of_records() -> None:
    responder = bob(rekey_every=3)
    sending, receiving = raw_initiator(responder)
    for number in range(9):
        wire = framed(sending.encrypt(bytes([HOP, number])))
        assert responder.receive_bytes_untrusted(wire) == [Record(HOP, bytes([number]))]
        assert receiving.decrypt_untrusted(sealed(responder, HOP, b"back")[2:]) == bytes([HOP]) + b"back"
        if number % 3 == 2:
            sending.rekey()
            receiving.rekey()


def test_ends_that_rekey_at_different_times_stop_understanding_each_other() -> None:
    responder = bob(rekey_every=3)
    sending, _ = raw_initiator(responder)
    for _ in range(3):
        responder.receive_bytes_untrusted(framed(sending.encrypt(bytes([HOP]))))
    wire = framed(sending.encrypt(bytes([HOP])))
    assert code_of(lambda: responder.receive_bytes_untrusted(wire)) == "channel.record"


# --- against another implementation


def reference(role: Role, static: bytes) -> NoiseConnection:
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    connection.set_as_initiator() if role is Role.INITIATOR else connection.set_as_responder()
    connection.set_prologue(b"gossipmesh/1" + MESH)
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    connection.start_handshake()
    return connection


def converse(side: Channel, theirs: NoiseConnection) -> None:
    for number in range(5):
        body = bytes([number]) * 1_000
        assert theirs.decrypt(sealed(side, HOP, body)[2:]) == bytes([HOP]) + body
        assert side.receive_bytes_untrusted(framed(theirs.encrypt(bytes([SYNC]) + body))) == [
            Record(SYNC, body)
        ]
        if number % 2:
            theirs.rekey_inbound_cipher()
            theirs.rekey_outbound_cipher()
    side.send_end()
    assert theirs.decrypt(side.bytes_to_send()[2:]) == bytes([END])
    assert side.receive_bytes_untrusted(framed(theirs.encrypt(bytes([END])))) == [Ended()]
    side.receive_eof()


def test_an_initiator_speaks_with_noiseprotocol() -> None:
    initiator, theirs = alice(rekey_every=2), reference(Role.RESPONDER, BOB)
    assert theirs.read_message(initiator.bytes_to_send()[2:]) == b""
    answer = framed(bytes(theirs.write_message(credentials(BOB))))
    assert initiator.receive_bytes_untrusted(answer) == [HandshakeDone("bob")]
    assert theirs.read_message(initiator.bytes_to_send()[2:]) == credentials(ALICE)
    converse(initiator, theirs)


def test_a_responder_speaks_with_noiseprotocol() -> None:
    responder, theirs = bob(rekey_every=2), reference(Role.INITIATOR, ALICE)
    assert responder.receive_bytes_untrusted(framed(bytes(theirs.write_message(b"")))) == []
    assert theirs.read_message(responder.bytes_to_send()[2:]) == credentials(BOB)
    third = framed(bytes(theirs.write_message(credentials(ALICE))))
    assert responder.receive_bytes_untrusted(third) == [HandshakeDone("alice")]
    converse(responder, theirs)

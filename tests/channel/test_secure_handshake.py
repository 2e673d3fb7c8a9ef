"""How a channel is opened, by two who mean it, and what others make of it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from gossipmesh.channel.knock import MAC, MAX_HELLO, MAX_KNOCK
from gossipmesh.channel.noise import Handshake, Role
from gossipmesh.channel.secure import (
    HOP,
    MAX_CREDENTIALS,
    MAX_HANDSHAKE,
    PROLOGUE,
    SYNC,
    HandshakeDone,
    Record,
    SecureChannel,
)
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError, TrustError

ALICE, BOB, MALLORY = bytes([1] * 32), bytes([2] * 32), bytes([3] * 32)


def test_a_channel_opens_in_three_messages_and_then_carries_records_both_ways(lab: ModuleType) -> None:
    initiator, responder = lab.alice(), lab.bob()
    first = initiator.bytes_to_send()
    assert len(first) == 2 + 32 + MAC
    assert responder.bytes_to_send() == b""
    assert responder.receive_bytes_untrusted(first) == []
    assert initiator.receive_bytes_untrusted(responder.bytes_to_send()) == [HandshakeDone("bob")]
    assert initiator.established
    assert not responder.established
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [HandshakeDone("alice")]
    assert responder.established
    assert responder.receive_bytes_untrusted(lab.sealed(initiator, SYNC, b"ask")) == [Record(SYNC, b"ask")]
    assert initiator.receive_bytes_untrusted(lab.sealed(responder, SYNC, b"answer")) == [
        Record(SYNC, b"answer")
    ]


def test_the_initiator_s_first_records_may_travel_with_its_last_message(lab: ModuleType) -> None:
    initiator, responder = lab.alice(), lab.bob()
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    initiator.send_record(HOP, b"head")
    initiator.send_record(HOP, b"data")
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [
        HandshakeDone("alice"),
        Record(HOP, b"head"),
        Record(HOP, b"data"),
    ]


def test_an_initiator_that_reached_somebody_else_shows_nothing(lab: ModuleType) -> None:
    initiator, mallory = lab.alice(), lab.channel(Role.RESPONDER, MALLORY, "alice")
    mallory.receive_bytes_untrusted(initiator.bytes_to_send())
    answer = mallory.bytes_to_send()
    assert lab.code_of(lambda: initiator.receive_bytes_untrusted(answer)) == "credentials.id"
    lab.assert_closed_for_good(initiator, "credentials.id")
    assert lab.code_of(mallory.receive_eof) == "channel.truncated"


def test_a_responder_that_refuses_its_caller_reports_neither_it_nor_its_records(lab: ModuleType) -> None:
    mallory, responder = lab.channel(Role.INITIATOR, MALLORY, "bob"), lab.bob()
    responder.receive_bytes_untrusted(mallory.bytes_to_send())
    mallory.receive_bytes_untrusted(responder.bytes_to_send())
    mallory.send_record(HOP, b"let me in")
    wire = mallory.bytes_to_send()
    with pytest.raises(TrustError) as refusal:
        responder.receive_bytes_untrusted(wire)
    assert refusal.value.code == "credentials.id"
    lab.assert_closed_for_good(responder, "credentials.id")
    assert lab.code_of(mallory.receive_eof) == "channel.truncated"


def test_nodes_of_different_meshes_do_not_open_a_channel(lab: ModuleType) -> None:
    initiator, responder = lab.alice(), lab.channel(Role.RESPONDER, BOB, "alice", mesh=bytes(32))
    assert lab.fails_by_the_end_of(responder, initiator.bytes_to_send()) == "channel.mac"
    assert lab.code_of(initiator.receive_eof) == "channel.unanswered"
    # Nor where the responder answers all the same: its mesh is in the prologue too.
    initiator, stranger = lab.alice(), lab.channel(Role.RESPONDER, BOB, "alice", mesh=bytes(32))
    ephemeral = initiator.bytes_to_send()[2:34]
    stranger.receive_bytes_untrusted(lab.framed(ephemeral + lab.knock(ephemeral, mesh=bytes(32))))
    wire = stranger.bytes_to_send()
    assert lab.code_of(lambda: initiator.receive_bytes_untrusted(wire)) == "channel.handshake"


@pytest.mark.parametrize("swapped", [1, 2, 3])
@pytest.mark.parametrize("donor", [ALICE, BOB, MALLORY])
def test_a_message_of_another_handshake_makes_both_ends_fail(
    lab: ModuleType, swapped: int, donor: bytes
) -> None:
    other_initiator = lab.channel(Role.INITIATOR, donor, *lab.NAMES.values(), ephemeral=7)
    other_responder = lab.channel(Role.RESPONDER, donor, *lab.NAMES.values(), ephemeral=8)
    other_1 = other_initiator.bytes_to_send()
    other_responder.receive_bytes_untrusted(other_1)
    other_2 = other_responder.bytes_to_send()
    other_initiator.receive_bytes_untrusted(other_2)
    other = {1: other_1, 2: other_2, 3: other_initiator.bytes_to_send()}

    initiator, responder = lab.alice(), lab.bob()
    message_1 = initiator.bytes_to_send()
    responder.receive_bytes_untrusted(other[1] if swapped == 1 else message_1)
    message_2 = responder.bytes_to_send()
    if swapped < 3:
        assert (
            lab.fails_by_the_end_of(initiator, other[2] if swapped == 2 else message_2) == "channel.handshake"
        )
        assert lab.fails_by_the_end_of(responder, b"") == "channel.truncated"
    else:
        initiator.receive_bytes_untrusted(message_2)
        assert lab.fails_by_the_end_of(responder, other[3]) == "channel.handshake"
        assert lab.fails_by_the_end_of(initiator, b"") == "channel.truncated"


@pytest.mark.parametrize("stolen", [ALICE, BOB])
def test_certificates_of_another_key_make_both_ends_fail_whoever_shows_them(
    lab: ModuleType, stolen: bytes
) -> None:
    initiator, mallory = (
        lab.alice(),
        lab.channel(Role.RESPONDER, MALLORY, "alice", shown=lab.credentials(stolen)),
    )
    mallory.receive_bytes_untrusted(initiator.bytes_to_send())
    assert lab.fails_by_the_end_of(initiator, mallory.bytes_to_send()) == "credentials.dh"
    assert lab.fails_by_the_end_of(mallory, b"") == "channel.truncated"

    mallory, responder = lab.channel(Role.INITIATOR, MALLORY, "bob", shown=lab.credentials(stolen)), lab.bob()
    responder.receive_bytes_untrusted(mallory.bytes_to_send())
    mallory.receive_bytes_untrusted(responder.bytes_to_send())
    mallory.send_record(HOP, b"application data")
    assert lab.fails_by_the_end_of(responder, mallory.bytes_to_send()) == "credentials.dh"
    assert lab.fails_by_the_end_of(mallory, b"") == "channel.truncated"


def test_somebody_in_the_middle_with_both_sides_credentials_gets_through_to_neither(lab: ModuleType) -> None:
    initiator, responder = lab.alice(), lab.bob()
    as_bob = lab.channel(Role.RESPONDER, MALLORY, "alice", shown=lab.credentials(BOB))
    as_alice = lab.channel(Role.INITIATOR, MALLORY, "bob", shown=lab.credentials(ALICE))
    as_bob.receive_bytes_untrusted(initiator.bytes_to_send())
    responder.receive_bytes_untrusted(as_alice.bytes_to_send())
    as_alice.receive_bytes_untrusted(responder.bytes_to_send())
    assert lab.fails_by_the_end_of(initiator, as_bob.bytes_to_send()) == "credentials.dh"
    assert lab.fails_by_the_end_of(responder, as_alice.bytes_to_send()) == "credentials.dh"


def test_damage_to_message_1_makes_both_ends_fail(lab: ModuleType) -> None:
    message = lab.alice().bytes_to_send()
    for bad in lab.damaged(message):
        initiator, responder = lab.alice(), lab.bob()
        initiator.bytes_to_send()
        answer = b""
        try:
            assert responder.receive_bytes_untrusted(bad or b"\0") == []
            answer = responder.bytes_to_send()
            responder.receive_eof()
        except RemoteProtocolError as error:
            lab.assert_closed_for_good(responder, error.code)
        else:
            pytest.fail("the responder took damage for a clean end")
        lab.fails_by_the_end_of(initiator, answer)


def test_damage_to_message_2_makes_both_ends_fail(lab: ModuleType) -> None:
    responder = lab.bob()
    responder.receive_bytes_untrusted(lab.alice().bytes_to_send())
    for bad in lab.damaged(responder.bytes_to_send()):
        initiator = lab.alice()
        initiator.bytes_to_send()
        lab.fails_by_the_end_of(initiator, bad)
    assert lab.fails_by_the_end_of(responder, b"") == "channel.truncated"


def test_damage_to_message_3_makes_both_ends_fail(lab: ModuleType) -> None:
    initiator, responder = lab.alice(), lab.bob()
    message_1 = initiator.bytes_to_send()
    responder.receive_bytes_untrusted(message_1)
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    for bad in lab.damaged(initiator.bytes_to_send()):
        responder = lab.bob()
        responder.receive_bytes_untrusted(message_1)
        lab.fails_by_the_end_of(responder, bad)
    assert lab.fails_by_the_end_of(initiator, b"") == "channel.truncated"


def test_a_record_before_the_handshake_is_finished_reaches_nobody(lab: ModuleType) -> None:
    initiator, _ = lab.opened()
    record = lab.sealed(initiator, HOP, b"too early")
    for role in (Role.INITIATOR, Role.RESPONDER):
        side = lab.alice() if role is Role.INITIATOR else lab.bob()
        with pytest.raises(LocalProtocolError) as mistake:
            side.send_record(HOP, b"too early")
        assert mistake.value.code == "channel.order"
        with pytest.raises(LocalProtocolError):
            side.send_end()
        assert not side.established
    fresh = lab.alice()
    assert lab.fails_by_the_end_of(fresh, record) == "channel.handshake"
    waiting = lab.bob()
    waiting.receive_bytes_untrusted(lab.alice().bytes_to_send())
    assert lab.fails_by_the_end_of(waiting, record) == "channel.handshake"


def knocking(lab: ModuleType, payload: bytes) -> bytes:
    handshake = Handshake(
        Role.INITIATOR, prologue=PROLOGUE + lab.MESH, static_private=ALICE, ephemeral_private=bytes([9] * 32)
    )
    return lab.framed(handshake.write_message(payload))


def test_who_does_not_know_the_mesh_gets_not_one_byte(lab: ModuleType) -> None:
    ephemeral = knocking(lab, b"")[2:]
    for payload in (
        b"",
        bytes(MAC),
        lab.knock(bytes(32)),
        lab.knock(ephemeral, mesh=bytes(32)),
        b"x" + lab.knock(ephemeral),
        lab.knock(ephemeral, b"x")[1:],
    ):
        responder = lab.bob()
        assert lab.fails_by_the_end_of(responder, knocking(lab, payload)) == "channel.mac"


def test_the_mac_binds_the_key_and_every_byte_that_is_said(lab: ModuleType) -> None:
    message = lab.alice(hello=b"I have 3").bytes_to_send()
    for bit in range(16, 8 * len(message)):
        bad = bytearray(message)
        bad[bit // 8] ^= 1 << bit % 8
        assert lab.fails_by_the_end_of(lab.bob(), bytes(bad)) == "channel.mac"


def test_each_side_shows_what_fits_what_the_other_said(lab: ModuleType) -> None:
    heard: list[bytes] = []

    def show(static: bytes) -> Callable[[bytes], bytes]:
        def shown(said: bytes) -> bytes:
            heard.append(said)
            return bytes(lab.credentials(static))

        return shown

    initiator = lab.channel(Role.INITIATOR, ALICE, "bob", shown=show(ALICE), hello=b"I have 3")
    responder = lab.channel(Role.RESPONDER, BOB, "alice", shown=show(BOB))
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [HandshakeDone("alice")]
    assert heard == [b"I have 3", lab.credentials(BOB)]


def test_a_bare_knock_is_answered_only_where_members_of_release_0_1_are_expected(lab: ModuleType) -> None:
    assert len(lab.alice(bare=True, hello=b"never said").bytes_to_send()) == 2 + 32
    old = lab.alice(bare=True)
    assert lab.fails_by_the_end_of(lab.bob(), old.bytes_to_send()) == "channel.mac"
    for knocks_bare in (True, False):
        initiator, responder = lab.alice(bare=knocks_bare), lab.bob(bare=True)
        responder.receive_bytes_untrusted(initiator.bytes_to_send())
        initiator.receive_bytes_untrusted(responder.bytes_to_send())
        assert responder.receive_bytes_untrusted(initiator.bytes_to_send()) == [HandshakeDone("alice")]
    # Whoever says more than its key says it with the mac.
    for payload in (b"x", bytes(MAC), lab.knock(bytes(32))):
        assert lab.fails_by_the_end_of(lab.bob(bare=True), knocking(lab, payload)) == "channel.mac"


def test_a_stranger_is_held_to_the_length_of_a_first_message(lab: ModuleType) -> None:
    longest = lab.alice(hello=bytes(MAX_HELLO)).bytes_to_send()
    assert lab.bob().receive_bytes_untrusted(longest) == []
    header = (MAX_KNOCK + 1).to_bytes(2, "big")
    assert lab.fails_by_the_end_of(lab.bob(), header) == "channel.handshake-too-long"
    with pytest.raises(LocalProtocolError):
        lab.alice(hello=bytes(MAX_HELLO + 1))


def test_a_handshake_longer_than_4_kib_is_refused_as_soon_as_a_length_says_so(lab: ModuleType) -> None:
    responder = lab.bob()
    header = (MAX_HANDSHAKE - 1).to_bytes(2, "big")
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(header)) == "channel.handshake-too-long"
    responder = lab.bob()
    first = lab.alice().bytes_to_send()
    responder.receive_bytes_untrusted(first)
    header = (MAX_HANDSHAKE - len(first) - 2 + 1).to_bytes(2, "big")
    assert responder.receive_bytes_untrusted(header[:1]) == []
    assert lab.code_of(lambda: responder.receive_bytes_untrusted(header[1:])) == "channel.handshake-too-long"
    lab.assert_closed_for_good(responder, "channel.handshake-too-long")


def test_the_largest_credentials_fit_both_ways_and_larger_ones_are_our_own_mistake(lab: ModuleType) -> None:
    def largest(role: Role, static: bytes) -> SecureChannel[int]:
        return SecureChannel(
            role,
            mesh_id=lab.MESH,
            static_private=static,
            ephemeral_private=bytes([static[0]] * 32),
            credentials=bytes(MAX_CREDENTIALS),
            authenticate=lambda payload, _: len(payload),
            hello=bytes(MAX_HELLO),
        )

    initiator, responder = largest(Role.INITIATOR, ALICE), largest(Role.RESPONDER, BOB)
    first = initiator.bytes_to_send()
    responder.receive_bytes_untrusted(first)
    assert initiator.receive_bytes_untrusted(responder.bytes_to_send()) == [HandshakeDone(MAX_CREDENTIALS)]
    third = initiator.bytes_to_send()
    assert len(first) + len(third) == MAX_HANDSHAKE
    assert responder.receive_bytes_untrusted(third) == [HandshakeDone(MAX_CREDENTIALS)]
    with pytest.raises(LocalProtocolError):
        lab.channel(Role.INITIATOR, ALICE, shown=bytes(MAX_CREDENTIALS + 1))
    late = lab.channel(Role.RESPONDER, BOB, "alice", shown=lambda _: bytes(MAX_CREDENTIALS + 1))
    with pytest.raises(LocalProtocolError):
        late.receive_bytes_untrusted(first)


def test_a_bug_while_authenticating_leaves_a_channel_that_serves_nobody(lab: ModuleType) -> None:
    def broken(payload: bytes, remote_static: bytes) -> str:
        raise KeyError("a bug")

    initiator, responder = (
        SecureChannel(
            role,
            mesh_id=lab.MESH,
            static_private=static,
            ephemeral_private=static,
            credentials=lab.credentials(static),
            authenticate=authenticate,
        )
        for role, static, authenticate in (
            (Role.INITIATOR, ALICE, lab.expect("bob")),
            (Role.RESPONDER, BOB, broken),
        )
    )
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    third = initiator.bytes_to_send()
    with pytest.raises(KeyError):
        responder.receive_bytes_untrusted(third)
    assert not responder.established
    record = lab.sealed(initiator, HOP, b"anybody?")
    with pytest.raises(LocalProtocolError):
        responder.receive_bytes_untrusted(record)

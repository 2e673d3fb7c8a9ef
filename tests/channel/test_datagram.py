"""Sealed datagrams: their layout, the replay window against a plain model, and what a forger can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.channel.datagram import (
    HINT_BYTES,
    MAX_COUNTER,
    MAX_DATAGRAM,
    MAX_PLAINTEXT,
    MAX_SALTS,
    WINDOW,
    DatagramOpener,
    DatagramSealer,
    Header,
    Hint,
    PairKeys,
    derive_pair_keys,
    encode_hint,
    peek_header_untrusted,
    sender_tag,
)
from gossipmesh.crypto import blake2b, dh, dh_public, xaead_seal
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.model import NodeId

MESH = bytes(range(32))
ALICE, BOB, CAROL = NodeId(b"A" * 32), NodeId(b"B" * 32), NodeId(b"C" * 32)
ALICE_PRIVATE, BOB_PRIVATE = bytes([1] * 32), bytes([2] * 32)
ALICE_GENERATION, BOB_GENERATION = 7, 9


def alice_keys(mesh: bytes = MESH) -> PairKeys:
    return derive_pair_keys(ALICE_PRIVATE, dh_public(BOB_PRIVATE), mesh_id=mesh, own_id=ALICE, peer_id=BOB)


def bob_keys() -> PairKeys:
    return derive_pair_keys(BOB_PRIVATE, dh_public(ALICE_PRIVATE), mesh_id=MESH, own_id=BOB, peer_id=ALICE)


def sealer(salt: bytes = b"salt-1", counter: int = 0) -> DatagramSealer:
    def entropy(size: int) -> bytes:
        assert size == len(salt)
        return salt

    return DatagramSealer(
        alice_keys().sealing,
        own_id=ALICE,
        own_generation=ALICE_GENERATION,
        peer_generation=BOB_GENERATION,
        entropy=entropy,
        counter=counter,
    )


def opener() -> DatagramOpener:
    return DatagramOpener(
        bob_keys().opening, peer_id=ALICE, peer_generation=ALICE_GENERATION, own_generation=BOB_GENERATION
    )


def salt_number(number: int) -> bytes:
    return number.to_bytes(6, "big")


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


# --- layout and keys


def test_a_datagram_is_laid_out_as_documented() -> None:
    sealing = sealer()
    sealing.seal(b"first")
    datagram = sealing.seal(b"second")
    header = bytes([0x11, 7, 9, 0]) + blake2b(ALICE, 6) + b"salt-1" + (1).to_bytes(8, "big")
    assert datagram[:24] == header
    assert len(datagram) == 40 + len(b"second")
    secret = dh(ALICE_PRIVATE, dh_public(BOB_PRIVATE))
    key = blake2b(b"gossipmesh/datagram/1\0" + MESH + ALICE + BOB, 32, key=secret)
    assert datagram[24:] == xaead_seal(key, header, b"second", header)
    assert peek_header_untrusted(datagram) == Header(7, 9, sender_tag(ALICE), b"salt-1", 1)


def test_both_sides_derive_the_same_keys_one_per_direction() -> None:
    assert alice_keys().sealing == bob_keys().opening
    assert alice_keys().opening == bob_keys().sealing
    assert alice_keys().sealing != alice_keys().opening
    assert alice_keys(mesh=bytes(32)) != alice_keys()
    assert "sealing" not in repr(alice_keys())


@pytest.mark.parametrize("public", [bytes(32), bytes(31), b""])
def test_no_keys_are_derived_from_a_peer_s_unusable_key(public: bytes) -> None:
    assert code_of(
        lambda: derive_pair_keys(ALICE_PRIVATE, public, mesh_id=MESH, own_id=ALICE, peer_id=BOB)
    ) == ("crypto.dh")


@given(st.binary(max_size=MAX_PLAINTEXT))
def test_what_is_sealed_opens_once(plaintext: bytes) -> None:
    opening, datagram = opener(), sealer().seal(plaintext)
    assert opening.open_untrusted(datagram) == plaintext
    assert code_of(lambda: opening.open_untrusted(datagram)) == "datagram.replay"


def test_the_largest_datagram_fits_ipv6_and_a_larger_one_is_our_own_mistake() -> None:
    sealing, opening = sealer(), opener()
    with pytest.raises(LocalProtocolError) as mistake:
        sealing.seal(bytes(MAX_PLAINTEXT + 1))
    assert mistake.value.code == "datagram.size"
    datagram = sealing.seal(bytes(MAX_PLAINTEXT))
    assert len(datagram) == MAX_DATAGRAM == 1_280 - 40 - 8
    assert opening.open_untrusted(datagram) == bytes(MAX_PLAINTEXT)


def test_a_sealer_counts_up_and_refuses_to_wrap() -> None:
    sealing, opening = sealer(counter=MAX_COUNTER - 1), opener()
    for _ in range(2):
        opening.open_untrusted(sealing.seal(b"x"))
    for _ in range(2):
        with pytest.raises(LocalProtocolError) as mistake:
            sealing.seal(b"x")
        assert mistake.value.code == "datagram.exhausted"


# --- damage and forgery


def test_damage_to_a_datagram_is_refused_and_leaves_the_opener_as_it_was() -> None:
    opening, datagram = opener(), sealer().seal(b"ping")
    for bad in damaged(datagram):
        assert code_of(lambda bad=bad: opening.open_untrusted(bad)) in (
            "datagram.malformed",
            "datagram.forged",
        )
    assert opening.open_untrusted(datagram) == b"ping"


def test_damage_after_the_first_datagram_leaves_the_window_as_it_was() -> None:
    sealing, opening = sealer(), opener()
    opening.open_untrusted(sealing.seal(b"first"))
    datagram = sealing.seal(b"second")
    for bad in damaged(datagram):
        code_of(lambda bad=bad: opening.open_untrusted(bad))
    assert opening.open_untrusted(datagram) == b"second"


@given(st.binary(max_size=64))
def test_random_bytes_peek_or_raise_and_open_nothing(junk: bytes) -> None:
    for data in (junk, b"\x11" + junk, b"\x12\0\0\0" + junk, sealer().seal(b"")[:24] + junk):
        try:
            assert isinstance(peek_header_untrusted(data), Header | Hint)
        except RemoteProtocolError as error:
            assert error.code == "datagram.malformed"
        code_of(lambda data=data: opener().open_untrusted(data))


def test_a_datagram_for_another_pair_of_keys_does_not_open() -> None:
    datagram = sealer().seal(b"ping")
    key = bob_keys().opening
    generations = {"peer_generation": ALICE_GENERATION, "own_generation": BOB_GENERATION}
    for other, code in (
        (DatagramOpener(key, peer_id=CAROL, **generations), "datagram.malformed"),
        (DatagramOpener(key, peer_id=ALICE, peer_generation=8, own_generation=9), "datagram.malformed"),
        (DatagramOpener(key, peer_id=ALICE, peer_generation=7, own_generation=8), "datagram.malformed"),
        (DatagramOpener(bob_keys().sealing, peer_id=ALICE, **generations), "datagram.forged"),
        (DatagramOpener(alice_keys(bytes(32)).sealing, peer_id=ALICE, **generations), "datagram.forged"),
    ):
        assert code_of(lambda other=other: other.open_untrusted(datagram)) == code


def test_a_datagram_reflected_to_its_sender_does_not_open() -> None:
    datagram = sealer().seal(b"ping")
    back = DatagramOpener(
        alice_keys().opening, peer_id=BOB, peer_generation=BOB_GENERATION, own_generation=ALICE_GENERATION
    )
    assert code_of(lambda: back.open_untrusted(datagram)) == "datagram.malformed"


# --- replays


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 3 * WINDOW),
            st.integers(WINDOW - 3, WINDOW + 3),
            st.integers(MAX_COUNTER - 2, MAX_COUNTER),
        ),
        max_size=40,
    )
)
def test_the_window_agrees_with_a_plain_set_of_counters(counters: list[int]) -> None:
    opening, seen = opener(), set[int]()
    for counter in counters:
        datagram = sealer(counter=counter).seal(b"x")
        if counter in seen or (seen and counter <= max(seen) - WINDOW):
            assert code_of(lambda datagram=datagram: opening.open_untrusted(datagram)) == "datagram.replay"
        else:
            assert opening.open_untrusted(datagram) == b"x"
            seen.add(counter)


def test_a_late_datagram_opens_while_it_is_inside_the_window() -> None:
    opening, sealing = opener(), sealer()
    early = [sealing.seal(b"early") for _ in range(2)]
    assert opening.open_untrusted(sealer(counter=WINDOW).seal(b"now")) == b"now"
    assert code_of(lambda: opening.open_untrusted(early[0])) == "datagram.replay"
    assert opening.open_untrusted(early[1]) == b"early"


def test_a_forger_can_neither_use_up_a_counter_nor_move_the_window() -> None:
    opening, sealing = opener(), sealer()
    first, second = sealing.seal(b"first"), sealing.seal(b"second")
    assert opening.open_untrusted(first) == b"first"
    for counter in (1, WINDOW * 2, MAX_COUNTER):
        forged = second[:16] + counter.to_bytes(8, "big") + second[24:-1] + b"\0"
        assert code_of(lambda forged=forged: opening.open_untrusted(forged)) == "datagram.forged"
    assert opening.open_untrusted(second) == b"second"


def test_a_forger_cannot_make_an_opener_remember_or_forget_a_salt() -> None:
    opening, sealing = opener(), sealer()
    first = sealing.seal(b"first")
    assert opening.open_untrusted(first) == b"first"
    for number in range(10 * MAX_SALTS):
        forged = first[:10] + salt_number(number) + first[16:]
        assert code_of(lambda forged=forged: opening.open_untrusted(forged)) == "datagram.forged"
    assert code_of(lambda: opening.open_untrusted(first)) == "datagram.replay"
    assert opening.open_untrusted(sealing.seal(b"second")) == b"second"
    assert opening.open_untrusted(sealer(b"salt-2").seal(b"third")) == b"third"


def test_recorded_sessions_never_open_again_however_many_followed() -> None:
    opening = opener()
    recorded = [
        datagram
        for number in range(MAX_SALTS)
        for session in [sealer(salt_number(number))]
        for datagram in (session.seal(b"0"), session.seal(b"1"))
    ]
    for datagram in recorded:
        opening.open_untrusted(datagram)
    for datagram in recorded:
        assert code_of(lambda datagram=datagram: opening.open_untrusted(datagram)) == "datagram.replay"
    one_more = sealer(b"salt-x").seal(b"x")
    assert code_of(lambda: opening.open_untrusted(one_more)) == "datagram.salts"
    assert opening.open_untrusted(sealer(salt_number(3), counter=2).seal(b"2")) == b"2"


def test_traffic_recorded_before_a_restart_opens_nothing_after_it() -> None:
    recorded = sealer().seal(b"recorded")
    new_private = bytes([5] * 32)
    after_receiver = derive_pair_keys(
        new_private, dh_public(ALICE_PRIVATE), mesh_id=MESH, own_id=BOB, peer_id=ALICE
    )
    after_sender = derive_pair_keys(
        BOB_PRIVATE, dh_public(new_private), mesh_id=MESH, own_id=BOB, peer_id=ALICE
    )
    for keys in (after_receiver, after_sender):
        # Generation numbers may come again after a restart; the keys do not.
        opening = DatagramOpener(
            keys.opening, peer_id=ALICE, peer_generation=ALICE_GENERATION, own_generation=BOB_GENERATION
        )
        assert code_of(lambda opening=opening: opening.open_untrusted(recorded)) == "datagram.forged"


# --- hints


def test_a_hint_is_sixteen_bytes_and_shorter_than_anything_that_may_cause_it() -> None:
    hint = Hint(sender_tag(BOB), sender_tag(ALICE))
    encoded = encode_hint(hint)
    assert encoded == bytes([0x12, 0, 0, 0]) + sender_tag(BOB) + sender_tag(ALICE)
    assert len(encoded) == HINT_BYTES < len(sealer().seal(b""))
    assert peek_header_untrusted(encoded) == hint


def test_a_damaged_hint_is_malformed_or_names_other_nodes() -> None:
    encoded = encode_hint(Hint(sender_tag(BOB), sender_tag(ALICE)))
    for bad in damaged(encoded):
        if len(bad) == HINT_BYTES and bad[:4] == encoded[:4]:
            assert peek_header_untrusted(bad) == Hint(bad[4:10], bad[10:])
        else:
            assert code_of(lambda bad=bad: peek_header_untrusted(bad)) == "datagram.malformed"


def test_other_versions_and_sizes_are_malformed() -> None:
    datagram, hint = sealer().seal(b"ping"), encode_hint(Hint(sender_tag(BOB), sender_tag(ALICE)))
    for bad in (
        b"\x21" + datagram[1:],
        b"\x22" + hint[1:],
        datagram[:3] + b"\1" + datagram[4:],
        datagram[:39],
        datagram + bytes(MAX_DATAGRAM),
        hint + b"\0",
        b"\x13" + hint[1:],
        b"",
    ):
        assert code_of(lambda bad=bad: peek_header_untrusted(bad)) == "datagram.malformed"

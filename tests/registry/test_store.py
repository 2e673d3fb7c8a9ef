"""What becomes of each offer, and the law that only the newest versions count, in whatever order they came."""

from __future__ import annotations

from types import ModuleType

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.crypto import blake2b
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import chain_hash
from gossipmesh.identity.checks import Checks
from gossipmesh.identity.record import RECORD_LABEL, MemberRecord, decode_record_untrusted, resign_record
from gossipmesh.identity.signed import envelope, seal
from gossipmesh.model import NodeId, Service
from gossipmesh.registry.digest import entry_of
from gossipmesh.registry.store import (
    Accepted,
    ChainAccepted,
    CloneAlarm,
    NeedsChain,
    Refused,
    Registry,
    Stale,
)

WEB = Service("web", 80)


def state_of(held: Registry) -> object:
    return dict(held.records), held.digest.root, held.waiting, held.clones


def test_a_record_with_its_chain_is_accepted_and_can_be_looked_up(lab: ModuleType) -> None:
    held = lab.registry()
    accepted = held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    assert isinstance(accepted, ChainAccepted)
    assert lab.offer(held, lab.ALICE.record()) == Accepted(
        lab.ALICE.record(), previous=None, refused_services=()
    )
    assert held.lookup(lab.ALICE.key.id) == lab.ALICE.record()
    assert held.chain_of(lab.ALICE.key.id) == held.chain(chain_hash(lab.ALICE.chain)) == accepted.chain
    assert dict(held.records) == {lab.ALICE.key.id: lab.ALICE.record()}
    assert len(held) == 1


def test_services_outside_the_chain_are_named_but_do_not_spoil_the_record(lab: ModuleType) -> None:
    held = lab.registry()
    held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    outcome = lab.offer(held, lab.ALICE.record(services=[Service("web-shop", 80), Service("bank", 80)]))
    assert isinstance(outcome, Accepted)
    assert outcome.refused_services == ("bank",)


def test_a_newer_version_replaces_the_older_and_an_older_one_is_stale(lab: ModuleType) -> None:
    first, second, third = lab.ALICE.record(1, 5), lab.ALICE.record(1, 6), lab.ALICE.record(2, 0)
    held = lab.registry((lab.ALICE, first))
    assert lab.offer(held, second) == Accepted(second, previous=first, refused_services=())
    assert lab.offer(held, third) == Accepted(third, previous=second, refused_services=())
    assert lab.offer(held, first) == lab.offer(held, second) == lab.offer(held, third) == Stale()
    assert len(held) == 1


def test_what_is_held_by_its_exact_bytes_is_neither_decoded_nor_verified_again(lab: ModuleType) -> None:
    costs: list[str] = []

    def decode(raw: bytes) -> MemberRecord:
        costs.append("decode")
        return decode_record_untrusted(raw)

    def verify(record: MemberRecord, *_: object, wall: float) -> MemberRecord:
        costs.append("verify")
        return record

    held = Registry(TrustStore(lab.BUNDLE), checks=Checks(decode_record=decode, verify_record=verify))
    held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    lab.offer(held, lab.ALICE.record(1, 1))
    assert costs == ["decode", "verify"]
    assert lab.offer(held, lab.ALICE.record(1, 1)) == Stale()
    assert costs == ["decode", "verify"]
    assert lab.offer(held, lab.ALICE.record(1, 0)) == Stale()
    assert costs == ["decode", "verify", "decode"]


def test_a_record_without_its_chain_waits_without_effect_and_is_given_back_with_it(lab: ModuleType) -> None:
    held = lab.registry()
    before = held.digest.root
    record = lab.ALICE.record()
    assert lab.offer(held, record) == lab.offer(held, record) == NeedsChain(chain_hash(lab.ALICE.chain))
    assert (len(held), held.waiting, held.digest.root) == (0, 1, before)
    outcome = held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    assert isinstance(outcome, ChainAccepted)
    assert [(item.raw, item.source) for item in outcome.waiting] == [(record.signed.raw, lab.PEER)]
    assert held.waiting == 0
    assert isinstance(lab.offer(held, record), Accepted)


def test_a_flood_of_records_without_chains_leaves_what_others_sent(lab: ModuleType) -> None:
    held, mallory = lab.registry(), NodeId(b"m" * 32)
    lab.offer(held, lab.ALICE.record())
    for number in range(400):
        fake = attrs.evolve(lab.BOB.record(), boot=number, chain_hash=blake2b(bytes([number % 256]), 16))
        lab.offer(
            held,
            resign_record(fake, seed=lab.BOB.key.seed, mesh_id=lab.BUNDLE.hash, issued_at=lab.NOW),
            mallory,
        )
    assert held.waiting == 256
    outcome = held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    assert isinstance(outcome, ChainAccepted)
    assert len(outcome.waiting) == 1


def test_two_different_records_of_one_version_raise_one_alarm_and_ours_is_kept(lab: ModuleType) -> None:
    ours, theirs = lab.ALICE.record(3, 1), lab.ALICE.record(3, 1, services=[WEB])
    held = lab.registry((lab.ALICE, ours))
    assert held.wants(entry_of(theirs))
    alarm = CloneAlarm(lab.ALICE.key.id, ours.signed.raw, theirs.signed.raw)
    assert lab.offer(held, theirs) == alarm
    assert held.clones == (alarm,)
    assert lab.offer(held, theirs) == Stale()
    assert not held.wants(entry_of(theirs))
    assert held.lookup(lab.ALICE.key.id) == ours


def test_a_forged_record_of_a_held_version_is_no_alarm(lab: ModuleType) -> None:
    ours = lab.ALICE.record(3, 1)
    held = lab.registry((lab.ALICE, ours))
    forged = resign_record(
        attrs.evolve(ours, zone="elsewhere"),
        seed=lab.BOB.key.seed,
        mesh_id=lab.BUNDLE.hash,
        issued_at=lab.NOW,
    )
    with pytest.raises(TrustError):
        lab.offer(held, forged)
    assert held.clones == ()


def test_the_same_body_with_another_signature_says_nothing_new(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()))
    signed = lab.ALICE.record().signed
    again = envelope(signed.body, signed.signature[::-1])
    assert held.offer_record_untrusted(again.raw, source=lab.PEER, wall=lab.NOW) == Stale()
    assert held.clones == ()


def test_alarms_are_bounded(lab: ModuleType) -> None:
    ours = lab.ALICE.record(0)
    held = lab.registry((lab.ALICE, ours))
    for boot in range(1, 70):
        assert isinstance(lab.offer(held, lab.ALICE.record(boot)), Accepted)
        assert isinstance(lab.offer(held, lab.ALICE.record(boot, services=[WEB])), CloneAlarm)
    assert len(held.clones) == 64


def test_another_meshs_chain_is_refused_and_nothing_changes(lab: ModuleType) -> None:
    held = Registry(TrustStore(new_bundle([lab.BOB.key.id], default_allow=True)))
    with pytest.raises(TrustError):
        held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    assert held.chain(chain_hash(lab.ALICE.chain)) is None


def test_a_record_signed_by_another_key_or_under_another_name_is_refused(lab: ModuleType) -> None:
    held = lab.registry((lab.BOB, lab.BOB.record()))
    held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    before = state_of(held)
    impostor = lab.Node(lab.BOB.key, "bob", lab.ALICE.chain).record(9)
    renamed = lab.Node(lab.ALICE.key, "bob", lab.ALICE.chain).record(9)
    for forged in (impostor, renamed):
        with pytest.raises(TrustError):
            lab.offer(held, forged)
    assert state_of(held) == before


@pytest.mark.parametrize("kind", ["record", "chain"])
def test_every_truncation_and_every_bit_flip_of_an_offer_leaves_the_registry_as_it_was(
    lab: ModuleType, kind: str
) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()))
    held.offer_chain_untrusted(lab.BOB.chain, wall=lab.NOW)
    before = state_of(held)
    raw = lab.ALICE.record(2).signed.raw if kind == "record" else lab.node("grace").chain
    spoilt = [raw[:end] for end in range(len(raw))]
    spoilt += [
        raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
        for bit in range(0, len(raw) * 8)
    ]
    for each in spoilt:
        try:
            if kind == "chain":
                held.offer_chain_untrusted(each, wall=lab.NOW)
                pytest.fail("an altered chain was accepted")
            outcome = held.offer_record_untrusted(each, source=lab.PEER, wall=lab.NOW)
        except RemoteProtocolError:
            pass
        else:
            # An altered version, chain hash or expiry is recognised before its signature is looked at.
            assert isinstance(outcome, (Stale, NeedsChain, Refused))
    assert (*state_of(held)[:2], held.clones) == (*before[:2], ())  # type: ignore[index]


def test_elements_that_a_newer_release_appended_are_kept_as_they_came(lab: ModuleType) -> None:
    body = wire.unpack_untrusted(lab.ALICE.record(7).signed.body, code="test")
    assert isinstance(body, list)
    newer = seal(RECORD_LABEL, lab.BUNDLE.hash, wire.pack([*body, b"unheard of"]), lab.ALICE.key.seed)
    held = lab.registry((lab.ALICE, lab.ALICE.record()))
    assert isinstance(held.offer_record_untrusted(newer.raw, source=lab.PEER, wall=lab.NOW), Accepted)
    assert held.records[lab.ALICE.key.id].signed.raw == newer.raw


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=15), st.randoms(use_true_random=False)
)
def test_the_same_offers_in_any_order_and_repetition_give_the_same_registry(
    lab: ModuleType, chosen: list[tuple[int, int]], rng: object
) -> None:
    def take_all(pieces: list[bytes]) -> Registry:
        held = lab.registry()
        for piece in pieces:
            if piece in chains:
                outcome = held.offer_chain_untrusted(piece, wall=lab.NOW)
                assert isinstance(outcome, ChainAccepted)
                for waiting in outcome.waiting:
                    held.offer_record_untrusted(waiting.raw, source=waiting.source, wall=lab.NOW)
            else:
                held.offer_record_untrusted(piece, source=lab.PEER, wall=lab.NOW)
        return held

    offers = [(lab.FEW[n].chain, lab.FEW[n].record(boot).signed.raw) for n, boot in chosen]
    chains = {chain for chain, _ in offers}
    pieces = [piece for both in offers for piece in both]
    shuffled = pieces + pieces[::2]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    ours, theirs = take_all(pieces), take_all(shuffled)
    assert ours.digest.root == theirs.digest.root
    assert ours.records == theirs.records

"""What becomes of each offer, and the law that only the newest versions count, in whatever order they came."""

from __future__ import annotations

import functools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.crypto import blake2b
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import (
    RECORD_LABEL,
    MemberRecord,
    decode_record_untrusted,
    resign_record,
    sign_record,
)
from gossipmesh.identity.signed import envelope, seal
from gossipmesh.identity.token import Token, narrow, new_token
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.registry.digest import entry_of
from gossipmesh.registry.store import (
    Accepted,
    ChainAccepted,
    Checks,
    CloneAlarm,
    NeedsChain,
    Refused,
    Registry,
    RegistryLimits,
    Stale,
)

NOW = 1_700_000_000
DAY = 86_400
ROOT = NodeKey.from_seed(b"r" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
PEER = NodeId(b"p" * 32)


def entropy(label: str) -> functools.partial[bytes]:
    return functools.partial(lambda label, size: blake2b(label.encode(), size), label)


@functools.cache
def token(label: str = "first", days: int = 365) -> Token:
    caveats = Caveats(NOW, NOW + days * DAY, blake2b(label.encode(), 8), services=("web*",))
    return new_token(BUNDLE, ROOT.seed, caveats, entropy(label))


@attrs.frozen
class Node:
    """One node that may be offered: its key and its chain."""

    key: NodeKey
    name: str
    chain: bytes

    def record(
        self, boot: int = 1, incarnation: int = 0, services: tuple[str, ...] = (), age_s: int = 0
    ) -> MemberRecord:
        return sign_record(
            seed=self.key.seed,
            mesh_id=BUNDLE.hash,
            boot=boot,
            incarnation=incarnation,
            name=self.name,
            addresses=[Address("192.0.2.1", 7946)],
            dh_key=bytes(32),
            dh_generation=0,
            chain_hash=chain_hash(self.chain),
            issued_at=NOW - age_s,
            services=[Service(service, 80) for service in services],
        )


@functools.cache
def node(name: str, of: str = "first", days: int = 365) -> Node:
    key = NodeKey.from_seed(blake2b(name.encode(), 32))
    return Node(key, name, join_chain(token(of, days), key.seed, name))


ALICE, BOB = node("alice"), node("bob")


def registry(*held: tuple[Node, MemberRecord], limits: RegistryLimits | None = None) -> Registry:
    made = Registry(TrustStore(BUNDLE), limits=limits)
    for owner, record in held:
        assert isinstance(made.offer_chain_untrusted(owner.chain, wall=NOW), ChainAccepted)
        assert isinstance(offer(made, record), Accepted)
    return made


def offer(to: Registry, record: MemberRecord, source: NodeId = PEER, wall: float = NOW) -> object:
    return to.offer_record_untrusted(record.signed.raw, source=source, wall=wall)


def state_of(held: Registry) -> object:
    return dict(held.records), held.digest.root, held.waiting, held.clones


def test_a_record_with_its_chain_is_accepted_and_can_be_looked_up() -> None:
    held = registry()
    accepted = held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    assert isinstance(accepted, ChainAccepted)
    assert offer(held, ALICE.record()) == Accepted(ALICE.record(), previous=None, refused_services=())
    assert held.lookup(ALICE.key.id) == ALICE.record()
    assert held.chain_of(ALICE.key.id) == held.chain(chain_hash(ALICE.chain)) == accepted.chain
    assert dict(held.records) == {ALICE.key.id: ALICE.record()}
    assert len(held) == 1


def test_services_outside_the_chain_are_named_but_do_not_spoil_the_record() -> None:
    held = registry()
    held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    outcome = offer(held, ALICE.record(services=("web-shop", "bank")))
    assert isinstance(outcome, Accepted)
    assert outcome.refused_services == ("bank",)


def test_a_newer_version_replaces_the_older_and_an_older_one_is_stale() -> None:
    first, second, third = ALICE.record(1, 5), ALICE.record(1, 6), ALICE.record(2, 0)
    held = registry((ALICE, first))
    assert offer(held, second) == Accepted(second, previous=first, refused_services=())
    assert offer(held, third) == Accepted(third, previous=second, refused_services=())
    assert offer(held, first) == offer(held, second) == offer(held, third) == Stale()
    assert len(held) == 1


def test_what_is_held_by_its_exact_bytes_is_neither_decoded_nor_verified_again() -> None:
    costs: list[str] = []

    def decode(raw: bytes) -> MemberRecord:
        costs.append("decode")
        return decode_record_untrusted(raw)

    def verify(record: MemberRecord, *_: object, wall: float) -> MemberRecord:
        costs.append("verify")
        return record

    held = Registry(TrustStore(BUNDLE), checks=Checks(decode_record=decode, verify_record=verify))
    held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    offer(held, ALICE.record(1, 1))
    assert costs == ["decode", "verify"]
    assert offer(held, ALICE.record(1, 1)) == Stale()
    assert costs == ["decode", "verify"]
    assert offer(held, ALICE.record(1, 0)) == Stale()
    assert costs == ["decode", "verify", "decode"]


def test_a_record_without_its_chain_waits_without_effect_and_is_given_back_with_it() -> None:
    held = registry()
    before = held.digest.root
    record = ALICE.record()
    assert offer(held, record) == offer(held, record) == NeedsChain(chain_hash(ALICE.chain))
    assert (len(held), held.waiting, held.digest.root) == (0, 1, before)
    outcome = held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    assert isinstance(outcome, ChainAccepted)
    assert [(item.raw, item.source) for item in outcome.waiting] == [(record.signed.raw, PEER)]
    assert held.waiting == 0
    assert isinstance(offer(held, record), Accepted)


def test_a_flood_of_records_without_chains_leaves_what_others_sent() -> None:
    held, mallory = registry(), NodeId(b"m" * 32)
    offer(held, ALICE.record())
    for number in range(400):
        fake = attrs.evolve(BOB.record(), boot=number, chain_hash=blake2b(bytes([number % 256]), 16))
        offer(held, resign_record(fake, seed=BOB.key.seed, mesh_id=BUNDLE.hash, issued_at=NOW), mallory)
    assert held.waiting == 256
    outcome = held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    assert isinstance(outcome, ChainAccepted)
    assert len(outcome.waiting) == 1


def test_two_different_records_of_one_version_raise_one_alarm_and_ours_is_kept() -> None:
    ours, theirs = ALICE.record(3, 1), ALICE.record(3, 1, services=("web",))
    held = registry((ALICE, ours))
    assert held.wants(entry_of(theirs))
    alarm = CloneAlarm(ALICE.key.id, ours.signed.raw, theirs.signed.raw)
    assert offer(held, theirs) == alarm
    assert held.clones == (alarm,)
    assert offer(held, theirs) == Stale()
    assert not held.wants(entry_of(theirs))
    assert held.lookup(ALICE.key.id) == ours


def test_a_forged_record_of_a_held_version_is_no_alarm() -> None:
    ours = ALICE.record(3, 1)
    held = registry((ALICE, ours))
    forged = resign_record(
        attrs.evolve(ours, zone="elsewhere"), seed=BOB.key.seed, mesh_id=BUNDLE.hash, issued_at=NOW
    )
    with pytest.raises(TrustError):
        offer(held, forged)
    assert held.clones == ()


def test_the_same_body_with_another_signature_says_nothing_new() -> None:
    held = registry((ALICE, ALICE.record()))
    signed = ALICE.record().signed
    again = envelope(signed.body, signed.signature[::-1])
    assert held.offer_record_untrusted(again.raw, source=PEER, wall=NOW) == Stale()
    assert held.clones == ()


def test_alarms_are_bounded() -> None:
    ours = ALICE.record(0)
    held = registry((ALICE, ours))
    for boot in range(1, 70):
        assert isinstance(offer(held, ALICE.record(boot)), Accepted)
        assert isinstance(offer(held, ALICE.record(boot, services=("web",))), CloneAlarm)
    assert len(held.clones) == 64


def test_a_forgotten_record_stays_out_until_its_owner_signs_a_newer_one() -> None:
    buried = ALICE.record(2, 0)
    held = registry((ALICE, buried))
    empty = registry().digest.root
    assert held.forget(ALICE.key.id) == buried
    assert held.forget(ALICE.key.id) is None
    assert held.digest.root == empty
    held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    assert offer(held, buried) == offer(held, ALICE.record(1, 9)) == Stale()
    assert not held.wants(entry_of(buried))
    assert held.wants(entry_of(ALICE.record(2, 1)))
    assert offer(held, ALICE.record(2, 1)) == Accepted(ALICE.record(2, 1), previous=None, refused_services=())


def test_a_tombstone_lives_until_the_buried_record_can_verify_nowhere() -> None:
    buried = ALICE.record(2, 0)
    held = registry((ALICE, buried))
    held.forget(ALICE.key.id)
    last = NOW + DAY + 120
    held.expire(wall=last)
    held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    assert offer(held, buried, wall=last) == Stale()
    held.expire(wall=last + 1)
    assert offer(held, buried, wall=last + 1) == Refused("record.expired")


def test_the_oldest_tombstone_goes_first_when_there_are_too_many() -> None:
    held = registry((ALICE, ALICE.record()), (BOB, BOB.record()), limits=RegistryLimits(tombstones=1))
    held.forget(ALICE.key.id)
    held.forget(BOB.key.id)
    assert held.wants(entry_of(ALICE.record()))
    assert not held.wants(entry_of(BOB.record()))


def test_an_expired_record_leaves_the_digest_and_does_not_come_back() -> None:
    record = ALICE.record()
    held = registry((ALICE, record), (BOB, BOB.record(age_s=-60)))
    assert held.expire(wall=NOW + DAY + 120) == ()
    assert held.expire(wall=NOW + DAY + 121) == (record,)
    assert list(held.records) == [BOB.key.id]
    assert offer(held, record, wall=NOW + DAY + 121) == Refused("record.expired")
    assert held.digest.get(ALICE.key.id) is None


def test_a_record_goes_when_its_chain_expires() -> None:
    short = node("carol", "short-lived", days=0)
    held = registry((short, short.record()))
    spare = node("dave", "short-lived", days=0)
    held.offer_chain_untrusted(spare.chain, wall=NOW)
    late = NOW + 121
    assert offer(held, short.record(2), wall=late) == Refused("chain.expired")
    assert held.offer_chain_untrusted(short.chain, wall=late) == Refused("chain.expired")
    assert held.expire(wall=late) == (short.record(),)
    assert held.chain(chain_hash(spare.chain)) is None
    with pytest.raises(TrustError):
        held.offer_chain_untrusted(short.chain, wall=late)


def test_a_full_registry_keeps_its_members_and_refuses_newcomers() -> None:
    held = registry((ALICE, ALICE.record()), limits=RegistryLimits(members=1))
    assert held.offer_chain_untrusted(BOB.chain, wall=NOW) == Refused("registry.full")
    assert offer(held, BOB.record()) == Refused("registry.full")
    assert not held.wants(entry_of(BOB.record()))
    assert isinstance(offer(held, ALICE.record(2)), Accepted)
    held.forget(ALICE.key.id)
    assert isinstance(held.offer_chain_untrusted(BOB.chain, wall=NOW), ChainAccepted)
    assert isinstance(offer(held, BOB.record()), Accepted)


def test_one_token_admits_no_more_than_its_quota_and_others_are_not_touched() -> None:
    held = registry((ALICE, ALICE.record()), limits=RegistryLimits(per_token=1))
    assert held.offer_chain_untrusted(BOB.chain, wall=NOW) == Refused("registry.token-quota")
    other = node("erin", "second")
    assert isinstance(held.offer_chain_untrusted(other.chain, wall=NOW), ChainAccepted)
    assert isinstance(offer(held, other.record()), Accepted)
    assert set(held.records) == {ALICE.key.id, other.key.id}


def test_a_chain_that_came_before_the_quota_was_reached_admits_nobody_after() -> None:
    held = registry(limits=RegistryLimits(per_token=1))
    held.offer_chain_untrusted(BOB.chain, wall=NOW)
    held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    offer(held, ALICE.record())
    assert offer(held, BOB.record()) == Refused("registry.token-quota")
    assert not held.wants(entry_of(BOB.record()))


def test_a_refused_newcomer_is_not_asked_for_again_until_there_is_room() -> None:
    held = registry((ALICE, ALICE.record()), limits=RegistryLimits(per_token=1))
    offer(held, BOB.record())
    held.offer_chain_untrusted(BOB.chain, wall=NOW)
    assert held.waiting == 0
    assert held.wants(entry_of(BOB.record()))
    assert offer(held, BOB.record()) == Refused("registry.token-quota")
    assert not held.wants(entry_of(BOB.record()))
    held.forget(ALICE.key.id)
    assert held.wants(entry_of(BOB.record()))


def test_narrowing_a_token_does_not_make_a_second_quota() -> None:
    held = registry((ALICE, ALICE.record()), limits=RegistryLimits(per_token=1))
    narrower = narrow(token(), Caveats(NOW, NOW + DAY), entropy("narrower"))
    chain = join_chain(narrower, b"f" * 32, "frank")
    assert held.offer_chain_untrusted(chain, wall=NOW) == Refused("registry.token-quota")


def test_a_chain_that_names_a_strangers_key_does_not_use_up_that_strangers_place() -> None:
    held = registry((ALICE, ALICE.record()), limits=RegistryLimits(per_token=1))
    erin = node("erin", "second")
    theirs = join_chain(token(), erin.key.seed, "erin")
    assert held.offer_chain_untrusted(theirs, wall=NOW) == Refused("registry.token-quota")
    assert held.wants(entry_of(erin.record()))
    held.offer_chain_untrusted(erin.chain, wall=NOW)
    assert isinstance(offer(held, erin.record()), Accepted)


def test_a_member_may_change_its_token_whatever_the_quota_and_its_old_chain_goes() -> None:
    moved = Node(BOB.key, "bob", join_chain(token("second"), BOB.key.seed, "bob"))
    erin = node("erin", "second")
    held = registry((BOB, BOB.record()), (erin, erin.record()), limits=RegistryLimits(per_token=1))
    assert isinstance(held.offer_chain_untrusted(moved.chain, wall=NOW), ChainAccepted)
    assert isinstance(offer(held, moved.record(2)), Accepted)
    assert held.chain(chain_hash(BOB.chain)) is None
    assert isinstance(held.offer_chain_untrusted(ALICE.chain, wall=NOW), ChainAccepted)


def test_chains_without_a_record_are_bounded_and_never_push_out_one_in_use() -> None:
    held = registry((ALICE, ALICE.record()), limits=RegistryLimits(spare_chains=2))
    spare = [node(f"spare-{n}") for n in range(4)]
    for each in spare:
        held.offer_chain_untrusted(each.chain, wall=NOW)
    assert [held.chain(chain_hash(each.chain)) is not None for each in spare] == [False, False, True, True]
    assert held.chain_of(ALICE.key.id) is not None


def test_another_meshs_chain_is_refused_and_nothing_changes() -> None:
    held = Registry(TrustStore(new_bundle([BOB.key.id], default_allow=True)))
    with pytest.raises(TrustError):
        held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    assert held.chain(chain_hash(ALICE.chain)) is None


def test_a_record_signed_by_another_key_or_under_another_name_is_refused() -> None:
    held = registry((BOB, BOB.record()))
    held.offer_chain_untrusted(ALICE.chain, wall=NOW)
    before = state_of(held)
    impostor = Node(BOB.key, "bob", ALICE.chain).record(9)
    renamed = Node(ALICE.key, "bob", ALICE.chain).record(9)
    for forged in (impostor, renamed):
        with pytest.raises(TrustError):
            offer(held, forged)
    assert state_of(held) == before


@pytest.mark.parametrize("kind", ["record", "chain"])
def test_every_truncation_and_every_bit_flip_of_an_offer_leaves_the_registry_as_it_was(kind: str) -> None:
    held = registry((ALICE, ALICE.record()))
    held.offer_chain_untrusted(BOB.chain, wall=NOW)
    before = state_of(held)
    raw = ALICE.record(2).signed.raw if kind == "record" else node("grace").chain
    spoilt = [raw[:end] for end in range(len(raw))]
    spoilt += [
        raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
        for bit in range(0, len(raw) * 8)
    ]
    for each in spoilt:
        try:
            if kind == "chain":
                held.offer_chain_untrusted(each, wall=NOW)
                pytest.fail("an altered chain was accepted")
            outcome = held.offer_record_untrusted(each, source=PEER, wall=NOW)
        except RemoteProtocolError:
            pass
        else:
            # An altered version, chain hash or expiry is recognised before its signature is looked at.
            assert isinstance(outcome, (Stale, NeedsChain, Refused))
    assert (*state_of(held)[:2], held.clones) == (*before[:2], ())  # type: ignore[index]


def test_elements_that_a_newer_release_appended_are_kept_as_they_came() -> None:
    body = wire.unpack_untrusted(ALICE.record(7).signed.body, code="test")
    assert isinstance(body, list)
    newer = seal(RECORD_LABEL, BUNDLE.hash, wire.pack([*body, b"unheard of"]), ALICE.key.seed)
    held = registry((ALICE, ALICE.record()))
    assert isinstance(held.offer_record_untrusted(newer.raw, source=PEER, wall=NOW), Accepted)
    assert held.records[ALICE.key.id].signed.raw == newer.raw


NODES = tuple(node(f"n-{n}") for n in range(5))
OFFERS = tuple((each.chain, each.record(boot).signed.raw) for each in NODES for boot in range(1, 4))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(OFFERS), max_size=15), st.randoms(use_true_random=False))
def test_the_same_offers_in_any_order_and_repetition_give_the_same_registry(
    offers: list[tuple[bytes, bytes]], rng: object
) -> None:
    def take_all(pieces: list[bytes]) -> Registry:
        held = registry()
        for piece in pieces:
            if piece in chains:
                outcome = held.offer_chain_untrusted(piece, wall=NOW)
                assert isinstance(outcome, ChainAccepted)
                for waiting in outcome.waiting:
                    held.offer_record_untrusted(waiting.raw, source=waiting.source, wall=NOW)
            else:
                held.offer_record_untrusted(piece, source=PEER, wall=NOW)
        return held

    chains = {chain for chain, _ in offers}
    pieces = [piece for both in offers for piece in both]
    shuffled = pieces + pieces[::2]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    ours, theirs = take_all(pieces), take_all(shuffled)
    assert ours.digest.root == theirs.digest.root
    assert ours.records == theirs.records

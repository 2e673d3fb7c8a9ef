"""What becomes of chains, records and accusations that somebody sent."""

from __future__ import annotations

import random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.identity.accusation import ACCUSATION_LIFETIME_S, Accusation, sign_accusation
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, join_chain, verify_chain_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MAX_COUNTER, MemberRecord, resign_record
from gossipmesh.identity.signed import SKEW_S
from gossipmesh.identity.token import new_token
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.outputs import Refute, StateChanged
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.admission import Admission
from gossipmesh.mesh.effects import Effect, OwnKeyTwice, RecordTaken, WantChain
from gossipmesh.mesh.outputs import Notice, Refused
from gossipmesh.mesh.own import Own
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, MemberState, Service
from gossipmesh.registry.store import Registry
from gossipmesh.registry.sync import AccusationLearned, ChainLearned, RecordLearned

WALL = 1_800_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
TRUST = TrustStore(new_bundle([ROOT.id], default_allow=True))
ALICE, BOB, CAROL = (NodeKey.from_seed(letter * 32) for letter in (b"a", b"b", b"c"))


class Node:
    """One node with all that admission hands on to."""

    def __init__(self, key: NodeKey, name: str, *, services: tuple[Service, ...] = (), boot: int = 1) -> None:
        rng = random.Random(key.id[0])
        caveats = Caveats(WALL - 300, WALL + 86_400 * 365, b"t" * 8, services=("web",))
        token = new_token(TRUST.path[0], ROOT.seed, caveats, rng.randbytes)
        setup = Setup(
            key=key,
            trust=TRUST,
            chain=verify_chain_untrusted(join_chain(token, key.seed, name), TRUST, wall=WALL),
            boot=boot,
            addresses=(Address("192.0.2.1", 7946),),
            services=services,
        )
        self.key = key
        self.registry = Registry(TRUST)
        secrecy = Secrecy(
            id=key.id, mesh_id=TRUST.mesh_id, generation=1, entropy=rng.randbytes, rng=rng, now=0.0
        )
        self.own = Own(setup, secrecy=secrecy, registry=self.registry, rng=rng)
        self.record = self.own.sign(wall=WALL)
        self.membership = Membership(
            LAN,
            self.record,
            rng=rng,
            root=lambda: self.registry.digest.root,
            sign_accusation=lambda *subject: self.own.accuse(*subject, wall=WALL),
        )
        self.admission = Admission(
            key.id,
            mesh_id=TRUST.mesh_id,
            registry=self.registry,
            membership=self.membership,
            secrecy=secrecy,
        )

    def take(self, record: MemberRecord) -> list[Effect]:
        return self.admission.record(record.signed.raw, BOB.id, news=True, now=0.0, wall=WALL)

    def meet(self, other: Node) -> list[Effect]:
        learned = [ChainLearned(other.own.chain.raw), RecordLearned(other.record.signed.raw)]
        return self.admission.learn(learned, other.key.id, news=True, now=0.0, wall=WALL)

    def hear(self, accusation: Accusation, *, now: float = 0.0, wall: float = WALL) -> list[Effect]:
        return self.admission.accusation(accusation.signed.raw, now=now, wall=wall)


def alice_and_bob() -> tuple[Node, Node]:
    alice, bob = Node(ALICE, "alice"), Node(BOB, "bob")
    alice.meet(bob)
    return alice, bob


def accuse(
    accuser: NodeKey, subject: MemberRecord, version: tuple[int, int] | None = None, at: int = WALL
) -> Accusation:
    boot, incarnation = version or subject.version
    return sign_accusation(
        seed=accuser.seed,
        mesh_id=TRUST.mesh_id,
        subject=subject.id,
        boot=boot,
        incarnation=incarnation,
        issued_at=at,
    )


def state_of(node: Node) -> object:
    return node.registry.digest.root, dict(node.membership.members), node.membership.own


# Records and chains.


def test_a_chain_and_a_record_make_a_member() -> None:
    alice, bob = Node(ALICE, "alice"), Node(BOB, "bob")
    effects = alice.meet(bob)
    assert RecordTaken(BOB.id) in effects
    assert StateChanged(BOB.id, None, MemberState.ALIVE, "joined") in effects
    assert alice.membership.members[BOB.id].record == bob.record


def test_a_record_without_its_chain_asks_for_it_and_counts_when_it_comes() -> None:
    alice, bob = Node(ALICE, "alice"), Node(BOB, "bob")
    assert alice.take(bob.record) == [WantChain(bob.own.chain.hash)]
    assert BOB.id not in alice.membership.members
    effects = alice.admission.chain(bob.own.chain.raw, news=True, now=0.0, wall=WALL)
    assert RecordTaken(BOB.id) in effects
    assert BOB.id in alice.membership.members


def test_what_is_known_already_has_no_effect() -> None:
    alice, bob = alice_and_bob()
    before = state_of(alice)
    assert alice.take(bob.record) == []
    assert state_of(alice) == before


def test_a_newer_record_that_changes_no_state_is_still_told() -> None:
    alice, bob = alice_and_bob()
    assert alice.take(bob.own.sign(wall=WALL)) == [RecordTaken(BOB.id)]


def test_one_bad_object_does_not_spoil_the_others() -> None:
    alice, bob = Node(ALICE, "alice"), Node(BOB, "bob")
    learned = [
        ChainLearned(b"junk"),
        RecordLearned(b"junk"),
        AccusationLearned(b"junk"),
        ChainLearned(bob.own.chain.raw),
        RecordLearned(bob.record.signed.raw),
    ]
    effects = alice.admission.learn(learned, BOB.id, news=True, now=0.0, wall=WALL)
    refused = [effect.code for effect in effects if isinstance(effect, Refused)]
    assert refused == ["chain.malformed", "record.malformed", "accusation.malformed"]
    assert BOB.id in alice.membership.members


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    alice, _ = alice_and_bob()
    before = state_of(alice)
    effects = [
        *alice.admission.chain(data, news=True, now=0.0, wall=WALL),
        *alice.admission.record(data, BOB.id, news=True, now=0.0, wall=WALL),
        *alice.admission.accusation(data, now=0.0, wall=WALL),
    ]
    assert all(isinstance(effect, Refused) for effect in effects)
    assert state_of(alice) == before


def test_no_bit_flip_of_a_record_or_an_accusation_does_more_than_be_refused() -> None:
    alice, bob = alice_and_bob()
    record, accusation = bob.own.sign(wall=WALL).signed.raw, accuse(BOB, alice.record).signed.raw
    before = state_of(alice)
    for position in range(len(record)):
        bad = bytearray(record)
        bad[position] ^= 1 << position % 8
        effects = alice.admission.record(bytes(bad), BOB.id, news=True, now=0.0, wall=WALL)
        assert all(isinstance(effect, Refused | WantChain) for effect in effects)
    for position in range(len(accusation)):
        bad = bytearray(accusation)
        bad[position] ^= 1 << position % 8
        effects = alice.admission.accusation(bytes(bad), now=0.0, wall=WALL)
        assert all(isinstance(effect, Refused) for effect in effects)
    assert state_of(alice) == before


# Services outside a token.


def test_services_outside_a_token_are_noted_and_told_once() -> None:
    alice, bob = Node(ALICE, "alice"), Node(BOB, "bob", services=(Service("web", 1), Service("db", 2)))
    told = [effect for effect in alice.meet(bob) if isinstance(effect, Notice)]
    assert [notice.code for notice in told] == ["member.services-refused"]
    assert "db" in told[0].text
    assert alice.admission.refused_services(BOB.id) == {"db"}
    again = bob.own.sign(wall=WALL)
    assert alice.take(again) == [RecordTaken(BOB.id)]
    honest = resign_record(
        evolve(again, incarnation=again.incarnation + 1, services=(Service("web", 1),)),
        seed=BOB.seed,
        mesh_id=TRUST.mesh_id,
        issued_at=WALL,
    )
    alice.take(honest)
    assert alice.admission.refused_services(BOB.id) == frozenset()
    alice.admission.forget(BOB.id)


# Keys in use twice.


def test_two_records_of_one_version_raise_the_alarm() -> None:
    alice, bob = alice_and_bob()
    twin = resign_record(evolve(bob.record, zone="z"), seed=BOB.seed, mesh_id=TRUST.mesh_id, issued_at=WALL)
    assert [e.code for e in alice.take(twin) if isinstance(e, Notice)] == ["member.clone"]
    assert alice.membership.members[BOB.id].record == bob.record


def test_another_record_of_our_own_version_is_our_own_affair() -> None:
    alice, _ = alice_and_bob()
    own = alice.record
    twin = resign_record(evolve(own, zone="z"), seed=ALICE.seed, mesh_id=TRUST.mesh_id, issued_at=WALL)
    assert alice.take(twin) == [OwnKeyTwice(own.version)]


def test_a_newer_record_of_our_own_is_refuted() -> None:
    alice, _ = alice_and_bob()
    newer = resign_record(
        evolve(alice.record, boot=5), seed=ALICE.seed, mesh_id=TRUST.mesh_id, issued_at=WALL
    )
    assert Refute((5, 0), foreign=True) in alice.take(newer)


# Accusations.


def test_an_accusation_by_a_member_counts() -> None:
    alice, bob = alice_and_bob()
    carol = Node(CAROL, "carol")
    alice.meet(carol)
    alice.hear(accuse(CAROL, bob.record))
    assert alice.membership.members[BOB.id].accusers == (CAROL.id,)


def test_an_accusation_by_a_stranger_costs_no_signature_and_counts_for_nothing() -> None:
    alice, bob = alice_and_bob()
    before = state_of(alice)
    assert alice.hear(accuse(CAROL, bob.record)) == [Refused("accusation.stranger")]
    assert state_of(alice) == before


@pytest.mark.parametrize(
    ("age_s", "code"),
    [
        (ACCUSATION_LIFETIME_S + SKEW_S + 1, "accusation.expired"),
        (-SKEW_S - 1, "accusation.not-yet-valid"),
    ],
)
def test_an_accusation_of_another_time_counts_for_nothing(age_s: int, code: str) -> None:
    alice, bob = alice_and_bob()
    alice.meet(Node(CAROL, "carol"))
    assert alice.hear(accuse(CAROL, bob.record, at=WALL - age_s)) == [Refused(code)]


def test_what_was_verified_once_still_expires_and_still_needs_its_accuser() -> None:
    alice, bob = alice_and_bob()
    carol = Node(CAROL, "carol")
    alice.meet(carol)
    accusation = accuse(CAROL, bob.record)
    alice.hear(accusation)
    late = WALL + ACCUSATION_LIFETIME_S + SKEW_S + 1
    assert alice.hear(accusation, wall=late) == [Refused("accusation.expired")]
    alice.hear(accusation)
    alice.registry.forget(CAROL.id)
    assert alice.hear(accusation) == [Refused("accusation.stranger")]


def test_accused_ourselves_we_refute() -> None:
    alice, _ = alice_and_bob()
    effects = alice.hear(accuse(BOB, alice.record))
    assert effects == [Refute(alice.record.version, foreign=False)]


@pytest.mark.parametrize("version", [(1, 1), (2, 0), (MAX_COUNTER, MAX_COUNTER)])
def test_accused_of_a_version_that_we_never_signed_we_do_nothing(version: tuple[int, int]) -> None:
    alice, _ = alice_and_bob()
    effects = alice.hear(accuse(BOB, alice.record, version))
    assert effects == [Refused("accusation.unknown-version")]

"""Names, addresses and tokens: whose place another takes, and whose word counts as independent."""

from __future__ import annotations

import random

import pytest
from attrs import evolve, frozen

from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.record import RECORD_LIFETIME_S, MemberRecord
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.beliefs import Beliefs
from gossipmesh.membership.members import MemberTable, is_refresh
from gossipmesh.membership.outputs import Forgotten, RoutabilityChanged, StateChanged
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.membership.piggyback import Piggyback
from gossipmesh.membership.prober import Prober
from gossipmesh.model import Address, MemberState, NodeId, Serving

ALIVE, DEAD, SUSPECT = MemberState.ALIVE, MemberState.DEAD, MemberState.SUSPECT


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


US, OLD, NEW, CAROL, DAVE = node(1), node(2), node(3), node(4), node(5)


def record(
    who: NodeId, *, name: str = "", port: int = 0, incarnation: int = 0, issued_at: int = 0
) -> MemberRecord:
    raw = b"record" + who + bytes([incarnation])
    return MemberRecord(
        id=who,
        boot=1,
        incarnation=incarnation,
        name=name or f"node-{who[-1]}",
        addresses=(Address("127.0.0.1", port or 7_000 + who[-1]),),
        dh_key=bytes(32),
        dh_generation=0,
        zone="",
        services=(),
        serving=Serving.SERVING,
        chain_hash=bytes(16),
        issued_at=issued_at,
        expires_at=issued_at + RECORD_LIFETIME_S,
        signed=Signed(raw, raw, b""),
    )


def accuse(who: NodeId, subject: NodeId) -> Accusation:
    raw = b"accusation" + who + subject
    return Accusation(who, subject, 1, 0, 0, Signed(raw, raw, b""))


@frozen
class Bench:
    beliefs: Beliefs
    table: MemberTable
    prober: Prober

    def wanted(self, now: float) -> list[NodeId]:
        return [tell.target for tell in self.prober.start_wanted(now=now)]

    def bury(self, who: NodeId, *, now: float) -> list[StateChanged | RoutabilityChanged | Forgotten]:
        changes = self.beliefs.failed(who, "no answer", asked_at=now, now=now + 1.0)
        return changes + self.beliefs.handle_timer(now=now + 500.0)


def bench(parameters: Parameters = LAN) -> Bench:
    rng = random.Random(1)
    table = MemberTable(rng=rng)
    prober = Prober(parameters, US, table, Awareness(0), root=lambda: bytes(16), rng=rng)
    beliefs = Beliefs(
        parameters, US, table, prober, Piggyback(4), sign_accusation=lambda who, boot, inc: accuse(US, who)
    )
    return Bench(beliefs, table, prober)


@pytest.mark.parametrize(("name", "port"), [("web", 0), ("", 9_000)], ids=["name", "address"])
def test_who_wants_the_name_or_address_of_a_living_member_has_that_member_probed_at_once(
    name: str, port: int
) -> None:
    us = bench()
    us.beliefs.learn_record(record(OLD, name=name, port=port), now=0.0, news=False)
    assert us.wanted(0.0) == []
    us.beliefs.learn_record(record(NEW, name=name, port=port), now=1.0, news=False)
    assert us.wanted(1.0) == [OLD]


def test_a_member_that_moves_to_anothers_address_has_that_member_probed() -> None:
    us = bench()
    us.beliefs.learn_record(record(OLD, port=9_000), now=0.0, news=False)
    us.beliefs.learn_record(record(NEW), now=0.0, news=False)
    us.beliefs.learn_record(record(NEW, port=9_000, incarnation=1), now=1.0, news=False)
    assert us.wanted(1.0) == [OLD]


@pytest.mark.parametrize(("name", "port"), [("web", 0), ("", 9_000)], ids=["name", "address"])
def test_the_dead_are_forgotten_at_once_where_another_that_we_reach_has_their_place(
    name: str, port: int
) -> None:
    us = bench()
    us.beliefs.learn_record(record(OLD, name=name, port=port), now=0.0, news=False)
    us.beliefs.learn_record(record(NEW, name=name, port=port), now=1.0, news=False)
    us.beliefs.reached(NEW, asked_at=1.5, udp=True)
    assert us.bury(OLD, now=2.0)[-1] == Forgotten(OLD)
    assert us.table.get(OLD) is None


def test_a_newcomer_takes_the_place_of_the_dead_when_it_is_reached_and_not_before() -> None:
    us = bench()
    us.beliefs.learn_record(record(OLD, name="web"), now=0.0, news=False)
    us.bury(OLD, now=2.0)
    us.beliefs.learn_record(record(NEW, name="web"), now=600.0, news=False)
    assert us.table.members[OLD].state is DEAD
    assert us.beliefs.reached(NEW, asked_at=601.0, udp=True) == [Forgotten(OLD)]
    assert us.beliefs.reached(NEW, asked_at=602.0, udp=True) == []


def test_a_member_is_dead_at_once_where_its_address_proves_the_key_of_who_claims_it() -> None:
    us = bench()
    us.beliefs.learn_record(record(OLD, port=9_000), now=0.0, news=False)
    us.beliefs.learn_record(record(NEW, port=9_000), now=1.0, news=False)
    [change] = us.beliefs.another_key(OLD, now=2.0)
    assert isinstance(change, StateChanged)
    assert (change.old, change.new) == (ALIVE, DEAD)


def test_another_key_at_an_address_that_nobody_claims_takes_out_of_rotation_only() -> None:
    us = bench()
    us.beliefs.learn_record(record(OLD), now=0.0, news=False)
    [change] = us.beliefs.another_key(OLD, now=2.0)
    assert change == RoutabilityChanged(OLD, False, "its address proves another key")
    assert us.table.members[OLD].state is ALIVE
    assert us.beliefs.another_key(node(77), now=2.0) == []


def accused_of(us: Bench, tokens: dict[NodeId, bytes]) -> bool:
    """Have CAROL and DAVE accuse OLD; tell whether it is still routed to."""
    us.beliefs.learn_record(record(OLD), token=b"a", now=0.0, news=False)
    for who, token in tokens.items():
        us.beliefs.learn_record(record(who), token=token, now=0.0, news=False)
    for who in (CAROL, DAVE):
        us.beliefs.learn_accusation(accuse(who, OLD), now=1.0)
    return us.table.members[OLD].routable


def test_two_accusers_take_out_of_rotation_where_all_members_have_one_token() -> None:
    assert not accused_of(bench(), {CAROL: b"a", DAVE: b"a"})


def test_two_accusers_of_one_token_count_as_one_where_there_are_several() -> None:
    assert accused_of(bench(), {CAROL: b"b", DAVE: b"b"})
    assert not accused_of(bench(), {CAROL: b"b", DAVE: b"c"})


def test_with_one_accuser_asked_for_one_is_enough() -> None:
    us = bench(evolve(LAN, routing_accusers=1))
    us.beliefs.learn_record(record(OLD), now=0.0, news=False)
    us.beliefs.learn_record(record(CAROL), now=0.0, news=False)
    us.beliefs.learn_accusation(accuse(CAROL, OLD), now=1.0)
    assert not us.table.members[OLD].routable


def test_plain_swim_looks_for_no_evidence_of_its_own() -> None:
    us = bench(evolve(LAN, own_evidence=False, suspicion_max_factor=1.0))
    us.beliefs.learn_record(record(OLD), now=0.0, news=False)
    us.beliefs.learn_record(record(CAROL), now=0.0, news=False)
    us.beliefs.learn_accusation(accuse(CAROL, OLD), now=1.0)
    assert us.wanted(1.0) == []
    us.beliefs.reached(OLD, asked_at=4.0, udp=True)
    us.beliefs.handle_timer(now=1.0 + LAN.suspicion_alpha)
    assert us.table.members[OLD].state is DEAD


def test_a_refresh_is_a_record_that_says_nothing_new_half_a_life_later() -> None:
    old = record(OLD)
    later = int(RECORD_LIFETIME_S * 0.45)
    assert is_refresh(old, record(OLD, incarnation=1, issued_at=later))
    assert not is_refresh(old, record(OLD, incarnation=1, issued_at=60))
    assert not is_refresh(old, record(OLD, incarnation=1, issued_at=later, port=9))
    assert not is_refresh(old, evolve(record(OLD, issued_at=later), boot=2))

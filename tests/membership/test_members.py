"""The table of members."""

from __future__ import annotations

import random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.members import Contact, Member, MemberTable
from gossipmesh.model import Address, MemberState, NodeId, Serving


def member(number: int, state: MemberState = MemberState.ALIVE, since: float = 0.0) -> Member:
    node = NodeId(number.to_bytes(32, "big"))
    record = MemberRecord(
        id=node,
        boot=1,
        incarnation=0,
        name=f"node-{number}",
        addresses=(Address("127.0.0.1", 7_000 + number),),
        dh_key=bytes(32),
        dh_generation=0,
        zone="",
        services=(),
        serving=Serving.SERVING,
        chain_hash=bytes(16),
        issued_at=0,
        expires_at=1,
        signed=Signed(node, node, b""),
    )
    return Member(node, record, state, since)


def test_a_suspect_is_routable_until_there_is_a_doubt_and_the_dead_never_are() -> None:
    assert member(1, MemberState.SUSPECT).routable
    doubted = Member(member(1).id, member(1).record, MemberState.ALIVE, 0.0, doubt="no answer to our probe")
    assert not doubted.routable
    assert doubted.reason == "no answer to our probe"
    assert not member(1, MemberState.DEAD).routable
    assert member(1, MemberState.LEFT).reason == "left"


def test_contact_is_silent_while_the_latest_word_is_a_failed_probe() -> None:
    contact = Contact(alive_at=1.0)
    assert not contact.silent
    contact.silent_at = 2.0
    assert contact.silent
    contact.alive_at = 2.5
    assert not contact.silent


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([*MemberState, None])), max_size=80),
)
def test_counts_samples_and_ages_agree_with_what_was_put(
    seed: int, steps: list[tuple[int, MemberState | None]]
) -> None:
    table = MemberTable(rng=random.Random(seed))
    truth: dict[NodeId, MemberState] = {}
    for now, (number, state) in enumerate(steps):
        node = member(number).id
        if state is None:
            table.remove(node)
            truth.pop(node, None)
        else:
            since = table.members[node].since if truth.get(node) is state else float(now)
            table.put(member(number, state, since))
            truth[node] = state
    living = {n for n, state in truth.items() if state in (MemberState.ALIVE, MemberState.SUSPECT)}
    assert {n: m.state for n, m in table.members.items()} == truth
    assert table.size == len(living) + 1
    assert sorted(table.sample(100)) == sorted(living)
    assert all(table.lives(node) == (node in living) for node in truth)
    for gone in (MemberState.DEAD, MemberState.LEFT):
        ages = [table.members[node].since for node in table.gone(gone)]
        assert ages == sorted(ages)
        assert set(table.gone(gone)) == {n for n, state in truth.items() if state is gone}
        assert table.gone_count(gone) == len(ages)
        longest = table.longest_gone(gone)
        assert (longest.since if longest else None) == (ages[0] if ages else None)


def test_a_sample_leaves_out_whom_it_should_and_repeats_nobody() -> None:
    table = MemberTable(rng=random.Random(1))
    for number in range(5):
        table.put(member(number))
    for _ in range(50):
        sample = table.sample(3, without=member(0).id)
        assert len(set(sample)) == 3
        assert member(0).id not in sample
    assert len(table.sample(9, without=member(0).id)) == 4


def test_who_comes_back_from_the_dead_starts_with_a_clean_slate() -> None:
    table = MemberTable(rng=random.Random(1))
    table.put(member(1))
    table.contact(member(1).id).silent_at = 5.0
    table.put(member(1, MemberState.DEAD))
    table.meet_again(member(1).id)
    assert table.contact(member(1).id) == Contact()


def test_the_latest_dead_are_those_declared_last() -> None:
    table = MemberTable(rng=random.Random(1))
    for number in range(4):
        table.put(member(number, MemberState.DEAD, since=float(number)))
    assert [dead.since for dead in table.latest_dead(2)] == [3.0, 2.0]


def table(*members: Member) -> MemberTable:
    made = MemberTable(rng=random.Random(1))
    for each in members:
        made.put(each)
    return made


def moved(of: Member, *, to: Member | None = None, incarnation: int = 1) -> Member:
    addresses = of.record.addresses if to is None else to.record.addresses
    return evolve(of, record=evolve(of.record, addresses=addresses, incarnation=incarnation))


def test_a_place_goes_to_whoever_has_it_now_and_not_to_who_had_it_once() -> None:
    old, other = member(1), member(2)
    held = table(old, other)
    held.put(moved(other, to=old))
    assert held.holders(old.record) == [other.id]
    assert held.rival(old) == moved(other, to=old)
    held.put(moved(other, incarnation=2))
    assert held.holders(old.record) == []
    assert held.rival(old) is None


def test_a_holder_that_signs_again_or_is_forgotten_leaves_its_rivals_where_they_are() -> None:
    old, other, third = member(1), moved(member(2), to=member(1)), moved(member(3), to=member(1))
    held = table(old, other, third)
    held.put(moved(old, incarnation=5))
    assert set(held.holders(old.record)) == {other.id, third.id}
    held.remove(old.id)
    assert held.holders(old.record) == [other.id, third.id]
    held.remove(other.id)
    assert held.holders(third.record) == []
    held.remove(third.id)
    assert held.holders(old.record) == []

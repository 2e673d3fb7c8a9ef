"""All suspicions of a node, in the order in which they have to be judged."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.parameters import LAN
from gossipmesh.membership.suspicion import Suspicion
from gossipmesh.membership.suspicions import Suspicions
from gossipmesh.model import NodeId


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


def begun(now: float) -> Suspicion:
    return Suspicion((1, 0), mesh_size=8, parameters=LAN, now=now)


def accused_by(number: int) -> Accusation:
    return Accusation(node(number), node(99), 1, 0, 0, Signed(b"", b"", b""))


def test_without_suspicions_nothing_is_due() -> None:
    assert Suspicions().deadline == math.inf
    assert Suspicions().due(now=1e9) == []


def test_the_one_that_expires_first_is_due_first_and_a_judged_one_is_due_no_more() -> None:
    held = Suspicions()
    first = held.open(node(1), lambda: begun(5.0), now=5.0)
    second = held.open(node(2), lambda: begun(2.0), now=5.0)
    assert held.deadline == second.expires_at
    assert [who for who, _ in held.due(now=first.expires_at)] == [node(2), node(1)]
    held.close(node(2))
    assert held.deadline == first.expires_at
    assert held.get(node(2)) is second


def test_a_confirmation_brings_the_deadline_forward_and_a_stall_of_ours_puts_it_back() -> None:
    held = Suspicions()
    doubt = held.open(node(1), lambda: begun(0.0), now=0.0)
    before = held.deadline
    for number in (2, 3):
        doubt.add(accused_by(number), now=1.0)
        held.sooner(node(1))
    assert held.deadline == doubt.expires_at < before
    held.extend(3.0)
    assert held.deadline == doubt.expires_at
    doubt.put_off(1_000.0)
    assert held.deadline == 1_000.0


def test_a_judged_suspicion_begins_again_on_new_evidence_and_a_dropped_one_is_gone() -> None:
    held = Suspicions()
    held.open(node(1), lambda: begun(0.0), now=0.0)
    held.close(node(1))
    again = held.open(node(1), lambda: begun(math.nan), now=50.0)
    assert again.started == 50.0
    assert held.drop(node(1)) is again
    assert held.drop(node(1)) is None
    assert held.deadline == math.inf


def test_a_member_that_is_suspected_all_the_time_leaves_nothing_behind() -> None:
    held = Suspicions()
    for now in range(0, 10_000, 10):
        doubt = held.open(node(1), lambda at=now: begun(float(at)), now=float(now))
        for accuser in (2, 3, 4):
            doubt.add(accused_by(accuser), now=float(now))
            held.sooner(node(1))
        assert held.deadline > now
        held.drop(node(1))
        held.open(node(9), lambda at=now: begun(float(at)), now=float(now))
        assert held.deadline > now
        held.drop(node(9))
    assert len(held._due) < 30


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["open", "accuse", "close", "drop", "extend", "put off"]), st.integers(0, 5)
        ),
        max_size=40,
    )
)
def test_the_deadline_is_always_the_earliest_expiry_of_what_is_open(steps: list[tuple[str, int]]) -> None:
    held, is_open = Suspicions(), {}
    for now, (step, number) in enumerate(steps):
        who = node(number)
        if step == "open":
            is_open[who] = held.open(who, lambda at=now: begun(float(at)), now=float(now))
        elif step == "extend":
            held.extend(1.5)
        elif who in is_open:
            match step:
                case "accuse":
                    is_open[who].add(accused_by(now + 10), now=float(now))
                    held.sooner(who)
                case "put off":
                    is_open[who].put_off(now + 500.0)
                case "close":
                    held.close(who)
                    del is_open[who]
                case "drop":
                    held.drop(who)
                    del is_open[who]
        assert held.deadline == min((s.expires_at for s in is_open.values()), default=math.inf)
        due = [who for who, _ in held.due(now=now + 20.0)]
        assert sorted(due) == sorted(who for who, s in is_open.items() if s.expires_at <= now + 20.0)

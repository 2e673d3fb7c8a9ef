"""Which seed is asked next, and when: seeds are tried for ever."""

from __future__ import annotations

import itertools
import random

from gossipmesh.mesh.joining import FIRST_RETRY_S, MAX_SEEDS, OURSELVES, RETRY_MAX_S, Joining
from gossipmesh.model import Address

OWN = Address("192.0.2.1", 7946)
A, B, C = (Address(f"192.0.2.{host}", 7946) for host in (11, 12, 13))
NOBODY: frozenset[Address] = frozenset()


def joining(*seeds: Address) -> Joining:
    machine = Joining(reconnect_min_s=15, reconnect_max_s=30, rng=random.Random(1))
    machine.set_seeds(seeds, now=0.0)
    return machine


def ask(machine: Joining, reached: frozenset[Address] = NOBODY) -> tuple[float, Address | None]:
    """Let the deadline pass; give when it was, and who is asked."""
    at = machine.deadline
    return at, machine.handle_timer(frozenset({OWN}), reached, now=at)


def test_without_seeds_there_is_nothing_to_do() -> None:
    machine = Joining(reconnect_min_s=15, reconnect_max_s=30, rng=random.Random(1))
    assert machine.deadline == float("inf")
    machine.set_seeds((), now=0.0)
    assert machine.deadline == float("inf")


def test_nothing_is_asked_before_its_time() -> None:
    machine = joining(A)
    assert ask(machine) == (0.0, A)
    assert machine.handle_timer(frozenset({OWN}), NOBODY, now=machine.deadline - 0.01) is None


def test_all_seeds_are_asked_in_turn_and_more_slowly_for_ever() -> None:
    machine = joining(A, B, C)
    asked = [ask(machine) for _ in range(60)]
    for begin in range(0, 60, 3):
        assert {who for _, who in asked[begin : begin + 3]} == {A, B, C}
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(asked)]
    assert gaps[0] < 2 * FIRST_RETRY_S
    assert max(gaps) <= 1.2 * RETRY_MAX_S
    assert gaps[-1] >= 0.8 * RETRY_MAX_S
    assert not machine.joined


def test_after_an_answer_only_seeds_that_are_not_members_are_asked_now_and_then() -> None:
    machine = joining(A, B)
    ask(machine)
    machine.succeeded(now=1.0)
    assert machine.joined
    for _ in range(10):
        before = machine.deadline
        at, who = ask(machine, frozenset({A}))
        assert who == B
        assert 15 <= machine.deadline - before <= 30
        assert at == before
    assert ask(machine, frozenset({A, B}))[1] is None


def test_before_an_answer_members_of_the_last_run_do_not_keep_us_from_asking_their_addresses() -> None:
    machine = joining(A)
    assert ask(machine, frozenset({A}))[1] == A
    assert not machine.joined


def test_whoever_is_left_alone_asks_as_at_the_start() -> None:
    machine = joining(A, B)
    machine.succeeded(now=0.0)
    at, _ = ask(machine)
    assert machine.deadline - at <= 1.2 * FIRST_RETRY_S
    assert {ask(machine)[1], ask(machine)[1]} == {A, B}


def test_whose_only_seed_is_itself_waits_for_nobody() -> None:
    machine = joining(OWN)
    assert ask(machine) == (0.0, None)
    assert machine.joined


def test_a_seed_where_we_meet_ourselves_again_and_again_is_ourselves() -> None:
    machine = joining(A)
    for _ in range(OURSELVES):
        assert not machine.joined
        assert ask(machine)[1] == A
        machine.met_ourselves((A,))
    assert ask(machine)[1] is None
    assert machine.joined
    # The name may be shared with nodes that come later: we do not stay away for ever.
    assert ask(machine)[1] == A


def test_new_seeds_are_asked_at_once_while_we_wait() -> None:
    machine = joining(A)
    for _ in range(10):
        ask(machine)
    machine.set_seeds((A, B), now=7.0)
    assert machine.deadline == 7.0
    machine.succeeded(now=7.0)
    machine.set_seeds((A, C), now=8.0)
    assert machine.deadline > 8.0


def test_seeds_that_no_longer_resolve_stop_the_clock_until_they_do() -> None:
    machine = joining(A)
    ask(machine)
    machine.set_seeds((), now=1.0)
    ask(machine)
    assert machine.deadline == float("inf")
    assert not machine.joined
    machine.set_seeds((A,), now=9.0)
    assert ask(machine) == (9.0, A)


def test_only_so_many_seeds_are_kept() -> None:
    many = tuple(Address(f"198.51.100.{i}", 7946) for i in range(MAX_SEEDS + 50))
    assert joining(*many).seeds == many[:MAX_SEEDS]


def test_how_asking_each_seed_ended_is_kept_as_long_as_it_is_one() -> None:
    machine = joining(A, B)
    machine.note_outcome((A,), "refused")
    machine.note_outcome((B, C), "")
    assert machine.outcomes == {A: "refused", B: ""}
    machine.note_outcome((A,), "")
    assert machine.outcomes == {A: "", B: ""}
    machine.set_seeds((B, C), now=1.0)
    assert machine.outcomes == {B: ""}

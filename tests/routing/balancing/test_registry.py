"""The balancers of all services."""

from __future__ import annotations

import random
from types import ModuleType

from gossipmesh.routing.balancing.registry import MAX_SERVICES, Balancers
from gossipmesh.routing.traffic import DEFAULT, Traffic

EWMA, RANDOM = Traffic("ewma"), Traffic("random")


def balancers(lab: ModuleType, traffic: dict[str, Traffic]) -> Balancers:
    return Balancers(traffic, origin=lab.ORIGIN, key=lab.KEY, rng=random.Random(1))


def test_a_service_has_what_is_said_of_it_else_what_holds_for_all_else_the_defaults(lab: ModuleType) -> None:
    some = balancers(lab, {"hello": EWMA, "*": RANDOM})
    assert (some.of("hello").traffic, some.of("world").traffic) == (EWMA, RANDOM)
    assert balancers(lab, {}).of("hello").traffic == DEFAULT


def test_each_service_keeps_its_balancer_until_other_rules_hold_for_it(lab: ModuleType) -> None:
    some = balancers(lab, {"hello": EWMA})
    hello, world = some.of("hello"), some.of("world")
    some.change({"hello": EWMA, "*": RANDOM})
    assert some.of("hello") is hello
    assert some.of("world") is not world
    assert some.of("world").traffic == RANDOM


def test_how_many_are_kept_is_bounded_and_the_longest_unused_goes(lab: ModuleType) -> None:
    some = balancers(lab, {})
    first, second = some.of("first"), some.of("second")
    for number in range(MAX_SERVICES - 2):
        some.of(f"service-{number}")
    assert some.of("first") is first
    some.of("one more")
    assert some.of("first") is first
    assert some.of("second") is not second

"""Checks of what a node offers and calls, each in each of its states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checkedfacts import assert_found
from gossipmesh.daemon.checkup import serving
from gossipmesh.daemon.checkup.facts import Called, Check, Ejected, Facts, OwnFound, State
from gossipmesh.daemon.checkup.noted import Warned

WELL, NEW = OwnFound("hello", "healthy"), OwnFound("world", "unknown")
ILL = OwnFound("orders", "unhealthy", "connection refused")


@pytest.mark.parametrize(
    ("check", "facts", "state", "words"),
    [
        (serving.services, Facts(), State.OK, "none offered"),
        (serving.services, Facts(services=(WELL,)), State.OK, "1 service, healthy"),
        (serving.services, Facts(services=(WELL, NEW)), State.WARN, "not checked yet: world"),
        (serving.services, Facts(services=(NEW, ILL)), State.FAIL, "orders: connection refused"),
        (serving.token_services, Facts(), State.OK, "allows"),
        (
            serving.token_services,
            Facts(refused_services=("db",)),
            State.FAIL,
            "does not allow it to offer db",
        ),
        (serving.calls, Facts(), State.OK, "none called lately"),
        (serving.calls, Facts(called=(Called("hello", 2, 1),)), State.OK, "1 service called lately"),
        (serving.calls, Facts(called=(Called("helo", 0, 0),)), State.WARN, "offered by nobody: helo"),
        (
            serving.calls,
            Facts(called=(Called("hello", 2, 0, ("a: dead", "b: draining")), Called("helo", 0, 0))),
            State.FAIL,
            "no healthy endpoint: hello (a: dead, b: draining)",
        ),
        (serving.ejected, Facts(), State.OK, "no endpoint"),
        (
            serving.ejected,
            Facts(ejected=(Ejected("hello", "bob", "5 failures"),)),
            State.WARN,
            "bob for hello (5",
        ),
        (serving.record, Facts(record_bytes=989), State.OK, "989 of 1100 bytes"),
        (serving.record, Facts(record_bytes=990), State.WARN, "990 of 1100 bytes"),
        (serving.warnings, Facts(), State.OK, "none"),
        (serving.warnings, Facts(warned=(Warned("own.unreachable", "x", 1.0),)), State.OK, "none"),
        (
            serving.warnings,
            Facts(warned=(Warned("state.write", "disk full", 9.0), Warned("policy.fell", "revoked", 2.0))),
            State.WARN,
            "policy.fell, 2 s ago: revoked (and 1 more",
        ),
    ],
)
def test_each_check_in_each_of_its_states(
    check: Callable[[Facts], Check], facts: Facts, state: State, words: str
) -> None:
    assert_found(check, facts, state, words)


def test_a_long_list_says_how_many_it_does_not_name() -> None:
    called = tuple(Called(f"s{n}", 0, 0) for n in range(11))
    assert serving.calls(Facts(called=called)).found.endswith("s6, s7 and 3 more")

"""What a check finds in facts, held to the state and to words that it should give."""

from __future__ import annotations

from collections.abc import Callable

from gossipmesh.daemon.checkup.facts import Check, Facts, State


def assert_found(check: Callable[[Facts], Check], facts: Facts, state: State, words: str) -> None:
    """Assert that a check comes to a state and says these words, with a hint exactly where not all is well."""
    found = check(facts)
    assert (found.state, words in found.found) == (state, True), found
    assert bool(found.hint) is (state is not State.OK)

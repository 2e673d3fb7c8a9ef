"""Counted codes."""

from __future__ import annotations

from gossipmesh.transport.counters import MAX_CODES, OTHER, Counters


def test_codes_are_counted() -> None:
    counters = Counters()
    for code in ("udp.inbox-full", "chain.expired", "udp.inbox-full"):
        counters.count(code)
    assert counters.values == {"udp.inbox-full": 2, "chain.expired": 1}
    assert counters["never"] == 0


def test_no_one_can_fill_memory_with_codes() -> None:
    counters = Counters()
    for number in range(2 * MAX_CODES):
        counters.count(f"code.{number}")
    assert len(counters.values) == MAX_CODES + 1
    assert counters[OTHER] == MAX_CODES

"""What a decision of policy costs, by the number of rules. The worst case: each rule has paths, the last one decides.

    python tests/bench/policy.py

Sizes take turns, and the median of their rounds counts: the machine may be shared. The cost of the loop around the
decision is taken off; the yardstick is a fixed piece of work, timed in the same turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

from gossipmesh.model import NodeId
from gossipmesh.policy.decision import Source
from gossipmesh.policy.paths import ambiguous_path
from gossipmesh.policy.rules import Kind, Policy, Rule, Subject

CALLS: Final = 1_000
ROUNDS: Final = 101
SIZES: Final = (0, 10, 100, 1_000)
SOURCES: Final = 50
"""Nodes that call, each with its own services and groups, in turns."""

Case = Callable[[int], object]


def policy_of(size: int) -> Policy:
    """Give ``size`` rules, half of which deny, all about one service and with two paths each."""
    callers = (Subject(Kind.SERVICE, "web"), Subject(Kind.GROUP, "ops"))
    return Policy(
        tuple(
            Rule(
                index % 2 == 1,
                f"rule {index}",
                callers,
                ("orders",),
                (b"GET", b"POST"),
                (b"/v%d/things" % index, b"/v%d/things/*" % index),
            )
            for index in range(size)
        )
    )


def sources() -> list[Source]:
    """Give who calls."""
    return [
        Source(NodeId(bytes([index]) * 32), "web", frozenset({"web", f"s{index}"}), frozenset({"ops", "eu"}))
        for index in range(SOURCES)
    ]


def cases() -> dict[str, Case]:
    """Give what is timed: a decision, what comes before it where rules have paths, and a loop of nothing."""
    who = sources()
    timed: dict[str, Case] = {"loop": lambda n: None, "yardstick": lambda n: [i for i in range(9) if i != 5]}
    for size in SIZES:
        policy = policy_of(size)
        targets = [b"/v%d/things/%d?page=%d" % (size - 1, n, n) for n in range(CALLS)]

        def decided(n: int, decide: Callable[..., object] = policy.decide, to: list[bytes] = targets) -> None:
            decide(who[n % SOURCES], "orders", b"GET", to[n])

        timed[f"{size} rules"] = decided
    plain = [b"/v9/things/%d/of/some-length?page=%d" % (n, n) for n in range(CALLS)]
    odd = [b"/v9/.things/%d/caf%%C3%%A9?page=%d" % (n, n) for n in range(CALLS)]
    timed["ambiguous, plain path"] = lambda n: ambiguous_path(plain[n])
    timed["ambiguous, odd path"] = lambda n: ambiguous_path(odd[n])
    policy = policy_of(100)
    timed["100 rules, odd path"] = lambda n: policy.decide(who[n % SOURCES], "orders", b"GET", odd[n])
    return timed


def main() -> None:
    """Print nanoseconds per call."""
    timed = cases()
    spent: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(ROUNDS):
        for name, case in timed.items():
            started = time.process_time_ns()
            for number in range(CALLS):
                case(number)
            spent[name].append((time.process_time_ns() - started) / CALLS)
    loop = statistics.median(spent.pop("loop"))
    for name, each in spent.items():
        print(f"{name:24} {statistics.median(each) - loop:8.0f} ns   least {min(each) - loop:8.0f} ns")


if __name__ == "__main__":
    main()

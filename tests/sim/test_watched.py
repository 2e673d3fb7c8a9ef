"""Every record that a node takes in, and every one that it signs, is shown to its checker."""

from __future__ import annotations

from functools import partial

from gossipmesh.identity.record import MemberRecord
from gossipmesh.sim.checks import Checker, Ledger, Version
from gossipmesh.sim.history import History
from gossipmesh.sim.watched import WatchedMembership
from gossipmesh.sim.world import World


class Noting(Checker):
    """Notes what it is shown."""

    def __init__(self) -> None:
        super().__init__("a", History(1), Ledger())
        self.seen: list[tuple[str, Version | None, Version | None]] = []

    def learned(self, record: MemberRecord, before: Version | None, after: Version | None) -> None:
        self.seen.append((record.name, before, after))
        super().learned(record, before, after)

    def signed(self, record: MemberRecord) -> None:
        self.seen.append((record.name, None, record.version))
        super().signed(record)


def test_records_are_shown_with_the_versions_before_and_after_and_beliefs_are_unchanged() -> None:
    noting = Noting()
    world = World(1)
    world.add("a", membership=partial(WatchedMembership, noting))
    world.add("b", seeds=["a"])
    world.run(3)
    world.drain("b")
    world.run(3)
    world.drain("a")
    assert noting.seen == [
        ("a", None, (1, 0)),
        ("b", None, (1, 0)),
        ("b", (1, 0), (1, 1)),
        ("a", None, (1, 1)),
    ]
    assert world.complete()

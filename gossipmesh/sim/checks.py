"""What must hold in every world after every event. A broken law is an error with the seed in it."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged
from gossipmesh.model import MemberState, NodeId

MAX_SPINS: Final = 8


class LawBroken(AssertionError):
    """A run did what no run may do; the text names the seed, the time and the law."""


@define
class Checker:
    """Watches one node: versions only rise, nobody comes back without a newer record, time does not stand still."""

    seed: int
    name: str
    own: tuple[int, int] = (-1, -1)
    versions: dict[NodeId, tuple[int, int]] = field(factory=dict)
    buried: dict[NodeId, tuple[int, int]] = field(factory=dict)
    spins: int = 0

    def changed(self, mesh: Mesh, change: MemberChanged, *, now: float) -> None:
        """Check one change of belief."""
        member = mesh.members.get(change.id)
        if member is None:  # forgotten in the same turn, for want of room
            return
        version = member.record.version
        if change.new in (MemberState.DEAD, MemberState.LEFT):
            self.buried[change.id] = version
        elif change.id in self.buried and version <= self.buried[change.id]:
            self._broken(now, f"{change.name} came back without a newer record")

    def after_event(self, mesh: Mesh, *, now: float) -> None:
        """Check what must hold at any moment."""
        if mesh.own.version < self.own:
            self._broken(now, "its own version fell")
        self.own = mesh.own.version
        if mesh.id in mesh.members:
            self._broken(now, "it is a member of its own table")
        for node, member in mesh.members.items():
            if member.record.version < self.versions.get(node, (-1, -1)):
                self._broken(now, f"the version of {member.record.name} fell")
            self.versions[node] = member.record.version

    def after_timer(self, mesh: Mesh, *, now: float) -> None:
        """Check that timers get done with what is due: a few turns at one moment are fine, a spin is not."""
        self.spins = self.spins + 1 if mesh.deadline <= now else 0
        if self.spins > MAX_SPINS:
            self._broken(now, "a deadline is handled again and again and still due")

    def _broken(self, now: float, law: str) -> None:
        raise LawBroken(f"seed {self.seed}, t={now:.3f} s, node {self.name}: {law}")

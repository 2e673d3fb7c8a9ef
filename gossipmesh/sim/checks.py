"""What must hold in every world after every event. A broken law is an error with the seed in it.

Each check looks only at what the event changed: walking all views after every event would cost more than the run.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Final, NoReturn

from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership.members import MAX_MEMBERS
from gossipmesh.membership.piggyback import MAX_NEWS
from gossipmesh.membership.prober import MAX_ERRANDS, MAX_WANTED, MAX_WATCHED
from gossipmesh.mesh.admission import MAX_VERIFIED
from gossipmesh.mesh.exchanges import MAX_OPEN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged
from gossipmesh.mesh.secrecy import MAX_HINTED
from gossipmesh.model import MemberState, NodeId
from gossipmesh.registry.pool import MAX_WAITING
from gossipmesh.sim.history import History, LawBroken

__all__ = ["MAX_SPINS", "Checker", "LawBroken", "Ledger"]

MAX_SPINS: Final = 8
MAX_VERSIONS: Final = 256
"""Versions of one key that are remembered; the oldest goes first."""

LEGAL: Final = frozenset(
    {
        (None, MemberState.ALIVE),
        (None, MemberState.LEFT),
        (MemberState.ALIVE, MemberState.SUSPECT),
        # At once, where a handshake at its address proves the key of another member that claims the address.
        (MemberState.ALIVE, MemberState.DEAD),
        (MemberState.ALIVE, MemberState.LEFT),
        (MemberState.SUSPECT, MemberState.ALIVE),
        (MemberState.SUSPECT, MemberState.DEAD),
        (MemberState.SUSPECT, MemberState.LEFT),
        (MemberState.DEAD, MemberState.ALIVE),
        (MemberState.DEAD, MemberState.LEFT),
        (MemberState.LEFT, MemberState.ALIVE),
    }
)
"""Every transition of a belief that there is."""

BOUNDS: Final = (
    ("_membership._piggyback", MAX_NEWS),
    ("_membership._prober._wanted", MAX_WANTED),
    ("_membership._prober._watched", MAX_WATCHED),
    ("_membership._prober._errands", MAX_ERRANDS),
    ("_membership.members", MAX_MEMBERS),
    ("_registry._pool", MAX_WAITING),
    ("_admission._verified", MAX_VERIFIED),
    ("_exchanges._open", MAX_OPEN),
    ("_secrecy._hinted", MAX_HINTED),
)
"""What strangers or peers may fill, where it is in a :class:`Mesh`, and its maximum."""

Version = tuple[int, int]


def collections_of(mesh: Mesh) -> list[tuple[str, Sized, int]]:
    """Give those of :data:`BOUNDS` that this machine has: path, collection and maximum."""
    found = []
    for path, most in BOUNDS:
        part: object = mesh
        for name in path.split("."):
            part = getattr(part, name, None)
        if isinstance(part, Sized):
            found.append((path, part, most))
    return found


class Ledger:
    """All records of one world: a version of a key is signed once, except by clones."""

    def __init__(self) -> None:
        self._bodies: dict[NodeId, dict[Version, bytes]] = {}
        self.clones: set[NodeId] = set()
        """Keys that are in use twice, or again from an older copy of their state; or whose holder misbehaves."""

    def is_second(self, record: MemberRecord) -> bool:
        """Tell whether another record has this key and version; note it as the one if there is none."""
        if record.id in self.clones:
            return False
        bodies = self._bodies.setdefault(record.id, {})
        version = record.version
        body = bodies.get(version)
        if body is not None:
            return body is not record.signed.body and body != record.signed.body
        bodies[version] = record.signed.body
        if len(bodies) > MAX_VERSIONS:
            del bodies[next(iter(bodies))]
        return False


class Checker:
    """Watches one node through one life.

    Args:
        name: the node's.
        history: of the world.
        ledger: of the world.
        now: monotonic seconds, kept up to date by whoever lets events happen.
        trusted: False for a machine that misbehaves: what it believes, or says that it believes, is its own affair.
    """

    def __init__(
        self, name: str, history: History, ledger: Ledger, *, now: float = 0.0, trusted: bool = True
    ) -> None:
        self.name = name
        self.history = history
        self.ledger = ledger
        self.now = now
        self.trusted = trusted
        self.own: Version = (-1, -1)
        self.buried: dict[NodeId, Version] = {}
        self.spins = 0
        self.bounded: list[tuple[str, Sized, int]] = []
        self.turn = 0
        self.id: NodeId | None = None

    def watch(self, mesh: Mesh) -> None:
        """Begin to check the bounds of a node that starts."""
        self.bounded = collections_of(mesh)
        self.id = mesh.id

    def changed(self, mesh: Mesh, change: MemberChanged, seen: MemberState | None) -> None:
        """Check one change of belief.

        Args:
            mesh: the believer.
            change: what it says.
            seen: what it believed before, by its own earlier changes.
        """
        if not self.trusted:
            return
        gone = seen in (None, MemberState.DEAD, MemberState.LEFT)
        # Who was gone for long enough is forgotten without a word, and may come again.
        if (change.old, change.new) not in LEGAL or not (change.old is seen or (change.old is None and gone)):
            was = "unknown" if seen is None else seen.value
            told = "unknown" if change.old is None else change.old.value
            self.broken(f"{change.name} goes from {told} (seen before: {was}) to {change.new.value}")
        member = mesh.members.get(change.id)
        if member is None:  # forgotten in the same turn, for want of room
            return
        if (change.new is MemberState.LEFT) is not (member.state is MemberState.LEFT):
            # One turn may bring a farewell and the return after it: what is held then is the later record, and says
            # nothing about this change.
            return
        version = member.record.version
        if change.new in (MemberState.DEAD, MemberState.LEFT):
            self.buried[change.id] = version
        elif change.id in self.buried:
            if version <= self.buried[change.id]:
                self.broken(f"{change.name} came back without a newer record")
            del self.buried[change.id]

    def learned(self, record: MemberRecord, before: Version | None, after: Version | None) -> None:
        """Check what a record did to the version that is held of its key."""
        if record.id == self.id and after is not None:
            self.broken("it is a member of its own table")
        if before is not None and after is not None and after < before:
            self.broken(f"the version of {record.name} fell")
        if self.ledger.is_second(record):
            self.broken(f"{record.name} has two records of version {record.version}")

    def signed(self, record: MemberRecord) -> None:
        """Check the node's own record, as it was just signed."""
        if record.version <= self.own:
            self.broken("its own version did not rise")
        self.own = record.version
        if self.ledger.is_second(record):
            self.broken(f"it signed two records of version {record.version}")

    def after_event(self) -> None:
        """Check one of the bounds, another one each time: what grows without end is found within a few events."""
        if self.bounded:
            self.turn = (self.turn + 1) % len(self.bounded)
            path, collection, most = self.bounded[self.turn]
            if len(collection) > most:
                self.broken(f"{path.lstrip('_')} holds {len(collection)}, and {most} are allowed")

    def after_timer(self, deadline: float) -> None:
        """Check that timers get done with what is due: a few turns at one moment are fine, a spin is not."""
        self.spins = self.spins + 1 if deadline <= self.now else 0
        if self.spins > MAX_SPINS:
            self.broken("a deadline is handled again and again and still due")

    def broken(self, law: str) -> NoReturn:
        """Raise that a law is broken.

        Raises:
            LawBroken: always.
        """
        raise LawBroken(self.history.failure(self.now, f"node {self.name}: {law}"))

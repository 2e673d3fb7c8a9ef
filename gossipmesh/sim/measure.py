"""What is measured while a world runs: who was wrongly given up, and when a piece of news was known.

All observers listen to the world's changes of belief; none changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from gossipmesh.mesh.outputs import MemberChanged, RoutabilityChanged
from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.world import World

POLL_S: Final = 0.01
"""How often views are asked for news that is no change of belief: the resolution of what is measured so."""


def nobody_is_cut_off(observer: str, subject: str) -> bool:
    """Tell of every pair that its path is whole."""
    del observer, subject
    return False


@define(eq=False)
class Judge:
    """Counts false positives: a member that was up and well, and was declared dead or taken out of rotation.

    One event is one observer's change about one subject, as Lifeguard counts (section V). ``anomalous`` are the nodes
    that the scenario itself disturbs: about them nothing is a false positive (``anomalous_deaths`` counts their
    deaths), and what they say of others counts among all observers only, not among the healthy ones. ``cut_off``
    tells of which pairs the scenario has taken the path away.
    """

    world: World
    anomalous: set[str] = field(factory=set)
    cut_off: Callable[[str, str], bool] = nobody_is_cut_off
    deaths: int = 0
    deaths_healthy: int = 0
    unroutable: int = 0
    unroutable_healthy: int = 0
    anomalous_deaths: int = 0
    suspicions: int = 0
    """Of members that were up and well; the price of finding the others early, and harmless if refuted."""
    _subjects: dict[NodeId, SimNode] = field(factory=dict)

    def hear(self, now: float, observer: SimNode, change: MemberChanged | RoutabilityChanged) -> None:
        """Take one change of belief."""
        del now
        match change:
            case (
                MemberChanged(new=MemberState.DEAD | MemberState.SUSPECT) | RoutabilityChanged(routable=False)
            ):
                pass
            case _:
                return
        subject = self._subject(change.id)
        if subject is None or not self._lives_as_believed(observer, subject):
            return
        died = isinstance(change, MemberChanged) and change.new is MemberState.DEAD
        if subject.name in self.anomalous:
            self.anomalous_deaths += died
            return
        if self.cut_off(observer.name, subject.name):
            return
        healthy = observer.name not in self.anomalous
        if died:
            self.deaths += 1
            self.deaths_healthy += healthy
        elif isinstance(change, MemberChanged):
            self.suspicions += 1
        else:
            self.unroutable += 1
            self.unroutable_healthy += healthy

    def _subject(self, node: NodeId) -> SimNode | None:
        """Give the host that has this key now."""
        found = self._subjects.get(node)
        if found is None or found.key.id != node:
            self._subjects = {each.key.id: each for each in self.world.nodes.values()}
            found = self._subjects.get(node)
        return found

    @staticmethod
    def _lives_as_believed(observer: SimNode, subject: SimNode) -> bool:
        """Tell whether the life that the observer knows of is the one that the subject is living."""
        if subject.mesh is None or observer.mesh is None:
            return False
        member = observer.mesh.members.get(subject.key.id)
        return member is not None and member.record.boot >= subject.mesh.own.boot


@define(eq=False)
class Death:
    """When a member that is down was suspected first, given up first, and by whom since; seconds since ``since``."""

    subject: NodeId
    since: float
    first_suspicion_s: float | None = None
    first_detection_s: float | None = None
    known_s: dict[str, float] = field(factory=dict)

    def hear(self, now: float, observer: SimNode, change: MemberChanged | RoutabilityChanged) -> None:
        """Take one change of belief."""
        if not isinstance(change, MemberChanged) or change.id != self.subject:
            return
        after_s = now - self.since
        if change.new is MemberState.SUSPECT and self.first_suspicion_s is None:
            self.first_suspicion_s = after_s
        if change.new is MemberState.DEAD:
            if self.first_detection_s is None:
                self.first_detection_s = after_s
            self.known_s.setdefault(observer.name, after_s)


@define(eq=False)
class Spread:
    """When each node came to know the newest record of one member; seconds since :meth:`begin`."""

    world: World
    subject: SimNode
    known_s: list[float] = field(factory=list)
    waiting: list[SimNode] = field(factory=list)
    _began: float = 0.0

    def begin(self) -> None:
        """Begin to ask every node each :data:`POLL_S`, until all know."""
        self._began = self.world.now
        self.waiting = [node for node in self.world.up if node is not self.subject]
        self._ask()

    def _ask(self) -> None:
        if self.subject.mesh is None:
            return
        version = self.subject.mesh.own.version
        still: list[SimNode] = []
        for node in self.waiting:
            member = None if node.mesh is None else node.mesh.members.get(self.subject.key.id)
            if member is not None and member.record.version >= version:
                self.known_s.append(self.world.now - self._began)
            elif node.mesh is not None:
                still.append(node)
        self.waiting = still
        if still:
            self.world.at(POLL_S, self._ask)


@define(eq=False)
class Gathering:
    """Whether every running node holds every other one's record of the life that it lives now, and believes it alive.

    More than a complete view: who starts with the members that its disk remembers has one at once, of the past.
    """

    world: World
    waiting: list[tuple[SimNode, list[SimNode]]] = field(factory=list)

    def begin(self) -> None:
        """Begin to ask every node each :data:`POLL_S`, until all know all."""
        up = self.world.up
        self.waiting = [(node, [other for other in up if other is not node]) for node in up]
        self._ask()

    def _ask(self) -> None:
        still = ((node, [each for each in missing if not _met(node, each)]) for node, missing in self.waiting)
        self.waiting = [(node, missing) for node, missing in still if missing]
        if self.waiting:
            self.world.at(POLL_S, self._ask)


def _met(observer: SimNode, subject: SimNode) -> bool:
    if subject.mesh is None or observer.mesh is None:
        return True
    member = observer.mesh.members.get(subject.key.id)
    return (
        member is not None
        and member.state is MemberState.ALIVE
        and member.record.boot >= subject.mesh.own.boot
    )

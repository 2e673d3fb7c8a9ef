"""What may go wrong in a world, by name: each fault takes effect at once, and is scheduled with ``at``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gossipmesh.model import Serving
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.shell import Shell

GOODBYE_S: Final = 1.0
"""How long a daemon that leaves runs on, so that its goodbye gets out."""
SHORTEST_CYCLE_S: Final = 0.001
"""A slow node's cycle takes at least so long: without an end to how short it is, time would stand still."""


class Faults(Shell):
    """A shell whose nodes, clocks and paths can be hurt."""

    # --- daemons ---

    def crash(self, name: str, *, silent: bool = False) -> None:
        """Stop a daemon without a word, as SIGKILL does.

        Args:
            name: whose.
            silent: the host vanished with it: connections are not refused, they time out.
        """
        node = self.nodes[name]
        self._stop(node)
        node.vanished = silent
        self.history.add(self.now, name, "vanishes" if silent else "crashes")

    def _stop(self, node: SimNode) -> None:
        if node.view is not None:
            self._truth.fall(node.view)
        node.view = None
        node.mesh = None
        node.inbox = None
        node.life += 1
        node.timer = float("inf")
        node.traffic.kept.clear()

    def leave(self, name: str) -> None:
        """Say goodbye, and stop after the goodbye went out."""
        node = self.nodes[name]
        self.history.add(self.now, name, "leaves")
        if node.view is not None:
            self._truth.fall(node.view)
        self._serve(node, Serving.LEAVING)
        self.later(GOODBYE_S, node, self._stop, node)

    def drain(self, name: str) -> None:
        """Say that a node takes no new requests."""
        self._serve(self.nodes[name], Serving.DRAINING)

    def _serve(self, node: SimNode, serving: Serving) -> None:
        self.perform(node, node.running.set_serving(serving, now=self.now, wall=self.wall_of(node)))

    def stall(self, name: str, seconds: float) -> None:
        """Stop a daemon for a while, as SIGSTOP does: what comes in waits, and so do its deadlines."""
        node = self.nodes[name]
        node.inbox = []
        life = node.life
        self.coverage["stalled"] += 1
        self.history.add(self.now, name, f"is stalled for {seconds:g} s")
        self.at(seconds, lambda: self._resume(node) if node.life == life else None)

    def skew(self, name: str, wall_s: float) -> None:
        """Put a node's wall clock off by so many seconds, ahead or (negative) behind."""
        self.nodes[name].skew_s = wall_s
        self.history.add(self.now, name, f"has a clock {wall_s:+g} s off")

    # --- hosts whose packets are kept back ---

    def hold(self, names: Iterable[str]) -> None:
        """Keep back all packets and exchanges to and from these nodes; their own timers run on."""
        for name in names:
            node = self.nodes[name]
            if node.held is None:
                node.held = deque()
                self.history.add(self.now, name, "is held")

    def release(self, names: Iterable[str]) -> None:
        """Hand over all that was kept back for these nodes, in the order in which it came."""
        for name in names:
            node = self.nodes[name]
            kept, node.held = node.held or (), None
            self.history.add(self.now, name, f"is released, {len(kept)} packets were held")
            for event, args in kept:
                event(*args)

    def slow(self, names: Iterable[str], *, blocked_s: float, free_s: float, lasting_s: float) -> None:
        """Hold nodes for ``blocked_s`` and free them for ``free_s``, again and again (Lifeguard, section V).

        Args:
            names: which.
            blocked_s: seconds held in each cycle.
            free_s: seconds free in each cycle.
            lasting_s: when it is over they are free for good.

        Raises:
            ValueError: a whole cycle takes less than :data:`SHORTEST_CYCLE_S`.
        """
        if not (blocked_s >= 0 and free_s >= 0 and blocked_s + free_s >= SHORTEST_CYCLE_S):
            raise ValueError(f"{blocked_s:g} s held and {free_s:g} s free: a cycle takes at least 1 ms")
        slowed = tuple(names)
        end = self.now + lasting_s

        def block() -> None:
            if self.now < end:
                self.hold(slowed)
                self.at(min(blocked_s, end - self.now), free)

        def free() -> None:
            self.release(slowed)
            self.at(free_s, block)

        block()

    # --- paths ---

    def cut(
        self, here: Iterable[str], there: Iterable[str], *, one_way: bool = False, udp_only: bool = False
    ) -> None:
        """Drop everything from ``here`` to ``there``, as :meth:`gossipmesh.sim.network.Network.cut`."""
        self.network.cut(here, there, one_way=one_way, udp_only=udp_only)
        self._tell("a cut")

    def heal(self) -> None:
        """Undo every cut."""
        self.network.heal()
        self._tell("cuts are healed")

    def partition(self, *groups: Iterable[str]) -> None:
        """Let no packet pass between different groups; who is in none is cut from all of them."""
        self.network.partition(*groups)
        self._tell("a partition")

    def repair(self) -> None:
        """Undo every partition and every cut."""
        self.network.repair()
        self._tell("partitions and cuts are repaired")

    def lose(self, share: float, *, names: Iterable[str] | None = None) -> None:
        """Lose this share of all datagrams, or of those to and from ``names``; ``lose(0)`` resets all."""
        self.network.lose(share, names)
        self._tell(f"{share:.0%} of datagrams are lost")

    def duplicate(self, share: float) -> None:
        """Deliver this share of the datagrams twice."""
        self.network.duplicate(share)
        self._tell(f"{share:.0%} of datagrams are doubled")

    def delay(self, extra_s: tuple[float, float], *, names: Iterable[str] | None = None) -> None:
        """Let all datagrams, or those to and from ``names``, take so much longer; ``delay((0, 0))`` resets all."""
        self.network.delay(extra_s, names)
        self._tell(f"datagrams take {extra_s[0]:g} to {extra_s[1]:g} s longer")

    def _tell(self, what: str) -> None:
        self.history.add(self.now, "network", what)

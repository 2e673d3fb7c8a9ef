"""What a daemon's shell does with the outputs of its machine, here in virtual time and for all nodes at once.

Datagrams take a random time and may be lost; exchanges over TCP take a connect and a round trip, or fail when the
path is cut. Everything else is the daemon's own code: :class:`gossipmesh.mesh.machine.Mesh`.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, assert_never

from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.membership.machine import STALL_S
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import (
    BootRaised,
    BundlesChanged,
    ChainRenewed,
    Converged,
    Exchange,
    MemberChanged,
    Notice,
    Output,
    OwnRevoked,
    PolicyChanged,
    ProbeMeasured,
    Refused,
    RevocationsChanged,
    RoutabilityChanged,
    SendDatagram,
    SnapshotChanged,
)
from gossipmesh.model import Address
from gossipmesh.sim.call import Call
from gossipmesh.sim.checks import Ledger
from gossipmesh.sim.coverage import Coverage
from gossipmesh.sim.crypto import port
from gossipmesh.sim.events import Events
from gossipmesh.sim.history import History
from gossipmesh.sim.network import Network
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.truth import Truth

EPOCH: Final = 1_800_000_000.0
"""The wall time at which every world begins, in Unix seconds."""
MAX_INBOX: Final = 1_024
"""What waits for a stalled node; the rest is lost."""
MAX_HELD: Final = 4_096
"""What is kept back to and from one node; the rest is lost."""

Listener = Callable[[float, SimNode, MemberChanged | RoutabilityChanged], None]


class Shell:
    """Time, the network, and the nodes that were started; ``world`` starts them, ``faults`` hurts them.

    Args:
        seed: of everything random.
        latency_s: least and greatest one-way time of a packet.
        loss: the share of datagrams that are lost, 0 to 1.
        crypto: ``shared`` or ``real``, as :func:`gossipmesh.sim.crypto.port`.
        input_first: whether a node that was stalled takes in what it received before its deadlines fire, and says
            how late they are. False: the naive order, as if no time had been lost.
    """

    def __init__(
        self, seed: int, *, latency_s: tuple[float, float], loss: float, crypto: str, input_first: bool
    ) -> None:
        self.seed = seed
        self.nodes: dict[str, SimNode] = {}
        self.listeners: list[Listener] = []
        """Each is called with every change of belief: when, whose, and what."""
        self.coverage = Coverage()
        self.history = History(seed)
        self._rng = random.Random(seed)
        self.network = Network(self._rng, latency_s=latency_s, loss=loss)
        self._crypto = port(crypto)
        self._input_first = input_first
        self._events = Events()
        self._truth = Truth()
        self._ledger = Ledger()
        self._by_address: dict[Address, SimNode] = {}
        self.root_seed = self._rng.randbytes(32)
        bundle = new_bundle([NodeKey.from_seed(self.root_seed).id], default_allow=True)
        self.trust = TrustStore(bundle)

    # --- time ---

    @property
    def now(self) -> float:
        """Monotonic seconds in this world."""
        return self._events.now

    @property
    def wall(self) -> float:
        """Unix seconds in this world."""
        return EPOCH + self._events.now

    def wall_of(self, node: SimNode) -> float:
        """Unix seconds by the clock of one node."""
        return EPOCH + self._events.now + node.skew_s

    def run(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        with _uncollected():
            self._events.run(seconds)

    def _wait(self, holds: Callable[[], bool], within: float) -> float | None:
        with _uncollected():
            return self._events.run_until(holds, within=within)

    def at(self, delay_s: float, event: Callable[[], None]) -> None:
        """Let something happen after ``delay_s`` seconds, whatever happens to whom until then."""
        self._events.at(self.now + delay_s, event)

    def later(self, delay_s: float, node: SimNode, event: Callable[..., object], *args: object) -> None:
        """Let something happen in a node's process, unless it crashes or starts again before."""
        self._events.at(self.now + delay_s, self._happen, node, node.life, event, args)

    def reach(self, delay_s: float, node: SimNode, event: Callable[..., object], *args: object) -> None:
        """Let something arrive at a node over the network: as :meth:`later`, and kept back while it is held."""
        self._events.at(self.now + delay_s, self._arrive, node, node.life, event, args)

    def _arrive(
        self, node: SimNode, life: int, event: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        if node.held is not None:
            self.keep_back(node, self._happen, node, life, event, args)
        else:
            self._happen(node, life, event, args)

    def _happen(
        self, node: SimNode, life: int, event: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        if node.life != life:
            return
        if node.inbox is None:
            event(*args)
        elif len(node.inbox) < MAX_INBOX:
            node.inbox.append((event, args))

    def keep_back(self, node: SimNode, event: Callable[..., object], *args: object) -> None:
        """Keep something back until a held node is released; it is lost where too much is."""
        if node.held is not None and len(node.held) < MAX_HELD:
            self.coverage["held"] += 1
            node.held.append((event, args))

    # --- what the daemon does with outputs ---

    def perform(self, node: SimNode, outputs: list[Output]) -> float:
        """Carry out what a node's machine wants; give when it has to be called next."""
        node.checker.now = self._events.now
        for output in outputs:
            match output:
                case SendDatagram():
                    self._send(node, output)
                case Exchange():
                    node.traffic.exchanges += 1
                    self.coverage.exchange(output)
                    Call(self, node, output).begin()
                case MemberChanged() | RoutabilityChanged():
                    self._changed(node, output)
                case BootRaised(boot):
                    node.boot = max(node.boot, boot)
                case ChainRenewed(raw):
                    node.chain_raw = raw
                case Notice():
                    node.notices.append(output)
                    self.history.add(self.now, node.name, output)
                case Refused(code):
                    node.refused[code] += 1
                    self.coverage.refusal(code)
                case PolicyChanged() | RevocationsChanged():
                    if node.mesh is not None:
                        node.kept = node.mesh.charter.kept()
                    self.history.add(self.now, node.name, type(output).__name__)
                case OwnRevoked(text):
                    # The daemon would stop. One that goes on is what a thief would run.
                    node.revoked = text
                case BundlesChanged() | SnapshotChanged() | ProbeMeasured() | Converged():
                    pass
                case _:
                    assert_never(output)
        mesh = node.mesh
        if mesh is None:
            return float("inf")
        node.checker.after_event()
        deadline = mesh.deadline
        self._set_timer(node, deadline)
        return deadline

    def _changed(self, node: SimNode, change: MemberChanged | RoutabilityChanged) -> None:
        now = self._events.now
        if isinstance(change, RoutabilityChanged):
            node.rotations.append((now, change))
            self.coverage.rotation(change)
        elif node.view is not None:
            node.changes.append((now, change))
            self.coverage.changed(change)
            node.checker.changed(node.running, change, self._truth.state(node.view, change.id))
            self._truth.believe(node.view, change.id, change.new)
        self.history.add(now, node.name, change)
        for listener in self.listeners:
            listener(now, node, change)

    def _send(self, node: SimNode, datagram: SendDatagram) -> None:
        target, payload = datagram.target, datagram.payload
        node.traffic.datagrams += 1
        node.traffic.datagram_bytes += len(payload)
        self.coverage.datagram(datagram.kind)
        if self.network.tap is not None:
            self.network.tap(node.address, target, payload)
        if node.held is not None:
            self.keep_back(node, self._travel, node.name, node.address, target, payload)
        else:
            self._travel(node.name, node.address, target, payload)

    def _travel(self, sender: str, source: Address, target: Address, payload: bytes) -> None:
        other = self._by_address.get(target)
        if other is None:
            return
        times = self.network.travels(sender, other.name)
        if len(times) != 1:
            self.coverage["duplicate" if times else "lost"] += 1
        for travel_s in times:
            self._events.at(self._events.now + travel_s, self._take, other, payload, source)

    def _take(self, node: SimNode, payload: bytes, source: Address) -> None:
        if node.held is not None:
            self.keep_back(node, self._take, node, payload, source)
        elif node.inbox is not None:
            if len(node.inbox) < MAX_INBOX:
                node.inbox.append((self._take, (node, payload, source)))
        elif node.mesh is not None:
            now = self._events.now
            outputs = node.mesh.receive_datagram_untrusted(
                payload, source, now=now, wall=EPOCH + now + node.skew_s
            )
            self.perform(node, outputs)

    def inject(self, target: str, payload: bytes, source: Address) -> None:
        """Let a datagram arrive now that no node of this world sent, or not now."""
        self._take(self.nodes[target], payload, source)

    def at_address(self, address: Address) -> SimNode | None:
        """Give the host with this address, up or down."""
        return self._by_address.get(address)

    def peer_of(
        self,
        mesh: Mesh,
        *,
        to: SimNode | None = None,
        shown: float | None = None,
        wall: float | None = None,
    ) -> Peer:
        """Give what a handshake proves of a node.

        Args:
            mesh: the node's machine.
            to: who verifies, knows who is revoked, and learns newer trust bundles with it; by default nobody in
                particular, who knows the bundles that the mesh began with.
            shown: Unix seconds by its own clock; the world's by default.
            wall: Unix seconds by the clock of whoever verifies; the world's by default.

        Raises:
            TrustError: if its credentials are not valid now.
        """
        wall = self.wall if wall is None else wall
        trust = self.trust if to is None or to.trust is None else to.trust
        learned: list[bytes] = []
        try:
            peer = verify_credentials_untrusted(
                mesh.credentials(trust.n, wall=self.wall if shown is None else shown),
                mesh.own.dh_key,
                trust,
                wall=wall,
                checks=self._crypto.checks,
                learn=learned.extend,
            )
            if to is not None:
                to.running.charter.check_not_revoked(peer.chain)
            return peer
        finally:
            if to is not None and learned:
                outputs = to.running.learn_bundles_untrusted(learned, now=self.now, wall=wall)
                self.perform(to, outputs)

    # --- timers ---

    def _set_timer(self, node: SimNode, deadline: float) -> None:
        # What was received may move a deadline into the past, by hours. It is due now, and nobody is late for it.
        due = max(self.now, deadline)
        if due < node.timer:
            node.timer = due
            self._events.at(due, self._fire, node, node.life, due)

    def _fire(self, node: SimNode, life: int, due: float) -> None:
        if node.life != life or node.timer != due:
            return
        if node.inbox is not None:  # stalled: its deadlines wait until it has read what came in
            return
        node.timer = float("inf")
        mesh = node.running
        if mesh.deadline <= self.now:
            self._handle_timer(node, late_s=self.now - due)
        else:
            self._set_timer(node, mesh.deadline)

    def _handle_timer(self, node: SimNode, *, late_s: float) -> None:
        mesh = node.running
        outputs = mesh.handle_timer(now=self.now, wall=self.wall_of(node), late_s=late_s)
        node.checker.after_timer(self.perform(node, outputs))

    def _resume(self, node: SimNode) -> None:
        # It slept for one of the two: the timer is not moved back when the machine's deadline moves on.
        slept_for = max(node.timer, node.running.deadline)
        late_s = max(0.0, self.now - slept_for) if self._input_first else 0.0
        if node.timer <= self.now:
            node.timer = float("inf")
        life, inbox, node.inbox = node.life, node.inbox or [], None
        if not self._input_first and node.running.deadline <= self.now:
            self._handle_timer(node, late_s=0.0)
        # First what came in, then the clock, as the daemon's control task has it.
        for event, args in inbox:
            event(*args)
            if node.life != life:  # it had said goodbye, and is gone
                return
        if node.running.deadline <= self.now or late_s > STALL_S:
            self._handle_timer(node, late_s=late_s)
        self._set_timer(node, node.running.deadline)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Run without the collector of cycles.

    A mesh of a thousand is some ten million objects that stay, which it would walk again and again; what a run
    throws away has no cycles.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

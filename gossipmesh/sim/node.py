"""One simulated host, and what observers may ask of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from attrs import define, field

from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.keys import NodeKey
from gossipmesh.membership.machine import Membership
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged, Notice, RoutabilityChanged
from gossipmesh.model import Address, Service
from gossipmesh.sim.checks import Checker
from gossipmesh.sim.traffic import Traffic
from gossipmesh.sim.truth import View

MAX_CHANGES: Final = 256
"""Of each kind that are remembered of one node. Who needs all of them listens to the world."""

Waiting = tuple[Callable[..., object], tuple[object, ...]]
"""Something that happens to a node later, and its arguments."""


@define(eq=False)
class SimNode:
    """One simulated host and its daemon; ``mesh`` is None while it is down."""

    name: str
    key: NodeKey
    chain_raw: bytes
    address: Address
    services: tuple[Service, ...]
    seeds: tuple[Address, ...]
    checker: Checker
    machine: Callable[..., Mesh] = Mesh
    """What is built at each start: :class:`Mesh`, or one that misbehaves."""
    membership: Callable[..., Membership] | None = None
    """What :attr:`machine` builds its membership with; None: one whose records are checked."""
    boot: int = 0
    mesh: Mesh | None = None
    timer: float = float("inf")
    life: int = 0
    """Raised at every start and crash: events of an earlier life are void."""
    root_seed: bytes | None = field(default=None, repr=False)
    trust: TrustStore | None = None
    """The trust bundles that its disk remembers; None: those of the world's beginning."""
    known: tuple[bytes, ...] = ()
    """Members that its disk remembers: set it to :meth:`Mesh.known` to have it start with them."""
    kept: tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]] = ((), (), ())
    """Revocations, policy documents and the one to return to, as its disk remembers them."""
    revoked: str = ""
    """What it was told when it was revoked itself."""
    changes: deque[tuple[float, MemberChanged]] = field(factory=lambda: deque(maxlen=MAX_CHANGES))
    rotations: deque[tuple[float, RoutabilityChanged]] = field(factory=lambda: deque(maxlen=MAX_CHANGES))
    notices: list[Notice] = field(factory=list)
    refused: Counter[str] = field(factory=Counter)
    inbox: list[Waiting] | None = None
    """What came in while it is stalled; None: it runs."""
    held: deque[Waiting] | None = None
    """What is kept back on its way to and from this node; None: nothing is."""
    vanished: bool = False
    """Whether the host went with its daemon, so that nobody refuses a connection."""
    skew_s: float = 0.0
    """How far its wall clock is off."""
    view: View | None = None
    traffic: Traffic = field(factory=Traffic)

    @property
    def running(self) -> Mesh:
        """The node's machine.

        Raises:
            ValueError: while it is down.
        """
        if self.mesh is None:
            raise ValueError(f"{self.name} is down")
        return self.mesh

    @property
    def sent(self) -> int:
        """How many datagrams it sent."""
        return self.traffic.datagrams

    @property
    def sent_bytes(self) -> int:
        """How many bytes of datagrams it sent."""
        return self.traffic.datagram_bytes

    @property
    def exchanges(self) -> int:
        """How many exchanges over TCP it began."""
        return self.traffic.exchanges

    def told(self, code: str) -> int:
        """Count the notices with this code."""
        return sum(notice.code == code for notice in self.notices)

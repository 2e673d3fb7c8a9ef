"""One simulated host, and what observers may ask of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from attrs import define, field

from gossipmesh.identity.keys import NodeKey
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged, Notice
from gossipmesh.model import Address, Service
from gossipmesh.sim.checks import Checker


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
    boot: int = 0
    mesh: Mesh | None = None
    timer: float = float("inf")
    life: int = 0
    """Raised at every start and crash: events of an earlier life are void."""
    root_seed: bytes | None = None
    known: tuple[bytes, ...] = ()
    """Members that its disk remembers: set it to :meth:`Mesh.known` to have it start with them."""
    changes: list[tuple[float, MemberChanged]] = field(factory=list)
    notices: list[Notice] = field(factory=list)
    refused: Counter[str] = field(factory=Counter)
    inbox: list[Callable[[], None]] | None = None
    """What came in while it is stalled; None: it runs."""
    sent: int = 0
    sent_bytes: int = 0
    exchanges: int = 0

    @property
    def running(self) -> Mesh:
        """The node's machine.

        Raises:
            ValueError: while it is down.
        """
        if self.mesh is None:
            raise ValueError(f"{self.name} is down")
        return self.mesh

    def told(self, code: str) -> int:
        """Count the notices with this code."""
        return sum(notice.code == code for notice in self.notices)

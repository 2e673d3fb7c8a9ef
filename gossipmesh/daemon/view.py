"""What the admin API asks of a node, and the shapes of the answers.

The keys are a contract with scripts and dashboards: more may be added, none renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypedDict

from attrs import frozen


@frozen
class Readiness:
    """Whether the node takes work: joined, in sync, listening, not draining; where not, why, in words."""

    ok: bool
    reason: str = ""


class Listen(TypedDict):
    """Where the node listens, ``HOST:PORT`` each; None for what is off."""

    mesh: str
    proxy: str | None
    admin: str | None
    dns: str | None


class MemberCounts(TypedDict):
    """How many members, this node included, are in each state."""

    alive: int
    suspect: int
    dead: int
    left: int


class OwnService(TypedDict):
    """One of this node's own services in ``/v1/status``."""

    name: str
    port: int
    state: Literal["healthy", "unhealthy", "unknown"]
    """``unknown``: no check has ended yet. Only the healthy get requests."""
    reason: str
    """What the last check found; empty where all is well."""
    check: str
    """How it is checked, in words; ``off``: not at all."""


class Status(TypedDict):
    """``/v1/status``."""

    name: str
    id: str
    """The node's id in hex."""
    mesh: str
    """The mesh's id in hex."""
    version: str
    uptime_s: float
    listen: Listen
    address: str
    """What others dial: the advertised address."""
    members: MemberCounts
    agreement: float
    """The share, 0 to 1, of the other live members whose root hash equals ours."""
    awareness: int
    """How much the node doubts itself: 0, all is well, to 8. Others get more time by it before they are suspected."""
    policy_version: int
    services: list[OwnService]


class MemberEntry(TypedDict):
    """One of ``/v1/members``."""

    name: str
    id: str
    address: str
    state: Literal["alive", "suspect", "dead", "left"]
    serving: Literal["serving", "draining", "leaving"]
    incarnation: int
    """Boot count above counter: ``boot << 32 | counter``."""
    zone: str
    services: list[str]
    since: float
    """Unix seconds since when it has been in its state."""


class Members(TypedDict):
    """``/v1/members``."""

    members: list[MemberEntry]


class ServiceEntry(TypedDict):
    """One of ``/v1/services``: endpoints known, and those among them that may be chosen."""

    name: str
    endpoints: int
    healthy: int


class Services(TypedDict):
    """``/v1/services``."""

    services: list[ServiceEntry]


class EndpointEntry(TypedDict):
    """One of ``/v1/endpoints/NAME``; ``reason`` says why it is not healthy, and is empty where it is."""

    node: str
    id: str
    address: str
    weight: int
    tags: list[str]
    healthy: bool
    reason: str


class Endpoints(TypedDict):
    """``/v1/endpoints/NAME``."""

    service: str
    endpoints: list[EndpointEntry]


class NodeView(Protocol):
    """A running node, as the admin API sees it. All but ``drain`` and ``leave`` answer at once, from memory."""

    def status(self) -> Status:
        """Give the node in short."""
        ...

    def members(self) -> Members:
        """Give all members, this node included."""
        ...

    def services(self) -> Services:
        """Give all services with the number of their endpoints."""
        ...

    def endpoints(self, name: str) -> Endpoints | None:
        """Give a service's endpoints, or None for a service that nobody offers."""
        ...

    def config(self) -> Mapping[str, object]:
        """Give the effective configuration, as ``Loaded.describe()`` does; it holds no secret."""
        ...

    def ready(self) -> Readiness:
        """Tell whether the node can take work."""
        ...

    def metrics_text(self) -> bytes:
        """Give the metrics in the Prometheus text format."""
        ...

    def trace(self) -> bytes:
        """Give what membership was told lately, to be run again.

        Raises:
            MeshError: ``trace.none``, where there is no recording.
        """
        ...

    async def drain(self) -> None:
        """Take no more work from the mesh, for good: return once what was taken is over, or has no more time."""
        ...

    async def leave(self) -> None:
        """Leave the mesh: return once others were told. The daemon may end after that, not before."""
        ...

"""What the admin API asks of a node, and the shapes of the answers.

The keys are a contract with scripts and dashboards: more may be added, none renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypedDict

from attrs import frozen

from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.explained_view import Explained
from gossipmesh.daemon.admin.identities import Identities, Revocations
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.policy_view import Allowed, PolicyEntry, PolicyShown, TrialShown
from gossipmesh.daemon.admin.reachability_view import Reachability
from gossipmesh.daemon.admin.requests_view import Requests, RequestsAsked
from gossipmesh.daemon.admin.services_view import OwnService, ServiceBook


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
    gateways: list[str]
    """In the order of the configuration."""


class MemberCounts(TypedDict):
    """How many members, this node included, are in each state."""

    alive: int
    suspect: int
    dead: int
    left: int


class RootEntry(TypedDict):
    """One of the mesh's root keys in ``/v1/status``, and how many living members' chains hang on it, ours included."""

    root: str
    """The key in hex."""
    newest: bool
    members: int


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
    chain_expires_at: int
    """Unix seconds: when this node's proof of membership ends, unless it is renewed."""
    bundle: int
    """The number of the newest trust bundle."""
    roots: list[RootEntry]
    """Oldest first, as the newest bundle lists them."""
    clones: list[str]
    """Ids in hex of which two different records of one version were seen: keys in use twice."""


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
    policy_version: int
    """Of the policy in effect there, by its own record; 0: none."""
    enforces: bool
    """Whether its release enforces policies and revocations; 0.1 did not."""


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
    """A running node, as the admin API sees it. All but ``drain``, ``leave`` and ``offer`` answer from memory."""

    @property
    def book(self) -> ServiceBook:
        """This node's own services."""
        ...

    @property
    def news(self) -> News:
        """What has changed."""
        ...

    def status(self) -> Status:
        """Give the node in short."""
        ...

    def members(self) -> Members:
        """Give all members, this node included."""
        ...

    def services(self) -> Services:
        """Give all services with the number of their endpoints."""
        ...

    def revocations(self) -> Revocations:
        """Give who is revoked, and why."""
        ...

    def identities(self) -> Identities:
        """Give what a revocation may name of each living member, this node included."""
        ...

    def endpoints(self, name: str) -> Endpoints | None:
        """Give a service's endpoints, or None for a service that nobody offers."""
        ...

    def can(self, source: str, service: str, method: str, target: str, *, speaks_as: str | None) -> Allowed:
        """Tell whether a request would be let in, and by which rule.

        Raises:
            ConfigError: for what is no question.
        """
        ...

    def policy(self, version: int | None) -> PolicyShown:
        """Give a policy document, the newest if no version is said, and which one each member has.

        Raises:
            MeshError: ``policy.unknown``, where it is not remembered.
        """
        ...

    def policy_history(self) -> list[PolicyEntry]:
        """Give the documents that are remembered, the newest first."""
        ...

    def explain(self, method: str, url: str, headers: list[tuple[str, str]]) -> Explained:
        """Give what a request of a local app would come to now.

        Raises:
            RequestError: for what is no request.
        """
        ...

    def explain_past(self, name: str) -> Explained:
        """Give what became of the request with the id or the trace id ``name``.

        Raises:
            MeshError: ``explain.unknown``, with how far back this node remembers.
        """
        ...

    def requests(self, asked: RequestsAsked) -> Requests:
        """Give the requests that ended lately and fit a question."""
        ...

    def check(self) -> Checked:
        """Give what is right and wrong here.

        Raises:
            MeshError: ``check.files``, where the checks cannot be loaded.
        """
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

    async def reachability(self) -> Reachability:
        """Reach for all members, by UDP and TCP, and compare with what is believed.

        Raises:
            MeshError: ``survey.busy``.
        """
        ...

    async def try_policy(self, body: bytes, *, signed: bool) -> TrialShown:
        """Give what a policy would have decided: its text, asked here, or a signed question to all members.

        Raises:
            ConfigError: the policy is not valid.
            MeshError: the question is not one that members would answer.
        """
        ...

    async def offer(self, kind: str, raw: bytes) -> str:
        """Take a ``bundle``, a ``revocation`` or a ``policy``; give ``taken``, ``stale`` or ``refused: `` and why."""
        ...

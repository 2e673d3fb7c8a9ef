"""What the admin API asks of a node, and the shapes of the answers.

The keys are a contract with scripts and dashboards: more may be added, none renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypedDict

from attrs import frozen

from gossipmesh.daemon.identities import Identities, Revocations
from gossipmesh.daemon.news import News
from gossipmesh.daemon.policy_view import Allowed, PolicyEntry, PolicyShown, TrialShown


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


class OwnServiceEntry(OwnService):
    """One of ``/v1/own-services``."""

    protocol: str
    weight: int
    tags: list[str]
    origin: str
    """Where it comes from: a file, variable or flag, or ``run time``."""
    changed: bool
    """Whether it was changed at run time from what its origin says; a reload or a restart changes it back."""
    ttl_s: float | None
    """How long it stays without being renewed; None: until it is removed."""
    expires_in_s: float | None


class OwnServices(TypedDict):
    """``/v1/own-services``."""

    services: list[OwnServiceEntry]
    speaker: str
    """The service that local apps speak as; empty: none."""


class ServiceBook(Protocol):
    """This node's own services, to be looked at and changed. What is refused raises MeshError and changes nothing."""

    def listing(self) -> OwnServices:
        """Give all of them."""
        ...

    async def add(self, name: str, fields: Mapping[str, object], *, ttl_s: float) -> None:
        """Offer a service, anew or in the place of what was added before; ``ttl_s`` seconds, or for ever."""
        ...

    async def change(self, name: str, fields: Mapping[str, object]) -> None:
        """Change what ``fields`` name."""
        ...

    async def renew(self, name: str) -> None:
        """Begin the time to live of a service again."""
        ...

    async def remove(self, name: str) -> None:
        """Offer a service no more."""
        ...


class RootEntry(TypedDict):
    """One of the mesh's root keys in ``/v1/status``, and how many members' chains hang on it."""

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


class CandidateEntry(TypedDict):
    """One endpoint in an explanation."""

    node: str
    id: str
    address: str
    zone: str
    tags: list[str]
    eligible: bool
    """Whether it is in rotation."""
    reason: str
    """Why it is not, or why it gets nothing all the same; empty where neither is so."""
    weight: float
    """As it counts now: less than its own during slow start."""
    share: float | None
    """Of the requests without a session, what its group (tag and zone) gets, 0 to 1; None for a past request."""
    score: float | None
    """The less, the sooner it is chosen in its group; None: it cannot be, or the request is past."""
    in_flight: int | None
    """Requests of this node that it has; None for a past request."""


class VerdictEntry(TypedDict):
    """What policy says of the request, this node being its source."""

    version: int
    rule: str
    verdict: Literal["allow", "deny"]
    mode: Literal["enforce", "audit"]
    """``audit``: what is denied is let through all the same."""


class AttemptEntry(TypedDict):
    """One attempt of a past request; times in milliseconds since the request came, None where it did not get there."""

    node: str
    id: str
    address: str
    outcome: str
    """``answered``, ``failed``, ``refused`` or ``connect-failed``."""
    flag: str
    status: int
    begun_ms: float
    sent_ms: float | None
    first_byte_ms: float | None
    ended_ms: float
    app_ms: float | None
    """How long its app took to its first byte, as its daemon said; None: it did not."""


class TimesEntry(TypedDict):
    """Where the time of a past request went, in milliseconds; None: nothing of the kind, or nobody knows."""

    queue: float | None
    """Waiting for its turn."""
    retries: float | None
    """Attempts before the last, with the pauses between."""
    connect: float | None
    """Until there was a channel."""
    hop: float | None
    """There and back, without the app."""
    app: float | None
    body: float | None
    """From the first byte of the response until the caller had all of it."""


class PastEntry(TypedDict):
    """What there is of a past request alone."""

    request_id: str
    trace_id: str
    direction: Literal["outbound", "inbound"]
    ended: str
    """When: UTC, RFC 3339."""
    code: int
    bytes_in: int
    bytes_out: int
    duration_ms: float
    caller: str
    """The node that asked; empty for requests of local apps."""
    times: TimesEntry


class StateEntry(TypedDict):
    """How the service's machines stand; None in an explanation of what no service is asked for."""

    balancer: str
    split: dict[str, int]
    """Percent by tag; empty: there is none."""
    breaker: str
    budget: float
    """Retries that could be made now."""
    hedging: str
    traffic: Literal["policy", "file", "default"]
    """Where the service's settings were said."""


class Explained(TypedDict):
    """``/v1/explain``: why a request would go, or went, where it did."""

    service: str
    """Empty for a host outside the mesh."""
    method: str
    target: str
    """A past one's path without its query."""
    decision: Literal["send", "wait", "direct", "answer", "refuse", "answered", "failed"]
    """The last two: of past requests."""
    flag: str
    why: str
    """In words; empty where all is well."""
    candidates: list[CandidateEntry]
    """All of the service's; of a past request those that were tried or left out."""
    chosen: str | None
    """The node; the host outside the mesh; None: nobody."""
    policy: VerdictEntry
    attempts: list[AttemptEntry]
    """Of a past request."""
    tag: str
    """The part of the split that the request belongs to; empty: none."""
    zone: str
    """Whose endpoints were chosen among; empty: zones make no difference, or the request is past."""
    session: str
    """``kept``, ``moved`` or ``new``, by its cookie; ``hashed``, by its header or source; empty: none."""
    state: StateEntry | None
    past: PastEntry | None
    """None for a dry run."""
    related: list[Explained]
    """Other requests of the same id or trace that are known here: the other end, retries by an app, calls of calls."""


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

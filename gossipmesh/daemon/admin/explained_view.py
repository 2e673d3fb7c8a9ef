"""The shapes of what the admin API says of one request: what would become of it, or what did."""

from __future__ import annotations

from typing import Literal, TypedDict


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

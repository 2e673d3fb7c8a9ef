"""The shapes of what the admin API says of the mesh's policy; its keys are a contract like those of :mod:`.view`."""

from __future__ import annotations

from typing import Literal, TypedDict


class CanEntry(TypedDict):
    """One member in ``/v1/can``, speaking as a service or as none (empty)."""

    node: str
    id: str
    speaks_as: str
    verdict: Literal["allow", "deny"]
    rule: str


class Allowed(TypedDict):
    """``/v1/can``: whether a request would be let in."""

    source: str
    service: str
    method: str
    """Empty, as is the path, for a tcp service: nobody sees them there."""
    path: str
    protocol: Literal["http", "tcp"]
    offered: bool
    """Whether any member offers the service now; if none does, it was taken for an http service."""
    verdict: Literal["allow", "deny"]
    """``deny`` if one of the callers is denied."""
    rule: str
    version: int
    mode: Literal["enforce", "audit"]
    callers: list[CanEntry]


class PolicyEntry(TypedDict):
    """One policy document."""

    version: int
    hash: str
    signed_at: str
    """UTC, RFC 3339."""
    signer: str
    signer_id: str
    """Of the node that signed, in hex; empty: a root or the holder of a token did."""
    signer_names: list[str]
    """What a revocation may name of the signer, in hex: its id, tokens and issuers; none of a root's."""
    stages: list[list[int]]
    """Share in thousandths, seconds of the hold, rise in thousandths, requests; empty: everywhere at once."""
    newest: bool


class PolicyNode(TypedDict):
    """What a living member's record says of its policy."""

    node: str
    id: str
    version: int
    """Of the newest document that it knows; 0: none, or it says nothing."""
    hash: str
    """The beginning of its hash."""
    verdict: str
    """``watching``, ``passed``, ``failed``, ``returned`` or ``done``; empty where it knows none."""
    stage: int
    enforces: bool
    """Whether its release goes by policies at all; 0.1 does not."""


class PolicyShown(TypedDict):
    """``/v1/policy``."""

    policy: PolicyEntry | None
    """None: there is no document."""
    text: str
    body: str
    """The signed bytes in hex, which the hash is of."""
    default: Literal["allow", "deny"]
    """What holds where there is no document."""
    enforced: int
    """The version by which this node decides now."""
    verdict: str
    stage: int
    nodes: list[PolicyNode]
    """All living members, this one first."""


class TrialNode(TypedDict):
    """What one member said of a policy that is tried on."""

    node: str
    id: str
    answered: bool
    why: str
    """Why it did not; empty where it did."""
    requests: int
    denied: int


class TrialFinding(TypedDict):
    """Requests of one kind that would be decided otherwise than they were."""

    node: str
    """Who was asked."""
    source: str
    """The service that the caller spoke as, or empty."""
    caller: str
    service: str
    method: str
    path: str
    """Empty: not kept."""
    verdict: Literal["allow", "deny"]
    """Of the policy that is tried on."""
    rule: str
    count: int
    ago_s: float
    """The last of them was not longer ago than this, in seconds."""


class TrialShown(TypedDict):
    """``POST /v1/policy/seen``: what a policy would have decided about the requests of the last hour."""

    requests: int
    denied: int
    """Requests that were allowed, and would be denied."""
    allowed: int
    """Requests that were denied, and would be allowed."""
    unknown: int
    """Requests of which not enough is kept to tell."""
    nodes: list[TrialNode]
    findings: list[TrialFinding]

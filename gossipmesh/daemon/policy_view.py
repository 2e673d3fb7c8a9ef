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


class PolicyShown(TypedDict):
    """``/v1/policy``."""

    policy: PolicyEntry | None
    """None: there is no document."""
    text: str
    body: str
    """The signed bytes in hex, which the hash is of."""
    default: Literal["allow", "deny"]
    """What holds where there is no document."""
    in_force: int
    """The version by which this node decides now."""
    verdict: str
    stage: int
    nodes: list[PolicyNode]
    """All living members, this one first."""

"""The shape of what ``gossipmesh reachability`` gets: every member as believed, and as found just now."""

from __future__ import annotations

from typing import Literal, TypedDict

Verdict = Literal["ok", "wrongly-dead", "unreached", "no-udp", "no-tcp", "no-handshake", "another-key"]
"""``ok``: as believed. ``wrongly-dead``: it answers, and is believed dead. ``unreached``: it is believed alive, and
does not answer. ``no-udp``, ``no-tcp``: it answers by the other one only. ``no-handshake``: whoever answers there does
not take us, or we not him. ``another-key``: that is somebody else."""


class Reached(TypedDict):
    """One member, and what became of the attempts to reach it at the address in its record."""

    name: str
    id: str
    address: str
    state: Literal["alive", "suspect", "dead"]
    """As it is believed after the attempts."""
    udp_ms: float | None
    """Round trip of the first ping that it answered itself; None: it answered none."""
    tcp_ms: float | None
    """From the connect to the end of the handshake; None: there was none."""
    tcp_error: str
    """Why; empty where there was one."""
    verdict: Verdict


class Reachability(TypedDict):
    """``POST /v1/reachability``."""

    ok: bool
    """Whether every verdict is ``ok``."""
    node: str
    members: list[Reached]
    """All but this node and those that have left, by name."""
    took_s: float

"""What ``gossipmesh check`` looks at, and what it gives: values, without anything that moves.

A default of :class:`Facts` is a node that is alone and well.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from gossipmesh.daemon.checkup.noted import Warned
from gossipmesh.mesh.exchanges import Reached
from gossipmesh.model import MemberState, Serving
from gossipmesh.policy.rollout import Verdict

MAX_NAMED: Final = 8
"""Names in one line; of more it is said how many they are."""


class State(enum.Enum):
    """What a check comes to."""

    OK = "ok"
    WARN = "warn"
    """It works, and somebody should look at it."""
    FAIL = "fail"


@frozen
class Check:
    """One check's verdict: what was found, and what to do about it; the hint is empty where all is well."""

    name: str
    state: State
    found: str
    hint: str = ""
    details: tuple[Mapping[str, str], ...] = ()
    """For scripts and for proof; people are told in ``found``."""


@frozen
class Seed:
    """One address of the seeds, and how it is with it."""

    address: str
    known: bool
    """Whether anything is known of it: it was asked, or a member that is alive has it."""
    why: str = ""
    """Why it does not answer; empty where it does."""
    refusal: str = ""
    """The code of its no, where somebody is there and does not take this node in."""


@frozen
class Fellow:
    """Another member, as this node sees it."""

    name: str
    """What it is shown as: with ``~`` and digits of its id where another holds its name."""
    id: str
    address: str = "192.0.2.2:7946"
    state: MemberState = MemberState.ALIVE
    udp_blocked: bool = False
    differs_s: float = 0.0
    """For how long its registry has been seen to differ from ours, in seconds; 0: it does not."""
    policy: tuple[int, str] = (0, "")
    """Version and the beginning of the hash of the newest document that it says it knows."""
    root: str = ""
    chain_overdue: bool = False
    """Whether two thirds of its chain's life are over."""
    issuer: bool = False
    """Whether it may renew this node's chain."""
    loses: tuple[str, ...] = ()
    """What this node's chain would lack then, since the issuer's own does."""
    issues_others: bool = False
    """Whether it may renew chains, and none of a node called as this one."""

    @property
    def living(self) -> bool:
        """Whether it is alive or suspect."""
        return self.state in (MemberState.ALIVE, MemberState.SUSPECT)


@frozen
class Clone:
    """A key that is in use twice: two records of one version, both signed by it, as they came."""

    name: str
    id: str
    ours: bytes = field(repr=False)
    theirs: bytes = field(repr=False)
    own: bool = False


@frozen
class Quota:
    """How many nodes a token admits, how many there are, and who they are."""

    nodes: int
    members: tuple[str, ...]
    own: bool = False
    """Whether this node is one of them."""


@frozen
class PolicyFound:
    """The policy in force here, and the newest that is known."""

    enforced: int = 0
    audit: bool = False
    default_allow: bool = True
    rules: int = 0
    newest: tuple[int, str] = (0, "")
    """Version and the beginning of the hash; version 0: there is no document."""
    stages: int = 0
    stage: int = 0
    verdict: Verdict | None = None
    refused: tuple[str, ...] = ()


@frozen
class OwnFound:
    """One of this node's own services."""

    name: str
    state: str
    """``healthy``, ``unhealthy`` or ``unknown``."""
    reason: str = ""


@frozen
class Called:
    """A service that local apps asked for lately, or that has a port of its own here."""

    name: str
    endpoints: int
    healthy: int
    reasons: tuple[str, ...] = ()
    """Why those that are not healthy are not."""


@frozen
class Ejected:
    """An endpoint that this node alone leaves out."""

    service: str
    node: str
    reason: str


@frozen
class Facts:
    """Everything that one check of a node looks at. ``wall`` and what expires are in Unix seconds."""

    wall: float = 0.0
    name: str = "web-1"
    shown_as: str = "web-1"
    id: str = "ab" * 32
    address: str = "192.0.2.1:7946"
    serving: Serving = Serving.SERVING
    not_ready: str = ""
    """Why the node takes no work; empty where it does."""
    listening: tuple[tuple[str, str], ...] = ()
    """What listens where: ``proxy``, ``upstream NAME``, ``admin``, ``dns``."""
    seeds: tuple[Seed, ...] = ()
    unresolved: tuple[str, ...] = ()
    reached: Reached = Reached.UNKNOWN
    witness: str = ""
    reached_ago_s: float = 0.0
    members: tuple[Fellow, ...] = ()
    clocks: tuple[tuple[str, int], ...] = ()
    """Whose clock was met lately, and how many seconds ours was ahead of it."""
    clock_refused: str = ""
    """Why a handshake failed lately for the two clocks' sake; empty: none did."""
    chain_expires_at: int = 2**33
    chain_overdue: bool = False
    keeps_root: bool = False
    root: str = "aa"
    roots: tuple[str, ...] = ("aa",)
    """Oldest first."""
    bundle: int = 0
    clones: tuple[Clone, ...] = ()
    revocations: tuple[str, ...] = ()
    """Those in force."""
    voided: tuple[str, ...] = ()
    """Revocations that a root has taken the effect from."""
    revoked: str = ""
    """The revocation that this node is under; empty: none."""
    quotas: tuple[Quota, ...] = ()
    policy: PolicyFound = PolicyFound()
    services: tuple[OwnFound, ...] = ()
    refused_services: tuple[str, ...] = ()
    called: tuple[Called, ...] = ()
    ejected: tuple[Ejected, ...] = ()
    record_bytes: int = 300
    files_open: int = 20
    files_limit: int = 0
    """0: not known, or no limit."""
    warned: tuple[Warned, ...] = ()


def named(names: Iterable[str]) -> str:
    """Give names for one line: ``a, b and 3 more``."""
    found = list(names)
    some = ", ".join(found[:MAX_NAMED])
    return some if len(found) <= MAX_NAMED else f"{some} and {len(found) - MAX_NAMED} more"


def counted(number: int, one: str, many: str = "") -> str:
    """Give a number with its noun: ``1 member``, ``2 members``."""
    return f"{number} {one if number == 1 else many or one + 's'}"

"""What the control plane asks its shell to do. A closed union: shells ``match`` it to the end."""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import field, frozen

from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.policy.document import PolicyDocument
from gossipmesh.routing.snapshot import Snapshot


@frozen
class SendDatagram:
    """Send one datagram, at most once and without waiting."""

    target: Address
    payload: bytes = field(repr=lambda payload: f"<{len(payload)} bytes>")
    kind: str
    """What it carries first (``ping``, ``ack``, ``gossip``, ``hint`` ...), for metrics only."""


@frozen
class Exchange:
    """Send ``request`` over a sync channel and hand the answer, or the failure, back under ``number``.

    ``target`` is None for a seed, whose id is not known before its handshake; then any member of the mesh will do.
    The addresses are tried in order. An answer after ``timeout_s`` seconds is of no use, and is to be reported as a
    failure; None leaves the time to the transport. ``keep`` says that more exchanges with this target follow soon, so
    that its channel is worth keeping.
    """

    number: int
    target: NodeId | None
    addresses: tuple[Address, ...]
    request: bytes = field(repr=lambda request: f"<{len(request)} bytes>")
    timeout_s: float | None = None
    keep: bool = False


@frozen
class SnapshotChanged:
    """Hand this snapshot to the data plane, by assignment."""

    snapshot: Snapshot


@frozen
class MemberChanged:
    """Say in the log that a member's state changed."""

    id: NodeId
    name: str
    old: MemberState | None
    new: MemberState
    why: str


@frozen
class RoutabilityChanged:
    """Say in the log that a living member went out of rotation, or came back, on the evidence that ``why`` gives."""

    id: NodeId
    name: str
    routable: bool
    why: str


@frozen
class ChainRenewed:
    """Keep this chain on disk; it replaces the one before, for the same key."""

    raw: bytes = field(repr=False)
    expires_at: int


@frozen
class BundlesChanged:
    """Keep the mesh's trust bundles on disk, of which number ``n`` is now the newest.

    ``gone`` are the members whose chain hung on a root that it no longer lists: their channels are to be ended.
    """

    n: int
    gone: tuple[NodeId, ...] = ()


@frozen
class BootRaised:
    """Keep this boot count on disk, so that the next start counts on from it: our key was used with it elsewhere."""

    boot: int


@frozen
class ProbeMeasured:
    """Count that a probe was answered after ``rtt_s`` seconds."""

    rtt_s: float


@frozen
class Converged:
    """Count that registries, which had differed for ``lasted_s`` seconds, agree again."""

    lasted_s: float


@frozen
class PolicyChanged:
    """Put this policy document in force, and keep it on disk; None: the mesh's default decision is in force again."""

    document: PolicyDocument | None


@frozen
class RevocationsChanged:
    """End whatever is open with whoever is revoked now, and keep the set on disk.

    ``is_revoked`` judges by the newest set whenever it is called; ``ids`` are members that were dropped in this very
    turn, perhaps for a chain that is newer than the one of their channel. ``text`` says what came, if anything did.
    """

    is_revoked: Callable[[VerifiedChain], bool] = field(repr=False)
    count: int
    text: str
    ids: frozenset[NodeId] = frozenset()


@frozen
class OwnRevoked:
    """Stop: this node is revoked, as ``text`` says, and nobody will speak to it any more."""

    text: str


class Level(enum.Enum):
    """How loud a notice is."""

    INFO = "info"
    WARNING = "warning"


@frozen
class Notice:
    """Say something in the log that a person may have to act on."""

    level: Level
    code: str
    text: str


@frozen
class Refused:
    """Count something received that was refused; nothing else changed."""

    code: str


Output = (
    SendDatagram
    | Exchange
    | SnapshotChanged
    | MemberChanged
    | RoutabilityChanged
    | ChainRenewed
    | BundlesChanged
    | BootRaised
    | ProbeMeasured
    | Converged
    | PolicyChanged
    | RevocationsChanged
    | OwnRevoked
    | Notice
    | Refused
)

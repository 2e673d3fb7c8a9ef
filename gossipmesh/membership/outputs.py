"""What the membership machine asks its shell, the mesh, to do. A closed union, matched to the end."""

from __future__ import annotations

from attrs import field, frozen

from gossipmesh.membership.messages import Message
from gossipmesh.model import MemberState, NodeId


@frozen
class SendMessages:
    """Seal ``messages`` into one datagram to ``target`` and send it, at most once. Piggyback is included."""

    target: NodeId
    messages: tuple[Message, ...]


@frozen
class StreamProbe:
    """Reach ``target`` over TCP and report ``stream_probe_result(target, seq, ok)`` within ``timeout_s`` seconds.

    A later report is ignored, as a late ack is.
    """

    target: NodeId
    seq: int
    timeout_s: float


@frozen
class Refute:
    """Sign our own record again, with a version higher than ``above``, and call ``update_own``.

    Where ``above`` is higher than our own version, somebody holds a record of our id that we did not sign in this
    life: a cloned key or a restored state directory, which ``foreign`` says.
    """

    above: tuple[int, int]
    foreign: bool


@frozen
class StateChanged:
    """A member's state changed; ``old`` is None for one that was not known. ``why`` is for people."""

    id: NodeId
    old: MemberState | None
    new: MemberState
    why: str


@frozen
class RoutabilityChanged:
    """A living member goes out of rotation, or comes back, on the evidence that ``why`` gives to people."""

    id: NodeId
    routable: bool
    why: str


@frozen
class ProbeMeasured:
    """A ping to ``target`` was answered after ``rtt_s`` seconds."""

    target: NodeId
    rtt_s: float


@frozen
class PeerRoot:
    """``peer``'s registry root hash differs from ours. Equal roots are not reported."""

    peer: NodeId
    root: bytes = field(repr=False)


@frozen
class Reconnect:
    """Try to sync with this dead member, and show it ``accusation_of(target)``: only a newer record brings it back."""

    target: NodeId


@frozen
class Forgotten:
    """A dead or left member was dropped from the table, by age or for want of room."""

    id: NodeId


Output = (
    SendMessages
    | StreamProbe
    | Refute
    | StateChanged
    | RoutabilityChanged
    | ProbeMeasured
    | PeerRoot
    | Reconnect
    | Forgotten
)

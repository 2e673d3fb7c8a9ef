"""What probes find, and what they want to be sent. Facts only: what they mean is for the machine.

``asked_at`` is when the probe began, in monotonic seconds: an answer proves life at the time of the question.
"""

from __future__ import annotations

from attrs import field, frozen

from gossipmesh.membership.messages import ProbeMessage
from gossipmesh.membership.outputs import StreamProbe
from gossipmesh.model import NodeId


@frozen
class Tell:
    """Send one message, with whatever else rides along.

    ``about`` says whom a request to probe, or a no to it, is about.
    """

    target: NodeId
    message: ProbeMessage
    about: NodeId | None = None


@frozen
class Reached:
    """``target`` answered us directly, over UDP or over TCP, a probe sent at ``asked_at``.

    ``rtt_s`` is the round trip of a ping, in seconds; None where TCP was asked because pings went unanswered.
    """

    target: NodeId
    asked_at: float
    udp: bool
    rtt_s: float | None = field(default=None, eq=False)


@frozen
class Vouched:
    """A helper had an answer from ``target`` to a probe that we began at ``asked_at``."""

    target: NodeId
    asked_at: float


@frozen
class OnlyVouched:
    """Helpers reach ``target``; we do not, neither over UDP nor over TCP."""

    target: NodeId
    asked_at: float


@frozen
class Failed:
    """Nobody had an answer from ``target`` to the probe that we began at ``asked_at``."""

    target: NodeId
    asked_at: float
    why: str


Finding = Tell | StreamProbe | Reached | Vouched | OnlyVouched | Failed

"""What the parts of the control plane want of one another: carried out by ``machine``, in order."""

from __future__ import annotations

from attrs import frozen

from gossipmesh.membership import outputs as believed
from gossipmesh.membership.messages import Message
from gossipmesh.mesh.outputs import BootRaised, Converged, Notice, Refused
from gossipmesh.model import NodeId


@frozen
class WantChain:
    """Ask whoever sent the record for the chain that it quotes."""

    hash: bytes


@frozen
class RecordTaken:
    """A record, anybody's, replaced the one before: what is routed to may be another thing now."""

    id: NodeId


@frozen
class OwnKeyTwice:
    """Somebody showed a record of our id and of our very version that we did not sign: only a newer one tells."""

    version: tuple[int, int]


@frozen
class Reply:
    """Send ``messages`` as a datagram, even where the member seems unable to get any: it asked by a datagram."""

    target: NodeId
    messages: tuple[Message, ...]


Effect = (
    believed.Output
    | Notice
    | Refused
    | BootRaised
    | Converged
    | WantChain
    | RecordTaken
    | OwnKeyTwice
    | Reply
)

"""What the parts of the control plane want of one another: carried out by ``machine``, in order."""

from __future__ import annotations

from attrs import frozen

from gossipmesh.membership import outputs as believed
from gossipmesh.membership.messages import Message
from gossipmesh.mesh.outputs import (
    BootRaised,
    BundlesChanged,
    Converged,
    Notice,
    PolicyChanged,
    Refused,
    RevocationsChanged,
)
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


@frozen
class CharterHeard:
    """A member told the digest of what it holds that is signed for the whole mesh; and why it drops us, if it does."""

    peer: NodeId
    digest: bytes
    revocation: bytes


Effect = (
    believed.Output
    | Notice
    | Refused
    | BootRaised
    | Converged
    | PolicyChanged
    | RevocationsChanged
    | BundlesChanged
    | WantChain
    | RecordTaken
    | OwnKeyTwice
    | CharterHeard
    | Reply
)

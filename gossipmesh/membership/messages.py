"""What a gossip datagram says, once opened: a few messages. Their bytes are the business of ``message_codec``.

News carries the exact bytes that somebody signed; they prove nothing until the mesh has verified them.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh.model import NodeId

MAX_PLAINTEXT: Final = 1_192
"""Bytes of all messages of one datagram: 1,232 on the wire (IPv6's 1,280 without headers), less 40 of sealing."""
MAX_MESSAGES: Final = 64
MAX_RAW: Final = 1_100
"""The longest record or chain."""
MAX_SEQ: Final = 2**32 - 1
ROOT_BYTES: Final = 16
HASH_BYTES: Final = 16
CHARTER_BYTES: Final = 8
HEADER_BYTES: Final = 3
"""At most this much goes to the array around all messages."""
NEWS_BYTES: Final = 5
"""At most this much goes to the array, kind and length around the raw bytes of one piece of news."""


def _length(raw: bytes) -> str:
    return f"<{len(raw)} bytes>"


@frozen
class Ping:
    """Are you there? ``target`` keeps a reused address from answering for its former owner."""

    seq: int
    target: NodeId
    root: bytes = field(repr=False)
    """The sender's registry root hash, 16 bytes: unequal roots have something to tell each other."""


@frozen
class Ack:
    """The target of probe ``seq`` answers. ``root`` is that of the datagram's sender, who may be a helper."""

    seq: int
    root: bytes = field(repr=False)


@frozen
class PingRequest:
    """Probe ``target`` for me; I call this probe ``seq``."""

    seq: int
    target: NodeId


@frozen
class Nack:
    """Your probe ``seq`` has found no answer here yet, but I, the helper, am well."""

    seq: int


@frozen
class RecordNews:
    """A member record, as its owner signed it."""

    raw: bytes = field(repr=_length)


@frozen
class AccusationNews:
    """An accusation, as its accuser signed it."""

    raw: bytes = field(repr=_length)


@frozen
class ChainRequest:
    """Send me the chain with this hash (16 bytes): something you sent cannot be verified without it."""

    hash: bytes


@frozen
class ChainNews:
    """A chain, as its signers made it."""

    raw: bytes = field(repr=_length)


@frozen
class CharterNews:
    """What the sender holds of what is signed for the whole mesh, as a digest of 8 bytes.

    ``revocation`` is one entry of it, for whom it revokes: nobody else will speak to it any more.

    It rides behind each ping and ack as one more element, which earlier releases ignore. They refuse a datagram that
    holds a message of a kind unknown to them, so as a message it always goes alone.
    """

    digest: bytes
    revocation: bytes = field(default=b"", repr=_length)


ProbeMessage = Ping | Ack | PingRequest | Nack
"""What the membership machine receives itself; the mesh verifies all the rest first."""
News = RecordNews | AccusationNews
"""What is piggybacked."""
Message = ProbeMessage | News | ChainRequest | ChainNews | CharterNews

"""What is sent to another resolver, and whether what came back answers it. Pure.

Who wants to slip a false answer in has to guess port and id, and which letters of the name were sent in which case
(RFC 5452; draft-vixie-dnsext-dns0x20). Everything that is sent is made here: nothing of a caller's packet goes on but
its question, some of its flags, and whether it speaks EDNS.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import frozen

from gossipmesh.discovery.dns.messages import (
    AD,
    CD,
    HEADER,
    HEADER_BYTES,
    MAX_UDP,
    QR,
    RD,
    TC,
    Query,
    write_truncated,
)

LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz")
ID_BYTES = 2
OPT = 41
DO = 0x8000


@frozen
class Sent:
    """One question, as it goes out."""

    id: bytes
    question: bytes
    """Name in mixed case, type and class."""
    payload: bytes

    @property
    def end(self) -> int:
        """Where the question ends, in it and in its answer."""
        return HEADER_BYTES + len(self.question)


class Verdict(enum.Enum):
    """What became of a question."""

    ANSWER = "answer"
    NO_ANSWER = "no answer"
    """Somebody else's, an older one, or forged: go on listening."""
    ASK_BY_TCP = "ask by TCP"
    """It was cut, or came back in another case."""


def make_question(query: Query, entropy: Callable[[int], bytes]) -> Sent:
    """Give a caller's question with another id and case.

    Args:
        query: what was asked.
        entropy: gives random bytes.
    """
    plain = query.name.to_wire() or b""
    mask = entropy(len(plain))
    lower = plain.lower()
    # Lengths of labels are below 64, so they are no letters.
    name = bytes(
        byte - 32 if byte in LETTERS and dice & 1 else byte for byte, dice in zip(lower, mask, strict=True)
    )
    question = name + query.rdtype.to_bytes(2) + query.rdclass.to_bytes(2)
    edns = query.edns >= 0
    ident = entropy(ID_BYTES)
    flags = RD | (query.flags & (AD | CD))
    header = HEADER.pack(int.from_bytes(ident), flags, 1, 0, 0, int(edns))
    ttl = DO if query.dnssec else 0
    opt = b"\0" + OPT.to_bytes(2) + MAX_UDP.to_bytes(2) + ttl.to_bytes(4) + bytes(2) if edns else b""
    return Sent(ident, question, header + question + opt)


def judge_untrusted(sent: Sent, reply: bytes, *, tcp: bool = False) -> Verdict:
    """Tell whether ``reply`` answers what was sent.

    Args:
        sent: the question.
        reply: what came from where it went to.
        tcp: whether that was a TCP connection, where nobody can guess his way in.
    """
    if len(reply) < sent.end or reply[:ID_BYTES] != sent.id:
        return Verdict.NO_ANSWER
    _, flags, questions, *_ = HEADER.unpack_from(reply)
    question = reply[HEADER_BYTES : sent.end]
    if not flags & QR or questions != 1 or question.lower() != sent.question.lower():
        return Verdict.NO_ANSWER
    if tcp:
        return Verdict.ANSWER
    if flags & TC or question != sent.question:
        return Verdict.ASK_BY_TCP
    return Verdict.ANSWER


def hand_back(sent: Sent, reply: bytes, query: Query, *, tcp: bool) -> bytes:
    """Give an answer to the caller: his id, his case of the name, no longer than he takes.

    Args:
        sent: what was asked.
        reply: a whole answer to it.
        query: the caller's.
        tcp: whether he came by TCP.
    """
    if not tcp and len(reply) > query.limit:
        return write_truncated(query)
    name = query.name.to_wire() or b""
    return query.id.to_bytes(2) + reply[2:HEADER_BYTES] + name + reply[HEADER_BYTES + len(name) :]

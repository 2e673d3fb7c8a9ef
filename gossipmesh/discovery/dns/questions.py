"""What is sent to another resolver, and whether what came back answers it. Pure.

Who wants to slip a false answer in has to guess port and id, and which letters of the name were sent in which case
(RFC 5452; draft-vixie-dnsext-dns0x20). Everything that is sent is made here: nothing of a caller's packet goes on but
its question, some of its flags, and whether it speaks EDNS.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import evolve, frozen

from gossipmesh.discovery.dns.messages import (
    AD,
    CD,
    DO,
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
TYPE_CLASS_BYTES = 4
RCODE = 0xF
FORMERR = 1


@frozen
class Sent:
    """One question, as it goes out."""

    id: bytes
    question: bytes
    """Name in mixed case, type and class."""
    payload: bytes

    @property
    def edns(self) -> bool:
        """Whether it says that EDNS is spoken."""
        return len(self.payload) > self.end

    @property
    def end(self) -> int:
        """Where the question ends, in it and in its answer."""
        return HEADER_BYTES + len(self.question)


class Verdict(enum.Enum):
    """What became of a question."""

    ANSWER = "answer"
    NO_ANSWER = "no answer"
    """Somebody else's, an older one, or forged: go on listening."""
    ASK_WITHOUT_EDNS = "ask without EDNS"
    """It is older than that (RFC 6891, section 7)."""
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


def without_edns(sent: Sent) -> Sent:
    """Give the same question, with the same id, for who does not know EDNS."""
    payload = sent.payload[: HEADER_BYTES - 2] + bytes(2) + sent.question
    return evolve(sent, payload=payload)


def judge_untrusted(sent: Sent, reply: bytes, *, tcp: bool = False) -> Verdict:
    """Tell whether ``reply`` answers what was sent.

    Args:
        sent: the question.
        reply: what came from where it went to.
        tcp: whether that was a TCP connection, where nobody can guess his way in.
    """
    if len(reply) < HEADER_BYTES or reply[:ID_BYTES] != sent.id:
        return Verdict.NO_ANSWER
    _, flags, questions, *_ = HEADER.unpack_from(reply)
    question = reply[HEADER_BYTES : sent.end]
    # Who cannot read the question may not give it back. All that a forger gains by this is the same question again.
    if sent.edns and flags & QR and flags & RCODE == FORMERR and (not questions or _same(question, sent)):
        return Verdict.ASK_WITHOUT_EDNS
    if not flags & QR or questions != 1 or not _same(question, sent):
        return Verdict.NO_ANSWER
    if tcp:
        return Verdict.ANSWER
    if flags & TC or question != sent.question:
        return Verdict.ASK_BY_TCP
    return Verdict.ANSWER


def _same(question: bytes, sent: Sent) -> bool:
    """Tell whether a question is the one that was sent, whatever the case of its name."""
    at = len(sent.question) - TYPE_CLASS_BYTES
    return question[:at].lower() == sent.question[:at].lower() and question[at:] == sent.question[at:]


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

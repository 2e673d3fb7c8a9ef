"""Queries read, replies written. The wire format itself is dnspython's; what is too broken for it gets a bare header.

An answer to a stranger is never longer than 1,232 bytes over UDP, so that no path has to cut it into fragments; without
EDNS it is at most 512 (RFC 1035, section 2.3.4; RFC 6891). What does not fit is left out, and TC says so. The shortest
question has 20 bytes, or 31 with EDNS, so an answer is at most 40 times as long; nothing but a forged source address
makes that matter, and by default only this host can ask.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rrset
from attrs import frozen
from dns.name import Name
from dns.rdataclass import IN, RdataClass
from dns.rdatatype import RdataType

from gossipmesh.discovery.dns.zone import Elsewhere, Found, Missing, Record, Result
from gossipmesh.errors import RemoteProtocolError

MAX_UDP: Final = 1_232
"""Bytes of an answer over UDP, and of a question: what passes every path unfragmented."""
PLAIN_UDP: Final = 512
"""The same, of an answer to who does not speak EDNS."""
MAX_TCP: Final = 65_535
HEADER: Final = struct.Struct("!6H")
HEADER_BYTES: Final = 12
QR: Final = 0x8000
RD: Final = 0x0100
RA: Final = 0x0080
AD: Final = 0x0020
CD: Final = 0x0010
TC: Final = 0x0200
OPCODES: Final = 0x7800

NO_QUERY: Final = "dns.no-query"
MALFORMED: Final = "dns.malformed"
OPCODE: Final = "dns.opcode"
VERSION: Final = "dns.version"
RCODES: Final = {MALFORMED: dns.rcode.FORMERR, OPCODE: dns.rcode.NOTIMP}
"""What the errors of :func:`read_query_untrusted` are answered with. There is no answer to ``dns.no-query``."""


@frozen
class Query:
    """One question, as it came."""

    id: int
    flags: int
    name: Name
    rdtype: int
    rdclass: int
    edns: int = -1
    """The EDNS version; -1: none."""
    payload: int = PLAIN_UDP
    """How many bytes the caller takes over UDP."""
    dnssec: bool = False
    """Its DO flag, which an answer repeats (RFC 3225)."""

    @property
    def limit(self) -> int:
        """How long an answer over UDP may be."""
        return min(max(self.payload, PLAIN_UDP), MAX_UDP) if self.edns >= 0 else PLAIN_UDP


def read_query_untrusted(payload: bytes) -> Query:
    """Give the question that a packet holds.

    Raises:
        RemoteProtocolError: ``dns.no-query`` for what must not be answered: no header, or a response (so two servers
            never answer each other); ``dns.opcode`` for what is no QUERY; ``dns.malformed`` for anything else that
            does not hold exactly one question (RFC 9619).
    """
    if len(payload) < HEADER_BYTES:
        raise RemoteProtocolError(NO_QUERY, "shorter than a header")
    _, flags, questions, answers, authorities, extras = HEADER.unpack_from(payload)
    if flags & QR:
        raise RemoteProtocolError(NO_QUERY, "a response")
    if flags & OPCODES:
        raise RemoteProtocolError(OPCODE, "only QUERY is served")
    if questions != 1 or answers or authorities or extras > 1:
        raise RemoteProtocolError(MALFORMED, "more or less than one question, and perhaps EDNS")
    try:
        message = dns.message.from_wire(payload, keyring=False, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError, struct.error) as error:
        raise RemoteProtocolError(MALFORMED, f"{type(error).__name__}") from None
    question = message.question[0]
    return Query(
        message.id,
        int(message.flags),
        question.name,
        int(question.rdtype),
        int(question.rdclass),
        message.edns,
        message.payload if message.edns >= 0 else PLAIN_UDP,
        bool(message.ednsflags & dns.flags.DO),
    )


def write_reply(query: Query, result: Result, *, ttl: int, limit: int, recursion: bool) -> bytes:
    """Give the answer to a question.

    Args:
        query: the question; its name is given back in its own case.
        result: what there is.
        ttl: of all records, in seconds.
        limit: the most bytes it may have; what does not fit is left out and TC set.
        recursion: whether names outside the mesh are looked up here (RA).
    """
    reply = _blank(query, recursion=recursion)
    match result:
        case Elsewhere():
            reply.set_rcode(dns.rcode.REFUSED)
        case Missing(authority):
            reply.flags |= dns.flags.AA
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority += _sets([authority], ttl)
        case Found(answers, additional, no_more):
            reply.flags |= dns.flags.AA
            reply.answer += _sets(answers, ttl)
            reply.additional += _sets(additional, ttl)
            reply.authority += _sets([] if no_more is None else [no_more], ttl)
    return reply.to_wire(max_size=limit, prefer_truncation=True)


def write_refusal(query: Query, rcode: dns.rcode.Rcode, *, recursion: bool) -> bytes:
    """Give an answer that holds nothing but a reason why."""
    reply = _blank(query, recursion=recursion)
    reply.set_rcode(rcode)
    return reply.to_wire(max_size=MAX_UDP)


def write_truncated(query: Query) -> bytes:
    """Give an answer that says nothing but: ask by TCP."""
    reply = _blank(query, recursion=True)
    reply.flags |= dns.flags.TC
    return reply.to_wire(max_size=MAX_UDP)


def write_bare(payload: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """Give the answer to what could not be read: a header alone, shorter than what it answers."""
    ident, flags, *_ = HEADER.unpack_from(payload)
    return HEADER.pack(ident, QR | (flags & (OPCODES | RD)) | rcode, 0, 0, 0, 0)


def _blank(query: Query, *, recursion: bool) -> dns.message.QueryMessage:
    reply = dns.message.QueryMessage(id=query.id)
    reply.flags = dns.flags.Flag(QR | (query.flags & (RD | CD)) | (RA if recursion else 0))
    rdclass, rdtype = RdataClass.make(query.rdclass), RdataType.make(query.rdtype)
    reply.question.append(dns.rrset.RRset(query.name, rdclass, rdtype))
    if query.edns >= 0:
        reply.use_edns(0, dns.flags.DO if query.dnssec else 0, MAX_UDP)
    return reply


def _sets(records: Iterable[Record], ttl: int) -> list[dns.rrset.RRset]:
    # Each by itself, so that as many as fit are written.
    found = []
    for record in records:
        rrset = dns.rrset.RRset(record.owner, IN, record.rdata.rdtype)
        rrset.add(record.rdata, ttl)
        found.append(rrset)
    return found

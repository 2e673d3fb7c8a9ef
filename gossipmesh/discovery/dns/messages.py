"""Queries read, replies written. What is too broken to be read gets a bare header.

Reading is dnspython's: there a stranger chooses the bytes, and one question costs the same whatever the mesh is like.
Writing is not: there the bytes are our own, of eight plain types, and dnspython takes some 30 us for each record, also
for those that do not fit. Of 256 endpoints an SRV answer took 8 ms by UDP and 30 ms by TCP, in which no probe is
answered.

An answer to a stranger is never longer than 1,232 bytes over UDP, so that no path has to cut it into fragments; without
EDNS it is at most 512 (RFC 1035, section 2.3.4; RFC 6891). What does not fit is left out, and TC says so. The shortest
question has 20 bytes, or 31 with EDNS, so an answer is at most 40 times as long; nothing but a forged source address
makes that matter, and by default only this host can ask.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, assert_never

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
from attrs import frozen
from dns.name import Name
from dns.rdataclass import IN
from dns.rdatatype import SRV

from gossipmesh.discovery.dns.zone import (
    RECORD_BYTES,
    SRV_HEAD,
    Elsewhere,
    Extra,
    Found,
    Missing,
    Result,
    raw_name,
)
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
AA: Final = 0x0400
DO: Final = 0x8000
OPCODES: Final = 0x7800
TYPE_CLASS: Final = struct.Struct("!2H")
RECORD: Final = struct.Struct("!2HL")
"""Of a record: type, class, TTL."""
OPT: Final = struct.Struct("!B2HLH")
OPT_BYTES: Final = OPT.size
POINTERS: Final = 0xC000
MAX_POINTER: Final = 0x3FFF
POINTER: Final = (POINTERS | HEADER_BYTES).to_bytes(2)
"""The name of the question, as the owner of a record."""
SRV_TARGET: Final = RECORD_BYTES + SRV_HEAD.size
"""Where an SRV record names its target."""
ANSWER: Final = 0
AUTHORITY: Final = 1
ADDITIONAL: Final = 2

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
    reply = _Reply(query, limit=limit, recursion=recursion)
    match result:
        case Elsewhere():
            reply.rcode = dns.rcode.REFUSED
        case Missing(authority):
            reply.flags |= AA
            reply.rcode = dns.rcode.NXDOMAIN
            reply.write_authority(authority, ttl)
        case Found(rdtype, answers, additional, no_more):
            reply.flags |= AA
            reply.write_answers(rdtype, answers, ttl)
            if no_more is not None:
                reply.write_authority(no_more, ttl)
            reply.write_additional(additional, ttl)
        case _:
            assert_never(result)
    return reply.finish()


def write_refusal(query: Query, rcode: dns.rcode.Rcode, *, recursion: bool) -> bytes:
    """Give an answer that holds nothing but a reason why."""
    reply = _Reply(query, limit=MAX_UDP, recursion=recursion)
    reply.rcode = rcode
    return reply.finish()


def write_truncated(query: Query) -> bytes:
    """Give an answer that says nothing but: ask by TCP."""
    reply = _Reply(query, limit=MAX_UDP, recursion=True)
    reply.flags |= TC
    return reply.finish()


def write_bare(payload: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """Give the answer to what could not be read: a header alone, shorter than what it answers."""
    ident, flags, *_ = HEADER.unpack_from(payload)
    return HEADER.pack(ident, QR | (flags & (OPCODES | RD)) | rcode, 0, 0, 0, 0)


class _Reply:
    """An answer as it is written: the question, as many records as fit, and OPT (RFC 6891) for who sent one.

    Names are shortened where that is worth most: to pointers at the question, and at the targets of SRV records, whose
    own names may not be (RFC 2782).
    """

    def __init__(self, query: Query, *, limit: int, recursion: bool) -> None:
        self._query = query
        self.flags = QR | (query.flags & (RD | CD)) | (RA if recursion else 0)
        self.rcode = dns.rcode.NOERROR
        self._name = raw_name(query.name)
        question = self._name + TYPE_CLASS.pack(query.rdtype, query.rdclass)
        self._parts = [question]
        self._at = HEADER_BYTES + len(question)
        self._end = limit - (OPT_BYTES if query.edns >= 0 else 0)
        self._counts = [0, 0, 0]
        self._targets: dict[bytes, int] = {}

    def _put(self, section: int, owner: bytes, middle: bytes, data: bytes) -> bool:
        """Write one record; tell whether it fit. ``middle`` is its type, class and TTL."""
        record = owner + middle + len(data).to_bytes(2) + data
        if self._at + len(record) > self._end:
            # Only of what is additional is nothing missed (RFC 2181, section 9).
            self.flags |= TC if section < ADDITIONAL else 0
            return False
        self._parts.append(record)
        self._at += len(record)
        self._counts[section] += 1
        return True

    def write_answers(self, rdtype: int, answers: Sequence[bytes], ttl: int) -> None:
        """Write records of the name that was asked for."""
        middle = RECORD.pack(rdtype, IN, ttl)
        for data in answers:
            if rdtype == SRV and (at := self._at + SRV_TARGET) <= MAX_POINTER:
                self._targets.setdefault(data[SRV_HEAD.size :], at)
            if not self._put(ANSWER, POINTER, middle, data):
                return

    def write_authority(self, record: Extra, ttl: int) -> None:
        """Write the SOA, whose owner is what the name that was asked for ends with."""
        owner, rdtype, data = record
        at = HEADER_BYTES + len(self._name) - len(owner)
        self._put(AUTHORITY, (POINTERS | at).to_bytes(2), RECORD.pack(rdtype, IN, ttl), data)

    def write_additional(self, records: Sequence[Extra], ttl: int) -> None:
        """Write as many records of other names as fit."""
        if self.flags & TC:
            return
        for owner, rdtype, data in records:
            at = self._targets.get(owner)
            short = owner if at is None else (POINTERS | at).to_bytes(2)
            if not self._put(ADDITIONAL, short, RECORD.pack(rdtype, IN, ttl), data):
                return

    def finish(self) -> bytes:
        """Give the whole packet."""
        query, (answers, authorities, additional) = self._query, self._counts
        if query.edns >= 0:
            additional += 1
            flags = (self.rcode >> 4) << 24 | (DO if query.dnssec else 0)
            self._parts.append(OPT.pack(0, dns.rdatatype.OPT, MAX_UDP, flags, 0))
        flags = self.flags | (self.rcode & 0xF)
        return HEADER.pack(query.id, flags, 1, answers, authorities, additional) + b"".join(self._parts)

"""A whole packet in, a whole packet out. Pure.

An answer takes some 0.3 ms, most of it for reading the question, and what is asked in DNS is the same again and again.
So it is remembered by what it depends on, until the picture of the mesh is another one, and for half a second at most.
What is given from memory has the caller's own id, his name as he wrote it (many mix the case at random to know their
answer again), and the addresses in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import dns.rcode
import dns.rdataclass
import dns.rdatatype
from attrs import frozen
from dns.rdatatype import AAAA, AXFR, IXFR, A

from gossipmesh.discovery.dns.messages import (
    HEADER_BYTES,
    MAX_TCP,
    MAX_UDP,
    NO_QUERY,
    OPT_BYTES,
    PLAIN_UDP,
    POINTER,
    RCODES,
    RD,
    Query,
    read_query_untrusted,
    write_bare,
    write_refusal,
    write_reply,
)
from gossipmesh.discovery.dns.picture import Picture
from gossipmesh.discovery.dns.zone import Domain, Elsewhere, look_up, raw_name
from gossipmesh.errors import RemoteProtocolError

if TYPE_CHECKING:
    import random

    from gossipmesh.routing.snapshot import Snapshot

MAX_REMEMBERED: Final = 4_096
"""Answers in each of the memories; one more, and all are forgotten."""
REMEMBERED_S: Final = 0.5
"""For how long at most, so that what only time tells (an ejection that ends) shows too."""
FLAGS_1: Final = 0xF9
"""QR, the opcode and RD; an answer has nothing of a question's other flags ..."""
FLAGS_2: Final = 0x10
"""... but CD."""
QUESTION_TAIL: Final = 5
"""Bytes of a question from the end of its name."""
EDNS_TAIL: Final = QUESTION_TAIL + OPT_BYTES
OPT_HEAD: Final = b"\0\0\x29"
"""The root's name and the type of OPT (RFC 6891)."""
SIZES: Final = {int(A): 16, int(AAAA): 28}
"""Bytes of an address record whose owner is written so."""
TYPE_LABELS: Final = frozenset(
    {"A", "AAAA", "ANY", "CNAME", "HTTPS", "MX", "NS", "PTR", "SOA", "SRV", "SVCB", "TXT"}
)
OTHER: Final = "OTHER"
MALFORMED_TYPE: Final = "none"
"""The type of what held no question that could be read."""


class Tally(Protocol):
    """One series of the counter of answers."""

    value: int


Count = Callable[[str, str], Tally]
"""Gives the series of a type and a response code, both of them from small sets."""


@frozen
class Forward:
    """Somebody else is to be asked."""

    query: Query
    count: Callable[[dns.rcode.Rcode], None]
    """Is told what the answer was."""


class _Remembered:
    """One answer: what comes before its question, its addresses twice over, and what follows."""

    __slots__ = ("addresses", "count", "end", "head", "single", "size", "snapshot", "tail", "until")

    def __init__(
        self, reply: bytes, query: Query, end: int, *, snapshot: Snapshot, until: float, count: Tally
    ) -> None:
        self.head = reply[2:HEADER_BYTES]
        self.end = end
        self.snapshot = snapshot
        self.until = until
        self.count = count
        single, records = SIZES.get(query.rdtype, 0), int.from_bytes(reply[6:8])
        size = single * records
        area = reply[end : end + size]
        if (
            records < 2
            or len(area) < size
            or any(area[at : at + 2] != POINTER for at in range(0, size, single or 1))
        ):
            single = size = 0
        self.single = single
        self.size = size
        self.addresses = reply[end : end + size] * 2
        self.tail = reply[end + size :]

    def holds(self, snapshot: Snapshot, now: float) -> bool:
        """Tell whether it still is what would be made anew."""
        return self.snapshot is snapshot and now < self.until

    def reply(self, payload: bytes, dice: float) -> bytes:
        """Give it to the question in ``payload``, its addresses turned by a share of 0 to 1, and count it."""
        self.count.value += 1
        size, end = self.size, self.end
        if not size:
            return payload[:2] + self.head + payload[HEADER_BYTES:end] + self.tail
        start = int(dice * size) // self.single * self.single
        turned = self.addresses[start : start + size]
        return payload[:2] + self.head + payload[HEADER_BYTES:end] + turned + self.tail


class Answers:
    """Answers questions about the mesh.

    Args:
        domain: what the mesh is called.
        rng: dice, for the order of answers.
        count: gives the counter of each answer.
        recursion: whether somebody else is asked about names outside the mesh; they are refused else.
    """

    def __init__(self, domain: Domain, *, rng: random.Random, count: Count, recursion: bool) -> None:
        self._domain = domain
        self._rng = rng
        self._random = rng.random
        self._count = count
        self._recursion = recursion
        self._by_udp: dict[bytes, _Remembered] = {}
        self._by_tcp: dict[bytes, _Remembered] = {}
        self._as_asked: dict[bytes, _Remembered] = {}
        """Those by UDP once more, by all bytes of a question without options but its id and case: what is found there
        is found in two thirds of the time."""

    def remembered_untrusted(
        self, payload: bytes, snapshot: Snapshot, *, now: float, tcp: bool = False
    ) -> bytes | None:
        """Give the answer to a packet, if it is in memory; arguments as of :meth:`answer_untrusted`."""
        end = payload.find(b"\0", HEADER_BYTES)
        asked = b""
        if not tcp:
            asked = payload[2:HEADER_BYTES] + payload[HEADER_BYTES:end].lower() + payload[end:]
            entry = self._as_asked.get(asked)
            if entry is not None and entry.holds(snapshot, now):
                return entry.reply(payload, self._random())
        entry = (self._by_tcp if tcp else self._by_udp).get(_key_untrusted(payload, end))
        if entry is None or not entry.holds(snapshot, now):
            return None
        if asked and len(payload) - end <= EDNS_TAIL:
            if len(self._as_asked) >= MAX_REMEMBERED:
                self._as_asked.clear()
            self._as_asked[asked] = entry
        return entry.reply(payload, self._random())

    def answer_untrusted(
        self, payload: bytes, picture: Picture, *, now: float, tcp: bool = False
    ) -> bytes | Forward | None:
        """Answer a packet, whatever it holds; None: it gets no answer.

        Args:
            payload: as it came, without the length that precedes it in TCP.
            picture: what is known.
            now: monotonic seconds.
            tcp: whether it came by TCP, where answers may be long.
        """
        try:
            query = read_query_untrusted(payload)
        except RemoteProtocolError as error:
            if error.code == NO_QUERY:
                return None
            rcode = RCODES[error.code]
            self._count(MALFORMED_TYPE, rcode.name).value += 1
            return write_bare(payload, rcode)
        refusal = self._why_not(query)
        if refusal is not None:
            self._counted(query, refusal)
            return write_refusal(query, refusal, recursion=self._recursion)
        limit = MAX_TCP if tcp else query.limit
        result = look_up(query.name, query.rdtype, picture, self._domain, rng=self._rng, room=limit)
        if isinstance(result, Elsewhere) and self._recursion and query.flags & RD:
            return Forward(query, partial(self._counted, query))
        reply = write_reply(query, result, ttl=self._domain.ttl, limit=limit, recursion=self._recursion)
        count = self._tally(query, dns.rcode.Rcode(reply[3] & 0xF))
        count.value += 1
        # Not all at once, so that they are not made anew all at once.
        until = now + REMEMBERED_S * (1 + self._random()) / 2
        made = partial(_Remembered, reply, query, snapshot=picture.snapshot, until=until, count=count)
        self._remember(self._by_tcp if tcp else self._by_udp, payload, query, made)
        return reply

    def forget(self) -> None:
        """Make all answers anew, as when what this node itself leaves out of them has changed."""
        self._by_udp.clear()
        self._as_asked.clear()
        self._by_tcp.clear()

    def _counted(self, query: Query, rcode: dns.rcode.Rcode) -> None:
        self._tally(query, rcode).value += 1

    def _why_not(self, query: Query) -> dns.rcode.Rcode | None:
        if query.edns > 0:
            return dns.rcode.BADVERS
        if query.rdclass != dns.rdataclass.IN or query.rdtype in (AXFR, IXFR):
            return dns.rcode.REFUSED
        return None

    def _tally(self, query: Query, rcode: dns.rcode.Rcode) -> Tally:
        """Give the counter of an answer."""
        name = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(query.rdtype))
        return self._count(name if name in TYPE_LABELS else OTHER, rcode.name)

    def _remember(
        self,
        known: dict[bytes, _Remembered],
        payload: bytes,
        query: Query,
        make: Callable[[int], _Remembered],
    ) -> None:
        end = payload.find(b"\0", HEADER_BYTES)
        # A name that was written in an odd way is not given back as it was written.
        key = _key_untrusted(payload, end) if payload[HEADER_BYTES : end + 1] == raw_name(query.name) else b""
        if not key:
            return
        if len(known) >= MAX_REMEMBERED:
            self.forget()
        known[key] = make(end + QUESTION_TAIL)


def _key_untrusted(payload: bytes, end: int) -> bytes:
    """Give what the answer to a packet depends on, as far as it can be told without reading it; empty: it cannot.

    That is some of the flags, the counts, the question without its case, and of EDNS the version, the size (which
    counts from 512 to 1,232 bytes) and DO. Options are answered with nothing, and a cookie is another one each time.
    The length of a label is no letter, so lower case changes nothing but names; and what no answer was made for is not
    found. So nothing of this has to be looked at any closer.
    """
    tail = payload[end:]
    size = len(tail)
    if end < 0 or size < QUESTION_TAIL:
        return b""
    key = (
        bytes((payload[2] & FLAGS_1, payload[3] & FLAGS_2))
        + payload[4:HEADER_BYTES]
        + payload[HEADER_BYTES:end].lower()
        + tail[:QUESTION_TAIL]
    )
    if size == QUESTION_TAIL:
        return key
    if size < EDNS_TAIL or tail[5:8] != OPT_HEAD or size - EDNS_TAIL != (tail[14] << 8) + tail[15]:
        return b""
    room = min(max((tail[8] << 8) + tail[9], PLAIN_UDP), MAX_UDP)
    return key + bytes((room >> 8, room & 0xFF, tail[11], tail[12] & 0x80))

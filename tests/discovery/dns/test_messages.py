"""Packets that are questions, and packets that are not."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.discovery.dns.messages import (
    MAX_TCP,
    MAX_UDP,
    Query,
    read_query_untrusted,
    write_bare,
    write_truncated,
)
from gossipmesh.errors import RemoteProtocolError


def question(name: str = "hello.mesh", rdtype: str = "A", **keywords: Any) -> bytes:
    return bytes(dns.message.make_query(name, rdtype, **keywords).to_wire())


def code_of(payload: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        read_query_untrusted(payload)
    return caught.value.code


def test_a_question_is_read_as_it_came() -> None:
    query = read_query_untrusted(
        question("HeLLo.mesh", "SRV", use_edns=0, payload=4096, want_dnssec=True, id=77)
    )
    assert (query.id, str(query.name), query.rdtype, query.rdclass) == (77, "HeLLo.mesh.", 33, 1)
    assert (query.edns, query.payload, query.dnssec, query.limit) == (0, 4096, True, MAX_UDP)


@pytest.mark.parametrize(("payload", "limit"), [(0, 512), (100, 512), (900, 900), (4096, 1232)])
def test_who_says_how_much_he_takes_gets_no_more(payload: int, limit: int) -> None:
    assert read_query_untrusted(question(use_edns=0, payload=payload)).limit == limit
    assert read_query_untrusted(question(use_edns=False)).limit == 512


def test_what_must_not_be_answered_is_no_query() -> None:
    plain = question()
    assert code_of(plain[:11]) == code_of(b"") == "dns.no-query"
    assert code_of(plain[:2] + bytes([plain[2] | 0x80]) + plain[3:]) == "dns.no-query"


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_only_query_is_served(opcode: int) -> None:
    plain = question()
    payload = plain[:2] + bytes([plain[2] | opcode << 3]) + plain[3:]
    assert code_of(payload) == "dns.opcode"
    bare = dns.message.from_wire(write_bare(payload, dns.rcode.NOTIMP))
    assert (bare.opcode(), bare.rcode()) == (opcode, dns.rcode.NOTIMP)


@pytest.mark.parametrize("counts", ["0000", "2000", "1100", "1010", "1002"])
def test_one_question_and_perhaps_edns_is_all_that_is_taken(counts: str) -> None:
    numbers = b"".join(int(count).to_bytes(2) for count in counts)
    plain = question(use_edns=False)
    assert code_of(plain[:4] + numbers + plain[12:]) == "dns.malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        b"\xc0\x10\xc0\x0c\0\1\0\1",  # two that point at each other
        b"\x40" + b"a" * 64 + b"\0\0\1\0\1",  # a label of 64 bytes
        (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",  # a name of 257
        b"\5hello\4mesh\0\0\1",  # cut
        b"\5hello\4mesh\0\0\1\0\1junk",
    ],
)
def test_what_cannot_be_read_is_malformed(body: bytes) -> None:
    assert code_of(b"\0\7\1\0\0\1\0\0\0\0\0\0" + body) == "dns.malformed"


@given(st.binary(max_size=700) | st.binary(max_size=90).map(lambda tail: b"\0\1\1\0\0\1\0\0\0\0\0\1" + tail))
def test_any_bytes_are_a_question_or_one_kind_of_error(payload: bytes) -> None:
    try:
        query = read_query_untrusted(payload)
    except RemoteProtocolError as error:
        assert error.code in {"dns.no-query", "dns.malformed", "dns.opcode"}
    else:
        assert isinstance(query, Query)


def test_every_truncation_and_every_flipped_bit_is_a_question_or_that_error() -> None:
    valid = question(use_edns=0, options=[dns.edns.CookieOption(b"12345678", b"")])
    for end in range(len(valid)):
        with pytest.raises(RemoteProtocolError):
            read_query_untrusted(valid[:end])
    for bit in range(8 * len(valid)):
        flipped = bytearray(valid)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            read_query_untrusted(bytes(flipped))
        except RemoteProtocolError:
            continue


def test_an_answer_that_does_not_fit_has_as_much_as_fits_and_says_so(town: Any) -> None:
    town.many(200)
    cut = town.ask("hello.mesh")
    assert cut.flags & dns.flags.TC
    assert 60 < sum(len(rrset) for rrset in cut.answer) < 80
    short = town.ask("hello.mesh", edns=None)
    assert short.flags & dns.flags.TC
    assert 25 < sum(len(rrset) for rrset in short.answer) < 32
    whole = town.ask("hello.mesh", tcp=True)
    assert not whole.flags & dns.flags.TC
    assert sum(len(rrset) for rrset in whole.answer) == 200


def test_what_is_only_additional_is_left_out_in_silence(town: Any) -> None:
    town.many(25)
    reply = town.ask("_hello._tcp.mesh", "SRV")
    assert not reply.flags & dns.flags.TC
    assert sum(len(rrset) for rrset in reply.answer) == 25
    assert sum(len(rrset) for rrset in reply.additional) < 25


def test_even_the_longest_list_fits_a_tcp_answer(town: Any) -> None:
    town.many(3_000)
    reply = town.ask("_members.mesh", "TXT", tcp=True)
    assert len(reply.to_wire()) <= MAX_TCP
    assert not reply.flags & dns.flags.TC
    assert "and 2744 more" in reply.to_text()


def test_a_newer_edns_is_told_which_one_is_spoken(town: Any) -> None:
    reply = town.ask("hello.mesh", edns=1)
    assert (reply.rcode(), reply.edns, reply.answer) == (dns.rcode.BADVERS, 0, [])


def test_edns_is_spoken_only_to_who_speaks_it(town: Any) -> None:
    assert town.ask("hello.mesh").payload == MAX_UDP
    assert town.ask("hello.mesh", edns=None).edns == -1


def test_ask_by_tcp_is_said_with_nothing_else() -> None:
    query = read_query_untrusted(question())
    reply = dns.message.from_wire(write_truncated(query))
    assert reply.flags & dns.flags.TC
    assert (reply.id, reply.answer) == (query.id, [])

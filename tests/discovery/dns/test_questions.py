"""What is sent to other resolvers, and which packets answer it."""

from __future__ import annotations

import random
from typing import Any

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.discovery.dns.messages import Query, read_query_untrusted
from gossipmesh.discovery.dns.questions import (
    Sent,
    Verdict,
    hand_back,
    judge_untrusted,
    make_question,
    without_edns,
)


def asked(name: str = "www.Example.com", **keywords: Any) -> Query:
    return read_query_untrusted(
        dns.message.make_query(name, "A", **{"use_edns": 0, "id": 7} | keywords).to_wire()
    )


def sent(query: Query, seed: int = 3) -> Sent:
    return make_question(query, random.Random(seed).randbytes)


def answer(to: Sent, *, flags: int = 0, records: int = 1) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(to.payload), recursion_available=True)
    reply.flags |= flags
    for number in range(records):
        text = f"10.9.{number // 256}.{number % 256}"
        reply.answer.append(dns.rrset.from_text(reply.question[0].name, 60, "IN", "A", text))
    return bytes(reply.to_wire(max_size=65_535))


def test_a_question_leaves_with_another_id_and_case_and_no_option() -> None:
    query = asked(options=[dns.edns.CookieOption(b"12345678", b"")], want_dnssec=True)
    first, second = (dns.message.from_wire(sent(query, seed).payload) for seed in (1, 2))
    assert len({first.id, second.id, query.id}) == 3
    assert str(first.question[0].name) != str(second.question[0].name)
    assert first.question[0].name == query.name
    assert (first.options, first.payload, first.ednsflags) == ((), 1232, dns.flags.DO)
    assert first.flags == dns.flags.RD
    assert dns.message.from_wire(sent(asked(use_edns=False)).payload).edns == -1


def test_an_answer_is_handed_back_with_the_callers_id_and_case() -> None:
    query = asked()
    out = sent(query)
    assert judge_untrusted(out, answer(out)) is Verdict.ANSWER
    back = dns.message.from_wire(hand_back(out, answer(out), query, tcp=False))
    assert (back.id, str(back.question[0].name)) == (7, "www.Example.com.")
    assert str(back.answer[0].name) == "www.Example.com."
    assert back.answer[0][0].to_text() == "10.9.0.0"


@pytest.mark.parametrize("at", [0, 1, 2, 5, 13, 29])
def test_a_packet_that_differs_in_what_only_the_asked_can_know_is_no_answer(at: int) -> None:
    out = sent(asked())
    false = bytearray(answer(out))
    false[at] ^= 0x81
    assert judge_untrusted(out, bytes(false)) is Verdict.NO_ANSWER
    assert judge_untrusted(out, bytes(false), tcp=True) is Verdict.NO_ANSWER


def test_what_was_cut_or_came_in_another_case_is_asked_for_by_tcp() -> None:
    out = sent(asked())
    assert judge_untrusted(out, answer(out, flags=dns.flags.TC)) is Verdict.ASK_BY_TCP
    lower = answer(out)[:12] + out.question.lower() + answer(out)[out.end :]
    assert judge_untrusted(out, lower) is Verdict.ASK_BY_TCP
    assert judge_untrusted(out, lower, tcp=True) is Verdict.ANSWER


def test_what_is_too_long_for_the_caller_is_cut_for_him() -> None:
    query = asked(use_edns=False)
    out = sent(query)
    long = answer(out, records=100)
    cut = hand_back(out, long, query, tcp=False)
    assert len(cut) <= 512
    assert dns.message.from_wire(cut).flags & dns.flags.TC
    assert len(hand_back(out, long, query, tcp=True)) == len(long)


@given(st.binary(max_size=100))
def test_any_bytes_get_a_verdict(reply: bytes) -> None:
    out = sent(asked())
    assert judge_untrusted(out, reply) is Verdict.NO_ANSWER
    assert judge_untrusted(out, out.id + b"\x81\x80\0\1" + reply) is not Verdict.ANSWER


def test_only_the_name_may_come_back_in_another_case() -> None:
    """Of type and class, 0x61 is not 0x41."""
    query = read_query_untrusted(dns.message.make_query("www.example.com", "TYPE97", use_edns=0).to_wire())
    out = sent(query)
    good = dns.message.make_response(dns.message.from_wire(out.payload)).to_wire()
    at = out.end - 3
    assert good[at] == 0x61
    other = good[:at] + b"\x41" + good[at + 1 :]
    assert judge_untrusted(out, good, tcp=True) is Verdict.ANSWER
    assert judge_untrusted(out, other, tcp=True) is Verdict.NO_ANSWER
    assert judge_untrusted(out, other) is Verdict.NO_ANSWER


def test_who_does_not_know_edns_is_asked_without_it() -> None:
    """Some say so in a header alone (RFC 6891, section 7)."""
    out = sent(asked(want_dnssec=True))
    bare = out.id + b"\x81\x81" + bytes(8)
    whole = out.id + b"\x81\x81\0\1" + bytes(6) + out.question
    assert judge_untrusted(out, bare) is judge_untrusted(out, whole) is Verdict.ASK_WITHOUT_EDNS
    assert judge_untrusted(out, b"??" + bare[2:]) is Verdict.NO_ANSWER
    assert judge_untrusted(out, out.id + b"\x81\x83" + bytes(8)) is Verdict.NO_ANSWER
    plain = without_edns(out)
    again = dns.message.from_wire(plain.payload)
    assert (again.edns, plain.question, plain.id) == (-1, out.question, out.id)
    assert judge_untrusted(plain, bare) is Verdict.NO_ANSWER
    assert judge_untrusted(plain, whole) is Verdict.ANSWER

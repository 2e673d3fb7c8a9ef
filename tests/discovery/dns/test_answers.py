"""Whole packets in and out; what is remembered is what would have been made anew."""

from __future__ import annotations

import random
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.discovery.dns.answers import MAX_REMEMBERED, REMEMBERED_S, Forward
from gossipmesh.discovery.dns.messages import read_query_untrusted
from gossipmesh.routing.snapshot import Snapshot


def question(name: str = "hello.mesh", rdtype: str = "A", **keywords: Any) -> bytes:
    return bytes(
        dns.message.make_query(name, rdtype, **{"use_edns": 0, "payload": 1232} | keywords).to_wire()
    )


def answer_of(raw: object) -> dns.message.Message:
    assert isinstance(raw, bytes)
    return dns.message.from_wire(raw)


def test_a_second_question_is_answered_from_memory_with_its_own_id_and_case(town: Any) -> None:
    answers = town.answers()
    answers.answer_untrusted(question(id=1), town.picture, now=0.0)
    asked = question("hELLo.mESh", id=2)
    reply = answers.remembered_untrusted(asked, town.snapshot, now=0.1)
    message = answer_of(reply)
    assert message.id == 2
    assert reply[12 : 12 + 12] == asked[12 : 12 + 12]
    assert str(message.answer[0].name) == "hELLo.mESh."
    assert sorted(rdata.to_text() for rdata in message.answer[0]) == ["10.0.0.1", "10.0.0.2"]


def test_memory_ends_with_the_picture_or_after_half_a_second(town: Any) -> None:
    answers = town.answers()
    answers.answer_untrusted(question(), town.picture, now=0.0)
    assert answers.remembered_untrusted(question(), town.snapshot, now=REMEMBERED_S / 2 - 0.01) is not None
    assert answers.remembered_untrusted(question(), town.snapshot, now=REMEMBERED_S) is None
    newer = Snapshot(town.snapshot.local, town.snapshot.services)
    assert answers.remembered_untrusted(question(), newer, now=0.0) is None


def test_each_size_and_each_way_has_an_answer_of_its_own(town: Any) -> None:
    town.many(200)
    answers = town.answers()
    sizes = [question(payload=size) for size in (512, 900, 1232)] + [question(use_edns=False)]
    for asked in sizes:
        answers.answer_untrusted(asked, town.picture, now=0.0)
    answers.answer_untrusted(question(), town.picture, now=0.0, tcp=True)
    lengths = [len(answers.remembered_untrusted(asked, town.snapshot, now=0.0)) for asked in sizes]
    assert all(length <= limit for length, limit in zip(lengths, (512, 900, 1232, 512), strict=True))
    assert len(answers.remembered_untrusted(question(), town.snapshot, now=0.0, tcp=True)) > 3_000


def test_addresses_are_turned_each_time(town: Any) -> None:
    town.many(4)
    answers = town.answers()
    answers.answer_untrusted(question(), town.picture, now=0.0)
    firsts = set()
    for _ in range(200):
        reply = answer_of(answers.remembered_untrusted(question(), town.snapshot, now=0.0))
        found = [rdata.to_text() for rdata in reply.answer[0]]
        assert len(set(found)) == 4
        firsts.add(found[0])
    assert len(firsts) == 4


def test_an_answer_is_remembered_whatever_options_came_with_its_question(town: Any) -> None:
    """dig sends another cookie each time, and some send padding."""
    answers = town.answers()
    for cookie in (b"12345678", b"abcdefgh"):
        asked = question(options=[dns.edns.CookieOption(cookie, b"")])
        reply = answers.remembered_untrusted(asked, town.snapshot, now=0.0)
        assert (reply is None) is (cookie == b"12345678")
        reply = reply or answers.answer_untrusted(asked, town.picture, now=0.0)
        assert len(answer_of(reply).answer[0]) == 2
    assert answers.remembered_untrusted(question(), town.snapshot, now=0.0) is not None
    cut = question(options=[dns.edns.CookieOption(b"12345678", b"")])[:-1]
    assert answers.remembered_untrusted(cut, town.snapshot, now=0.0) is None


def test_what_changes_no_answer_makes_no_other_one(town: Any) -> None:
    answers = town.answers()
    answers.answer_untrusted(question(payload=1232), town.picture, now=0.0)
    for same in (question(payload=4096), question(flags=dns.flags.RD | dns.flags.AD), question(ednsflags=1)):
        assert answers.remembered_untrusted(same, town.snapshot, now=0.0) is not None
    for other in (question(payload=1231), question(flags=0), question(want_dnssec=True)):
        assert answers.remembered_untrusted(other, town.snapshot, now=0.0) is None


def test_a_name_with_a_zero_in_it_is_answered_and_not_remembered(town: Any) -> None:
    answers = town.answers()
    name = dns.name.Name((b"a\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0", b"mesh", b""))
    asked = bytes(dns.message.make_query(name, "A", use_edns=0).to_wire())
    assert answer_of(answers.answer_untrusted(asked, town.picture, now=0.0)).rcode() == dns.rcode.NXDOMAIN
    assert answers.remembered_untrusted(asked, town.snapshot, now=0.0) is None


def test_memory_is_bounded(town: Any) -> None:
    answers = town.answers()
    for number in range(MAX_REMEMBERED):
        answers.answer_untrusted(question(f"x{number}.mesh"), town.picture, now=0.0)
    assert answers.remembered_untrusted(question("x0.mesh"), town.snapshot, now=0.0) is not None
    answers.answer_untrusted(question("one-more.mesh"), town.picture, now=0.0)
    assert answers.remembered_untrusted(question("x0.mesh"), town.snapshot, now=0.0) is None
    assert answers.remembered_untrusted(question("one-more.mesh"), town.snapshot, now=0.0) is not None


NAMES = st.sampled_from(
    ["hello.mesh", "db.mesh", "v2.hello.mesh", "_hello._tcp.mesh", "_members.mesh", "_services.mesh", "mesh", "no.mesh",
     "hello.proxy.mesh", "web-2.node.mesh", "2.0.0.10.in-addr.arpa", "example.com", "zone.mesh", "."]
)  # fmt: skip


@given(
    NAMES,
    st.sampled_from(["A", "AAAA", "SRV", "TXT", "PTR", "SOA", "NS", "ANY", "MX"]),
    st.none() | st.sampled_from([0, 512, 700, 1232, 4096]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_what_is_remembered_is_what_would_be_made_anew(
    make_town: Any, name: str, rdtype: str, size: int | None, dnssec: bool, tcp: bool, seed: int
) -> None:
    """Equal in all bytes but the order of addresses, whatever the case and id of the second question."""
    town, rng = make_town(), random.Random(seed)
    edns: dict[str, Any] = {"use_edns": False} if size is None else {"payload": size, "want_dnssec": dnssec}
    first = question(name, rdtype, **edns)
    mixed = "".join(rng.choice((str.upper, str.lower))(letter) for letter in name)
    second = question(mixed, rdtype, **edns)
    answers = town.answers()
    answers.answer_untrusted(first, town.picture, now=0.0, tcp=tcp)
    remembered = answers.remembered_untrusted(second, town.snapshot, now=0.0, tcp=tcp)
    anew = town.answers().answer_untrusted(second, town.picture, now=0.0, tcp=tcp)
    assert remembered is not None
    assert len(remembered) == len(anew)
    assert remembered[:12] == anew[:12]
    assert answer_of(remembered) == answer_of(anew)
    assert {str(rrset.name) for rrset in answer_of(remembered).answer} == {
        str(rrset.name) for rrset in answer_of(anew).answer
    }


@given(
    st.binary(max_size=700)
    | st.builds(
        lambda ident, flags, counts, name, tail: ident + flags + bytes(counts) + name + tail,
        st.binary(min_size=2, max_size=2),
        st.sampled_from([b"\1\0", b"\0\0", b"\x01\x20", b"\x81\0", b"\x28\0"]),
        st.sampled_from([[0, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 1], [0, 2, 0, 0, 0, 0, 0, 0]]),
        st.sampled_from([b"\5hello\4mesh\0", b"\4MESH\0", b"\xc0\x0c", b"\0", b"\1x\7in-addr\4arpa\0"]),
        st.binary(max_size=40),
    ),
    st.booleans(),
)
def test_any_bytes_get_a_proper_answer_or_none(make_town: Any, payload: bytes, tcp: bool) -> None:
    town = make_town()
    answers = town.answers()
    assert answers.remembered_untrusted(payload, town.snapshot, now=0.0, tcp=tcp) is None
    raw = answers.answer_untrusted(payload, town.picture, now=0.0, tcp=tcp)
    if raw is None:
        assert len(payload) < 12 or payload[2] & 0x80
        return
    assert raw[:2] == payload[:2]
    assert tcp or len(raw) <= 1232
    assert raw[2] & 0x80
    reply = dns.message.from_wire(raw)
    if reply.rcode() not in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
        query = read_query_untrusted(payload)
        assert str(reply.question[0].name) == str(query.name)
    again = answers.remembered_untrusted(payload, town.snapshot, now=0.0, tcp=tcp)
    assert again is None or len(again) == len(raw)


def test_a_bare_answer_is_no_longer_than_what_it_answers(town: Any) -> None:
    for payload in (bytes(12), b"\0\7\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", b"\0\7\x28\0\0\1\0\0\0\0\0\0"):
        assert len(town.answers().answer_untrusted(payload, town.picture, now=0.0)) == 12


def test_other_names_are_somebody_elses_where_there_is_somebody(town: Any) -> None:
    answers = town.answers(recursion=True)
    found = answers.answer_untrusted(question("example.com"), town.picture, now=0.0)
    assert isinstance(found, Forward)
    assert str(found.query.name) == "example.com."
    unwilling = question("example.com", flags=0)
    assert answer_of(answers.answer_untrusted(unwilling, town.picture, now=0.0)).rcode() == dns.rcode.REFUSED
    ours = answer_of(answers.answer_untrusted(question(), town.picture, now=0.0))
    assert ours.flags & dns.flags.RA
    assert (
        not answer_of(town.answers().answer_untrusted(question(), town.picture, now=0.0)).flags & dns.flags.RA
    )


def test_answers_are_counted_by_type_and_code_from_small_sets(town: Any) -> None:
    answers = town.answers()
    for name, rdtype in (
        ("hello.mesh", "A"),
        ("x.mesh", "TYPE999"),
        ("y.mesh", "AAAA"),
        ("example.com", "A"),
    ):
        answers.answer_untrusted(question(name, rdtype), town.picture, now=0.0)
    answers.remembered_untrusted(question(), town.snapshot, now=0.0)
    answers.answer_untrusted(bytes(12), town.picture, now=0.0)
    (family,) = town.counts.collect()
    assert {tuple(sample.labels.values()): sample.value for sample in family.samples} == {
        ("A", "NOERROR"): 2.0,
        ("OTHER", "NXDOMAIN"): 1.0,
        ("AAAA", "NXDOMAIN"): 1.0,
        ("A", "REFUSED"): 1.0,
        ("none", "FORMERR"): 1.0,
    }


def test_an_endpoint_that_leaves_is_in_no_answer_of_the_next_picture(town: Any) -> None:
    answers = town.answers()
    answers.answer_untrusted(question(), town.picture, now=0.0)
    hello = tuple(evolve(end, eligible=end.node != "web-1") for end in town.snapshot.endpoints("hello"))
    town.snapshot = Snapshot(town.snapshot.local, {"hello": hello})
    assert answers.remembered_untrusted(question(), town.snapshot, now=0.0) is None
    reply = answer_of(answers.answer_untrusted(question(), town.picture, now=0.0))
    assert "10.0.0.1" not in reply.to_text()


@pytest.mark.parametrize("name", ["hello.mesh", "_members.mesh", "mesh"])
def test_an_answer_is_at_most_forty_times_as_long_as_its_question(town: Any, name: str) -> None:
    town.many(500)
    for rdtype in ("A", "SRV", "TXT", "ANY", "SOA"):
        for edns in ({"use_edns": False}, {}):
            asked = question(name, rdtype, **edns)
            assert len(town.answers().answer_untrusted(asked, town.picture, now=0.0)) <= 40 * len(asked)


def test_what_this_node_itself_leaves_out_is_out_at_once(town: Any) -> None:
    answers = town.answers()
    answers.answer_untrusted(question(), town.picture, now=0.0)
    assert answers.remembered_untrusted(question(), town.snapshot, now=0.0) is not None
    town.ejected.add("web-1")
    answers.forget()
    assert answers.remembered_untrusted(question(), town.snapshot, now=0.0) is None
    reply = answer_of(answers.answer_untrusted(question(), town.picture, now=0.0))
    assert "10.0.0.1" not in reply.to_text()

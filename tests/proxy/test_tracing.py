"""The names under which a request is found again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.proxy.headers import values_of
from gossipmesh.proxy.tracing import trace, trace_id_of

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def entropy(size: int) -> bytes:
    return b"\xab" * size


def test_names_are_passed_on_as_they_came() -> None:
    headers = ((b"x-request-id", b"abc-1"), (b"TraceParent", PARENT), (b"tracestate", b"a=b"))
    traced = trace(headers, entropy)
    assert traced.headers == headers
    assert (traced.request_id, traced.trace_id) == (b"abc-1", b"4bf92f3577b34da6a3ce929d0e0e4736")


def test_names_are_made_where_there_are_none() -> None:
    traced = trace(((b"A", b"b"),), entropy)
    assert traced.request_id == b"ab" * 16
    assert traced.headers == (
        (b"A", b"b"),
        (b"X-Request-Id", b"ab" * 16),
        (b"Traceparent", b"00-" + b"ab" * 16 + b"-" + b"ab" * 8 + b"-01"),
    )


@pytest.mark.parametrize("request_id", [b"", b"a b", b"x" * 129, b"\xff"])
def test_a_request_id_that_does_not_belong_into_a_log_is_replaced(request_id: bytes) -> None:
    traced = trace(((b"X-Request-Id", request_id),), entropy)
    assert values_of(traced.headers, b"x-request-id") == [b"ab" * 16]


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        PARENT.upper(),
        PARENT[:-1],
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
    ],
)
def test_a_bad_traceparent_is_replaced_and_takes_tracestate_with_it(parent: bytes) -> None:
    traced = trace(((b"traceparent", parent), (b"Tracestate", b"a=b")), entropy)
    assert traced.trace_id == b"ab" * 16
    assert values_of(traced.headers, b"tracestate") == []
    assert len(values_of(traced.headers, b"traceparent")) == 1


def test_names_that_are_there_twice_are_replaced_by_one() -> None:
    twice = (
        (b"x-request-id", b"a"),
        (b"x-request-id", b"b"),
        (b"traceparent", PARENT),
        (b"traceparent", PARENT),
    )
    traced = trace(twice, entropy)
    assert values_of(traced.headers, b"x-request-id") == [b"ab" * 16]
    assert len(values_of(traced.headers, b"traceparent")) == 1


@pytest.mark.parametrize("request_id", [b"a" * 128, b"2f9a4d3e-8c1b-1", b"---", b'"\\', b"!~"])
def test_a_request_id_is_any_visible_text_of_some_length(request_id: bytes) -> None:
    headers = ((b"X-Request-ID", request_id), (b"traceparent", PARENT))
    assert trace(headers, entropy).request_id == request_id


def test_tracestate_alone_means_nothing_and_one_good_name_is_no_reason_to_replace_the_other() -> None:
    traced = trace(((b"x-request-id", b"a"), (b"tracestate", b"a=b")), entropy)
    assert traced.request_id == b"a"
    assert [name for name, _ in traced.headers] == [b"x-request-id", b"Traceparent"]
    traced = trace(((b"traceparent", PARENT), (b"tracestate", b"a=b")), entropy)
    assert [name for name, _ in traced.headers] == [b"traceparent", b"tracestate", b"X-Request-Id"]


PARENT_OR_LIKE_ONE = st.sampled_from([PARENT, b"01" + PARENT[2:] + b"-x", PARENT + b"-"]).flatmap(
    lambda text: st.builds(
        lambda at, byte: text[:at] + byte + text[at + 1 :],
        st.integers(0, len(text)),
        st.sampled_from([b"", b"0", b"f", b"A", b"-", b"\xff"]),
    )
) | st.from_regex(rb"(00|ff|0a)-(0{32}|[0-9a-f]{32})-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}", fullmatch=True)


@given(parent=PARENT_OR_LIKE_ONE)
def test_a_trace_id_is_found_in_what_the_standard_allows_and_in_nothing_else(parent: bytes) -> None:
    allowed = re.fullmatch(
        rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?", parent
    )
    assert trace_id_of(((b"Traceparent", parent),)) == (allowed[1] if allowed else b"")

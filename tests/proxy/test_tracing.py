"""The names under which a request is found again."""

from __future__ import annotations

import pytest

from gossipmesh.proxy.headers import values_of
from gossipmesh.proxy.tracing import trace

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

"""What was asked for in the last hour, and what a policy would have said to it."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import NodeId
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.policy.seen import (
    MAX_KEPT,
    MAX_PATH,
    SLOT_S,
    Asked,
    Seen,
)
from gossipmesh.policy.trial import MAX_FINDINGS, Trial

WEB, API = (Source(NodeId(name * 32), name.decode()) for name in (b"w", b"a"))
HOUR_S = 3_600.0


def counts(seen: Seen, *, now: float) -> dict[tuple[str, bytes, bytes, bool], int]:
    """Give how often each was asked for: by whom, how, what, and whether it was allowed."""
    found: dict[tuple[str, bytes, bytes, bool], int] = {}
    for asked, allowed, count, _ in seen.requests(now=now):
        key = asked.source.service, asked.method, asked.path, allowed
        found[key] = found.get(key, 0) + count
    return found


def test_requests_are_counted_by_source_method_and_path_without_the_query() -> None:
    seen = Seen()
    for target in (b"/x?a=1", b"/x?a=2", b"/x"):
        seen.note(WEB, "hello", b"GET", target, allowed=True, now=1.0)
    seen.note(WEB, "hello", b"GET", b"/x", allowed=False, now=1.0)
    seen.note(API, "hello", b"POST", b"/x", allowed=True, now=1.0)
    seen.note(WEB, "db", b"CONNECT", b"db:5432", allowed=True, now=1.0)
    assert counts(seen, now=2.0) == {
        ("w", b"GET", b"/x", True): 3,
        ("w", b"GET", b"/x", False): 1,
        ("a", b"POST", b"/x", True): 1,
        ("w", b"CONNECT", b"/", True): 1,
    }


def test_of_a_long_target_only_the_path_is_held_so_that_queries_fill_no_memory() -> None:
    seen = Seen()
    tracemalloc.start()
    try:
        for number in range(200):
            target = b"/x?%d&" % number + bytes(60_000)
            seen.note(WEB, "hello", b"GET", target, allowed=True, now=1.0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 500_000
    seen.note(WEB, "hello", b"GET", b"/" + b"y" * MAX_PATH, allowed=True, now=1.0)
    assert counts(seen, now=2.0) == {("w", b"GET", b"/x", True): 200, ("w", b"GET", b"", True): 1}


def test_what_was_asked_for_within_the_hour_is_there_and_what_is_older_is_not() -> None:
    seen = Seen()
    seen.note(WEB, "hello", b"GET", b"/old", allowed=True, now=0.0)
    seen.note(WEB, "hello", b"GET", b"/new", allowed=True, now=HOUR_S - 1.0)
    assert {path for _, _, path, _ in counts(seen, now=HOUR_S)} == {b"/old", b"/new"}
    assert {path for _, _, path, _ in counts(seen, now=HOUR_S + SLOT_S + 1.0)} == {b"/new"}
    assert counts(seen, now=3 * HOUR_S) == {}


def test_of_too_many_different_paths_the_rest_is_counted_without_them() -> None:
    seen = Seen()
    for number in range(3 * MAX_KEPT):
        seen.note(WEB, "hello", b"GET", b"/%d" % number, allowed=True, now=1.0)
    seen.note(WEB, "hello", b"GET", b"/" + b"x" * MAX_PATH, allowed=True, now=1.0)
    found = counts(seen, now=1.0)
    assert sum(found.values()) == 3 * MAX_KEPT + 1
    assert len(found) == MAX_KEPT + 1
    assert found["w", b"", b"", True] == 2 * MAX_KEPT + 1


def test_of_too_many_different_sources_the_rest_is_counted_without_them() -> None:
    seen = Seen()
    for number in range(4 * MAX_KEPT):
        source = Source(NodeId(number.to_bytes(32, "big")), "web")
        seen.note(source, "hello", b"GET", b"/%d" % number, allowed=True, now=1.0)
    found = list(seen.requests(now=1.0))
    assert sum(count for _, _, count, _ in found) == 4 * MAX_KEPT
    assert len(found) <= 2 * MAX_KEPT + 1


@given(st.lists(st.tuples(st.sampled_from([WEB, API]), st.integers(0, 40), st.booleans()), max_size=200))
def test_every_request_is_counted_once(requests: list[tuple[Source, int, bool]]) -> None:
    seen = Seen()
    for source, path, allowed in requests:
        seen.note(source, "hello", b"GET", b"/%d" % path, allowed=allowed, now=path * 10.0)
    assert sum(count for _, _, count, _ in seen.requests(now=400.0)) == len(requests)


def test_a_source_that_was_let_go_of_is_not_mistaken_for_another() -> None:
    seen = Seen()
    for number in range(MAX_KEPT + 10):
        source = Source(NodeId(number.to_bytes(32, "big")), f"s{number}")
        seen.note(source, "hello", b"GET", b"/", allowed=True, now=1.0)
        del source
    assert len({asked.source.service for asked, *_ in seen.requests(now=1.0) if asked.path}) == MAX_KEPT


# --- a policy tried on -------------------------------------------------------------------------------------------


def only_web(asked: Asked) -> Decision:
    return Decision(True, "web") if asked.source.service == "w" else Decision(False, "default")


def trial(seen: Seen, *, path_matters: bool = True) -> Trial:
    tried = Trial()
    for request in seen.requests(now=1_000.0):
        tried.add(only_web, request, path_matters=lambda service: path_matters)
    return tried


def test_a_policy_is_told_by_what_it_would_have_decided_otherwise() -> None:
    seen = Seen()
    for now in (1.0, 2.0, 900.0):
        seen.note(API, "hello", b"GET", b"/x", allowed=True, now=now)
    seen.note(API, "hello", b"GET", b"/y", allowed=True, now=900.0)
    seen.note(WEB, "hello", b"GET", b"/z", allowed=False, now=900.0)
    seen.note(WEB, "hello", b"GET", b"/same", allowed=True, now=900.0)
    tried = trial(seen)
    assert (tried.requests, tried.denied, tried.allowed, tried.unknown) == (6, 4, 1, 0)
    first, second, other = tried.tried().findings
    assert (first.asked, first.rule, first.count) == (Asked(API, "hello", b"GET", b"/x"), "default", 3)
    assert first.ago_s <= 100.0
    assert second.asked.path == b"/y"
    assert (other.asked.path, other.rule, other.allow) == (b"/z", "web", True)


def test_what_is_not_known_well_enough_is_said_and_not_guessed() -> None:
    seen = Seen()
    for number in range(MAX_KEPT + 5):
        seen.note(API, "hello", b"GET", b"/%d" % number, allowed=True, now=1.0)
    tried = trial(seen)
    assert (tried.denied, tried.unknown) == (MAX_KEPT, 5)
    assert len(tried.tried().findings) == MAX_FINDINGS


def test_a_long_path_matters_only_where_rules_are_about_paths() -> None:
    seen = Seen()
    seen.note(API, "hello", b"GET", b"/" + b"x" * MAX_PATH, allowed=True, now=1.0)
    assert trial(seen).unknown == 1
    assert (trial(seen, path_matters=False).denied, trial(seen, path_matters=False).unknown) == (1, 0)

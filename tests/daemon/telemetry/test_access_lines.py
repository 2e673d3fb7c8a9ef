"""One line per request."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.daemon.telemetry.access_lines import (
    MAX_VALUE,
    MAX_WORDS,
    JsonLines,
    fields_of,
    has_failed,
    iso,
)
from gossipmesh.proxy.access import Direction, RequestReport
from requestreports import REPORT as QUERYLESS

REPORT = QUERYLESS.changed(path=b"/a?secret")
TEXT = st.text(max_size=20) | st.just("x" * (MAX_VALUE + 1))
TEXT_OR_BYTES = TEXT | st.binary(max_size=20)
REPORTS = st.builds(
    RequestReport,
    direction=st.sampled_from(Direction),
    request_id=TEXT_OR_BYTES,
    trace_id=TEXT_OR_BYTES,
    source=TEXT,
    service=TEXT,
    method=TEXT_OR_BYTES,
    path=TEXT_OR_BYTES,
    code=st.integers(0, 599),
    flag=TEXT,
    bytes_in=st.integers(0, 2**70),
    bytes_out=st.integers(0, 2**70),
    duration_s=st.floats(0, 1e12, allow_nan=False),
    attempts=st.integers(0, 9),
    endpoint=TEXT,
)
WALL = st.floats(0, 4e9, allow_nan=False) | st.integers(0, 4 * 10**9).map(lambda second: second + 0.9999997)


def test_a_line_says_who_asked_whom_for_what_and_how_that_ended() -> None:
    line = JsonLines()(REPORT, 1_900_000_000.25)
    assert json.loads(line) == {
        "time": "2030-03-17T17:46:40.250Z",
        "request_id": "r1",
        "trace_id": "t1",
        "direction": "outbound",
        "source": "web",
        "service": "hello",
        "method": "GET",
        "path": "/a",
        "code": 200,
        "flag": "",
        "bytes_in": 0,
        "bytes_out": 5,
        "duration_ms": 1.235,
        "attempts": 1,
        "endpoint": "node-1",
    }


@given(reports=st.lists(st.tuples(REPORTS, WALL), max_size=4))
def test_lines_are_to_the_letter_what_the_library_would_make_of_their_fields(
    reports: list[tuple[RequestReport, float]],
) -> None:
    lines = JsonLines()
    for report, wall in reports:
        made = json.dumps(fields_of(report, wall), separators=(",", ":"))
        assert lines(report, wall) == made + "\n"


@given(wall=WALL, steps=st.lists(st.floats(-2, 2, allow_nan=False), max_size=5))
def test_times_are_right_from_line_to_line(wall: float, steps: list[float]) -> None:
    lines = JsonLines()
    for moment in (wall, *(max(0.0, wall + step) for step in steps)):
        assert json.loads(lines(REPORT, moment))["time"] == iso(moment)


def test_words_that_all_differ_change_nothing() -> None:
    lines = JsonLines()
    for number in range(MAX_WORDS + 10):
        shown = json.loads(lines(REPORT.changed(service=f"s{number}"), 0.0))
        assert shown["service"] == f"s{number}"


def test_a_failure_is_a_flag_a_5xx_or_no_answer() -> None:
    assert has_failed(500, "")
    assert has_failed(200, "DC")
    assert has_failed(0, "")
    assert not has_failed(404, "")

from __future__ import annotations

import io
import json
import logging
import os
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.config.model import LogConfig
from gossipmesh.daemon.surroundings import ExhaustionHandler
from gossipmesh.daemon.telemetry.logs import (
    AccessLog,
    Sink,
    event_log,
    render_json,
    render_text,
)
from gossipmesh.proxy.access import RequestReport
from requestreports import REPORT

FORMATS: list[Literal["json", "text"]] = ["json", "text"]


def access_lines(config: LogConfig, *reports: RequestReport) -> list[str]:
    stream = io.StringIO()
    log = AccessLog(config, stream)
    for report in reports:
        log.add(report, wall=1_900_000_000.25)
    log.flush()
    return stream.getvalue().splitlines()


def test_a_request_is_one_line_of_json_or_text() -> None:
    (line,) = access_lines(LogConfig(), REPORT)
    assert json.loads(line)["time"] == "2030-03-17T17:46:40.250Z"
    (line,) = access_lines(LogConfig(format="text"), REPORT)
    assert line == (
        "time=2030-03-17T17:46:40.250Z request_id=r1 trace_id=t1 direction=outbound source=web service=hello "
        'method=GET path=/a code=200 flag="" bytes_in=0 bytes_out=5 duration_ms=1.235 attempts=1 endpoint=node-1'
    )


def test_only_failures_or_nothing_may_be_wanted() -> None:
    failed, refused, gone = REPORT.changed(code=500), REPORT.changed(flag="NR"), REPORT.changed(code=0)
    not_found = REPORT.changed(code=404)
    entries = (REPORT, failed, refused, gone, not_found)
    assert len(access_lines(LogConfig(access="all"), *entries)) == 5
    assert len(access_lines(LogConfig(access="errors"), *entries)) == 3
    assert access_lines(LogConfig(access="off"), *entries) == []
    log = AccessLog(LogConfig(access="errors"), None)
    assert [log.wants(code, flag) for code, flag in ((200, ""), (200, "DC"), (503, ""))] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("format_", FORMATS)
@given(path=st.text())
def test_no_path_can_make_two_lines_or_draw_on_a_terminal(
    format_: Literal["json", "text"], path: str
) -> None:
    (line,) = access_lines(LogConfig(format=format_), REPORT.changed(path=path))
    assert line.isascii()
    assert line.isprintable()


def test_a_long_path_is_cut() -> None:
    (line,) = access_lines(LogConfig(), REPORT.changed(path="/" * 100_000))
    assert len(line) < 3_000


def test_when_nobody_reads_the_access_log_any_more_it_falls_silent() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    raw = io.FileIO(writing, "w")
    stream = io.TextIOWrapper(raw, write_through=True)
    log = AccessLog(LogConfig(), stream)
    for _ in range(2):
        log.add(REPORT, wall=0.0)
        log.flush()
    assert log.lost == 2
    raw.close()


@pytest.mark.parametrize("format_", FORMATS)
def test_secrets_are_hidden_by_name_and_tokens_wherever_they_are(format_: Literal["json", "text"]) -> None:
    stream = io.StringIO()
    event_log(LogConfig(format=format_), stream).info(
        "joining with gmt1.AAAA", token="s3cret", seed=b"s3cret", text="it was gmt1.s3cret", token_ids=["ab"]
    )
    assert "s3cret" not in stream.getvalue()
    assert "AAAA" not in stream.getvalue()
    assert "ab" in stream.getvalue()


def test_an_event_is_one_line_with_its_time_level_and_fields() -> None:
    stream = io.StringIO()
    log = event_log(LogConfig(), stream)
    log.warning("member died\n\x1b[31m", node=b"\x01\x02", name="a\u202eb")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert line.isascii()
    assert (event["level"], event["node"], event["name"]) == ("warning", "0102", "a\u202eb")


def test_whoever_wants_to_know_of_warnings_and_errors_is_told_of_them_without_secrets() -> None:
    log = event_log(LogConfig(), io.StringIO())
    told: list[tuple[str, str]] = []
    log.warned = lambda event, detail: told.append((event, detail))
    log.info("policy", version=1)
    log.warning("state.write", detail="no room for gmt1.s3cret")
    log.error("daemon.bug")
    assert [event for event, _ in told] == ["state.write", "daemon.bug"]
    assert told[0][1].startswith("no room for ")
    assert "s3cret" not in told[0][1]


def test_text_quotes_what_is_not_plain() -> None:
    fields = {"a": "plain", "b": "two words", "c": 'q"', "d": "", "e": None, "f": 1.5, "g": "x=y"}
    assert render_text(fields) == 'a=plain b="two words" c="q\\"" d="" e=null f=1.5 g="x=y"'
    assert json.loads(render_json(fields)) == fields


def test_events_without_a_stream_or_after_its_end_go_nowhere_and_raise_nothing() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        log = event_log(LogConfig(), stream)
        log.warning("hello")
        log.info("again")


def test_a_full_disk_costs_lines_and_a_gone_reader_the_log() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        sink = Sink(full)
        for _ in range(3):
            sink.write("line\n")
            sink.flush()
        # Nothing can be flushed there, at closing neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    reader, writer = os.pipe()
    os.close(reader)
    with open(os.devnull, "w", encoding="utf-8") as spare, os.fdopen(writer, "w", encoding="utf-8") as gone:
        log = event_log(LogConfig(), gone)
        log.info("one")
        log.info("two")
        os.dup2(spare.fileno(), gone.fileno())


def test_a_listener_without_file_descriptors_is_counted_and_not_printed() -> None:
    told: list[None] = []
    log = logging.Logger("trio.serve_listeners")
    log.addHandler(ExhaustionHandler(lambda: told.append(None)))
    log.error("accept returned EMFILE", exc_info=OSError())
    assert len(told) == 1


def test_a_reader_that_stalls_loses_lines_and_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stalled, os.fdopen(writer, "w", encoding="utf-8") as stream:
        sink = Sink(stream)
        for _ in range(200):
            sink.write("x" * 2_000 + "\n")
            sink.flush()
        os.set_blocking(stalled.fileno(), False)
        kept = stalled.read()
        assert 0 < len(kept) < 200 * 2_001
        sink.write("again\n")
        sink.flush()
        assert stalled.read() == b"again\n"

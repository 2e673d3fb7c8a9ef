"""Single header lines: what is remembered, what is not, and what is left to h11."""

from __future__ import annotations

import pytest

from gossipmesh.proxy.http1 import lines


def test_a_line_is_remembered_by_its_bytes() -> None:
    line = b"X-Remembered: \t yes \r"
    assert lines.learn_received(line) == ((b"X-Remembered", b"yes"), lines.FREE)
    assert lines.received[line] == ((b"X-Remembered", b"yes"), lines.FREE)
    pair = (b"X-Remembered", b"yes")
    assert lines.learn_written(pair) == (b"X-Remembered: yes\r\n", lines.FREE)
    assert lines.written[pair] == (b"X-Remembered: yes\r\n", lines.FREE)


@pytest.mark.parametrize(
    "line",
    [b"cookie: secret\r", b"Authorization: secret\r", b"x-request-id: 1\r", b"A: " + b"b" * 200 + b"\r"],
)
def test_secrets_ids_and_long_lines_are_not_remembered(line: bytes) -> None:
    name, _, value = line[:-1].partition(b": ")
    assert lines.learn_received(line) == ((name, value), lines.FREE)
    assert lines.learn_written((name, value)) == (line + b"\n", lines.FREE)
    assert line not in lines.received
    assert (name, value) not in lines.written


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"HOST: a\r", lines.HOST),
        (b"content-length: 5\r", lines.LENGTH),
        (b"Connection: x , Close\r", lines.CLOSE),
        (b"Connection: closed\r", lines.OPEN),
    ],
)
def test_what_frames_or_routes_has_a_kind(line: bytes, kind: int) -> None:
    learnt = lines.learn_received(line)
    assert learnt is not None
    assert learnt[1] == kind


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked\r",
        b"Expect: 100-continue\r",
        b"Upgrade: x\r",
        b"Content_Length: 5\r",
        b"Content-Length: 5, 5\r",
        b"Content-Length: +5\r",
        b"Content-Length: \r",
        b"Content-Length: " + b"1" * 21 + b"\r",
        b"A : b\r",
        b"A: b",
        b"A: \xe9\r",
        b"A: b\tc\r",
        b"A: b\rc\r",
        b" A: b\r",
        b"A\r",
        b"\r",
        b"",
    ],
)
def test_what_needs_more_thought_is_left_to_h11(line: bytes) -> None:
    assert lines.learn_received(line) is None
    assert line not in lines.received
    name, _, value = line.removesuffix(b"\r").partition(b": ")
    if line.endswith(b"\r") and line != b"A\r":
        assert lines.learn_written((name, value)) is None


def test_no_more_than_so_many_lines_are_remembered() -> None:
    for number in range(2 * lines.MAX_LINES):
        lines.learn_received(b"X-%d: %d\r" % (number, number))
        lines.learn_written((b"X-%d" % number, b"%d" % number))
    assert len(lines.received) <= lines.MAX_LINES
    assert len(lines.written) <= lines.MAX_LINES
    assert len(lines.changing) <= lines.MAX_LINES

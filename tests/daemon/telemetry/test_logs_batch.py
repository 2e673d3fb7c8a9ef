"""Lines that are written together."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from gossipmesh.daemon.telemetry.logs import MAX_HELD, MAX_LINE, Batch


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(writer, "w", encoding="ascii") as stream:
        yield reader, stream
    os.close(reader)


def read(reader: int) -> bytes:
    found = b""
    while True:
        try:
            part = os.read(reader, 1 << 20)
        except BlockingIOError:
            return found
        if not part:
            return found
        found += part


def numbered(number: int, size: int = 200) -> str:
    return f"{number:08d} ".ljust(size, "x") + "\n"


def test_lines_wait_until_they_are_flushed_and_keep_their_order(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    batch = Batch(stream)
    lines = [numbered(number) for number in range(100)]
    for line in lines:
        batch.add(line)
    assert batch.waiting
    assert read(reader) == b""
    batch.flush()
    assert not batch.waiting
    assert read(reader) == "".join(lines).encode()


def test_what_is_held_is_bounded_and_written_once_it_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with path.open("w", encoding="ascii") as stream:
        batch = Batch(stream)
        lines = [numbered(number) for number in range(1_000)]
        for line in lines:
            batch.add(line)
        assert len("".join(lines)) - path.stat().st_size <= MAX_HELD
        batch.flush()
        assert path.read_text("ascii") == "".join(lines)
        assert batch.lost == 0


def test_a_stalled_reader_holds_nobody_up_and_what_it_misses_is_whole_lines_counted(
    pipe: tuple[int, TextIO],
) -> None:
    reader, stream = pipe
    batch = Batch(stream)
    count = 2_000
    for number in range(count):
        batch.add(numbered(number))
        batch.flush()
    assert batch.lost > 0
    found = b""
    while batch.waiting:
        found += read(reader)
        batch.flush()
    found += read(reader)
    lines = found.decode().splitlines(keepends=True)
    assert lines == [numbered(number) for number in range(len(lines))]
    assert len(lines) + batch.lost == count
    batch.add(numbered(count))
    batch.flush()
    assert read(reader).decode() == numbered(count)


def test_a_line_that_is_too_long_is_cut_and_keeps_its_end(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    batch = Batch(stream)
    batch.add(numbered(1, 3 * MAX_LINE))
    batch.add(numbered(2))
    batch.flush()
    first, second = read(reader).decode().splitlines(keepends=True)
    assert (len(first), second) == (MAX_LINE, numbered(2))


def test_when_the_reader_is_gone_all_lines_are_lost_and_counted() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="ascii") as stream:
        batch = Batch(stream)
        os.close(reader)
        for number in range(3):
            batch.add(numbered(number))
        batch.flush()
        batch.add(numbered(3))
        batch.flush()
        assert batch.lost == 4
        assert not batch.waiting


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    with open("/dev/full", "w", encoding="ascii") as stream:
        batch = Batch(stream)
        for number in range(2 * MAX_HELD // 200):
            batch.add(numbered(number))
        assert 0 < batch.lost < 2 * MAX_HELD // 200
        assert batch.waiting


def test_a_stream_in_memory_takes_lines_and_one_that_was_closed_or_none_loses_them() -> None:
    stream = io.StringIO()
    batch = Batch(stream)
    batch.add("a\n")
    batch.flush()
    assert stream.getvalue() == "a\n"
    stream.close()
    for lost in (batch, Batch(stream), Batch(None)):
        lost.add("b\n")
        lost.flush()
        assert lost.lost == 1

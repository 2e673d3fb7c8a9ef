"""What a daemon writes: its events to stderr, and one line per request to stdout.

Law: one event is one line, whatever is in it (control, bidi and other non-ASCII characters are escaped), and a value
whose name says that it is a secret is never written.
"""

from __future__ import annotations

import json
import os
import re
import select
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol, TextIO

from gossipmesh.config.model import LogConfig
from gossipmesh.daemon.telemetry.access_lines import JsonLines, cut, fields_of, has_failed, iso
from gossipmesh.proxy.access import RequestReport

HIDDEN: Final = "(hidden)"
MAX_LINE: Final = select.PIPE_BUF - 1
"""Characters of a line, ASCII all, so that it and its end go into a pipe at once."""
MAX_HELD: Final = 65_536
"""Characters of access lines that wait to be written; one more, and they are written at once, or it is lost."""
_SECRET: Final = re.compile(r"token(?!_ids?$|_file$)|seed|secret|private|password", re.IGNORECASE)
_TOKEN: Final = re.compile(r"gmt1\.[A-Za-z0-9_-]+")
_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+")


class _Render(Protocol):
    def __call__(self, shown: Mapping[str, object]) -> str: ...


def render_json(shown: Mapping[str, object]) -> str:
    """Give one line of JSON, ASCII only: what is not is escaped."""
    return json.dumps(shown, default=str, separators=(",", ":"))


def render_text(shown: Mapping[str, object]) -> str:
    """Give one line of ``key=value``, each value quoted and escaped as JSON where it is not plain."""
    return " ".join(f"{name}={_plain(value)}" for name, value in shown.items())


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


RENDERERS: Final[dict[str, _Render]] = {"json": render_json, "text": render_text}


class Sink:
    """A text stream that may fail: a full disk costs lines, a closed pipe or no stream at all costs the log.

    Nothing costs the daemon: requests are worth more than their log.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if there is still somebody to write to and there is room: a stalled reader loses lines."""
        if self._stream is not None and self._has_room():
            # What is longer could fill a pipe in the middle of a line; no line is, unless somebody means it to be.
            line = text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + text[-1]
            self._attempt(lambda stream: stream.write(line))

    def flush(self) -> None:
        """Pass on what was written."""
        if self._stream is not None:
            self._attempt(lambda stream: stream.flush())

    def _has_room(self) -> bool:
        """Tell whether ``PIPE_BUF`` bytes can be written without waiting; a file always has room."""
        assert self._stream is not None
        try:
            return bool(select.select([], [self._stream.fileno()], [], 0)[1])
        except (OSError, ValueError):
            # There is no descriptor, or none that can be waited for; a closed one is found out by writing.
            return True

    def _attempt(self, act: Callable[[TextIO], object]) -> None:
        assert self._stream is not None
        try:
            act(self._stream)
        except (BrokenPipeError, ValueError):
            self._stream = None  # The reader is gone, or the stream was closed: neither comes back.
        except OSError:
            pass  # A full disk may have room again for the next line.


class Log:
    """The daemon's events, by level and name: ``log.info("joined", seed="10.0.0.1:7946")``.

    A few lines of our own, since structlog imports rich: 16 MiB and 70 ms of every daemon.

    Args:
        render: makes one line of the fields of an event.
        sink: takes the lines.
    """

    def __init__(self, render: _Render, sink: Sink) -> None:
        self._render = render
        self._sink = sink
        self.warned: Callable[[str, str], None] = lambda _event, _detail: None
        """Is told of warnings and errors too, without what is secret in them."""

    def configure(self, config: LogConfig) -> None:
        """Write lines of this configuration's format from now on."""
        self._render = RENDERERS[config.format]

    def info(self, event: str, **fields: object) -> None:
        """Note what belongs to a daemon's life."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Note what somebody should look at."""
        self._write("warning", event, fields)
        self._tell(event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Note what must not happen."""
        self._write("error", event, fields)
        self._tell(event, fields)

    def _tell(self, event: str, fields: Mapping[str, object]) -> None:
        self.warned(_TOKEN.sub(HIDDEN, event), str(_without_secrets(fields).get("detail", "")))

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        head = {
            "time": iso(datetime.now(UTC).timestamp()),
            "level": level,
            "event": _TOKEN.sub(HIDDEN, event),
        }
        self._sink.write(self._render(head | _without_secrets(fields)) + "\n")
        self._sink.flush()


def event_log(config: LogConfig, stream: TextIO | None) -> Log:
    """Give the log of the daemon's events."""
    return Log(RENDERERS[config.format], Sink(stream))


class Batch:
    """Whole lines that are written together, in order, and never waited for: what cannot be written is kept.

    A pipe or terminal gets at most ``PIPE_BUF`` bytes at a time and only while it has room for them, so that a stalled
    reader holds nobody up; what does not fit into ``MAX_HELD`` any more is lost, and counted.

    Error handling: a full disk costs lines; a reader that is gone, or no stream at all, costs all of them.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.lost = 0
        """Lines that were not written and never will be."""
        self._stream = stream
        self._lines: list[str] = []
        self._held = 0
        self._rest = b""
        self._room: select.poll | None = None
        try:
            self._descriptor = -1 if stream is None else stream.fileno()
            if self._descriptor >= 0 and not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                self._room = select.poll()
                self._room.register(self._descriptor, select.POLLOUT)
        except (OSError, ValueError):
            self._descriptor = -1  # A stream in memory, or one that was closed, which writing to it shows.

    @property
    def waiting(self) -> bool:
        """Whether there is something that :meth:`flush` could write."""
        return self._held > 0

    def add(self, line: str) -> None:
        """Take a line with its end, ASCII all."""
        if len(line) > MAX_LINE:
            line = line[: MAX_LINE - 1] + line[-1]
        if self._held + len(line) > MAX_HELD:
            self.flush()
        if self._stream is None or self._held + len(line) > MAX_HELD:
            self.lost += 1
            return
        self._lines.append(line)
        self._held += len(line)

    def flush(self) -> None:
        """Write what there is room for."""
        if not self._held or self._stream is None:
            return
        text = "".join(self._lines)
        try:
            if self._descriptor < 0:
                self._stream.write(text)
                self._stream.flush()
                self._take(b"")
            else:
                self._take(self._rest + text.encode("ascii"))
                while self._rest and (self._room is None or self._room.poll(0)):
                    self._take(self._rest[os.write(self._descriptor, self._next()) :])
        except (BrokenPipeError, ValueError):
            # The reader is gone, or the stream was closed: neither comes back.
            self.lost += len(self._lines) + self._rest.count(b"\n")
            self._stream = None
            self._take(b"")
        except OSError:
            pass  # A full disk may have room again later.

    def _take(self, rest: bytes) -> None:
        self._lines.clear()
        self._rest = rest
        self._held = len(rest)

    def _next(self) -> bytes:
        if self._room is None:
            return self._rest
        return self._rest[: self._rest.rfind(b"\n", 0, select.PIPE_BUF) + 1]


class AccessLog:
    """The access log: all requests, those that failed, or none.

    Lines are collected: call :meth:`flush` when there is nothing else to do, and not seldom (each 100 ms, say).
    Once nobody reads it any more (a closed pipe), it falls silent: requests are worth more than their log.
    """

    def __init__(self, config: LogConfig, stream: TextIO | None) -> None:
        self._batch: Final = Batch(stream)
        self.configure(config)

    def configure(self, config: LogConfig) -> None:
        """Write what this configuration wants, in its format, from now on."""
        self._which = config.access
        self._render = RENDERERS[config.format]
        self._json = JsonLines() if config.format == "json" else None

    def wants(self, code: int, flag: str) -> bool:
        """Tell whether a request with this status and flag is written at all."""
        return self._which == "all" or (self._which == "errors" and has_failed(code, flag))

    def add(self, report: RequestReport, *, wall: float) -> None:
        """Take one request's line, if the configuration wants it; ``wall`` is its end in unix seconds."""
        if not self.wants(report.code, report.flag):
            return
        if self._json is not None:
            self._batch.add(self._json(report, wall))
        else:
            self._batch.add(self._render(fields_of(report, wall)) + "\n")

    @property
    def waiting(self) -> bool:
        """Whether there are lines that were not written yet."""
        return self._batch.waiting

    @property
    def lost(self) -> int:
        """How many lines were lost because nobody took them."""
        return self._batch.lost

    def flush(self) -> None:
        """Write what was collected, as far as there is room for it."""
        self._batch.flush()


def _cut(value: object) -> object:
    return cut(value) if isinstance(value, str) else value


def _without_secrets(fields: Mapping[str, object]) -> dict[str, object]:
    """Hide values by their name, and join tokens wherever they are."""
    shown: dict[str, object] = {}
    for name, value in fields.items():
        if _SECRET.search(name):
            shown[name] = HIDDEN
            continue
        # Bytes are ids and hashes; as hex they can be looked up.
        text = value.hex() if isinstance(value, bytes) else value
        shown[name] = _cut(_TOKEN.sub(HIDDEN, text) if isinstance(text, str) else text)
    return shown

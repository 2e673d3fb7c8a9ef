"""What a daemon writes: its events to stderr, and one line per request to stdout.

Law: one event is one line, whatever is in it (control, bidi and other non-ASCII characters are escaped), and a value
whose name says that it is a secret is never written.
"""

from __future__ import annotations

import json
import logging
import re
import select
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO, cast

import structlog
from attrs import fields, frozen

from gossipmesh.config.model import LogConfig

HIDDEN: Final = "(hidden)"
MAX_VALUE: Final = 2_048
"""Characters of one value; more is cut, so that a caller cannot write a log full of one path."""
MAX_LINE: Final = select.PIPE_BUF - 1
"""Characters of a line, ASCII all, so that it and its end go into a pipe at once."""
FAILED: Final = 500
_SECRET: Final = re.compile(r"token(?!_ids?$|_file$)|seed|secret|private|password", re.IGNORECASE)
_TOKEN: Final = re.compile(r"gmt1\.[A-Za-z0-9_-]+")
_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+")

Log = structlog.typing.FilteringBoundLogger


@frozen
class AccessEntry:
    """One request, as the access log has it; the fields' names are those of the log.

    ``time`` is unix seconds, ``path`` is without its query, ``code`` 0 where the caller went away before there was
    one, ``endpoint`` the name of the node that served it.
    """

    time: float
    request_id: str
    trace_id: str
    direction: str
    source: str
    service: str
    method: str
    path: str
    code: int
    flag: str
    bytes_in: int
    bytes_out: int
    duration_ms: float
    attempts: int
    endpoint: str

    @property
    def failed(self) -> bool:
        """Whether it is written where only failures are: the mesh or the service could not answer."""
        return bool(self.flag) or self.code >= FAILED or self.code == 0


_ACCESS_FIELDS: Final = tuple(attribute.name for attribute in fields(AccessEntry))


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


class ExhaustionHandler(logging.Handler):
    """Takes what trio's listeners log when no file descriptor is left: ten times a second, with a traceback each.

    Args:
        tell: is called with every one of them, and may count.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, _: logging.LogRecord) -> None:
        """Count it."""
        self._tell()


def event_log(config: LogConfig, stream: TextIO | None) -> Log:
    """Give the log of the daemon's events: ``log.info("joined", seed="10.0.0.1:7946")``.

    It is a value of its own: structlog's process-wide configuration stays as it was.
    """
    render = RENDERERS[config.format]

    def rendered(_: Any, level: str, event: MutableMapping[str, Any]) -> str:
        head = {"time": _iso(datetime.now(UTC).timestamp()), "level": level, "event": event.pop("event")}
        return render(head | dict(event))

    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(cast(TextIO, Sink(stream))),
        processors=[_without_secrets, structlog.processors.format_exc_info, rendered],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return log


class AccessLog:
    """The access log: all requests, those that failed, or none.

    Once nobody reads it any more (a closed pipe), it falls silent: requests are worth more than their log.
    """

    def __init__(self, config: LogConfig, stream: TextIO | None) -> None:
        self._which: Final = config.access
        self._render: Final = RENDERERS[config.format]
        self._sink = Sink(stream)

    def write(self, entry: AccessEntry) -> None:
        """Write one request's line, if the configuration wants it."""
        if self._which == "off" or (self._which == "errors" and not entry.failed):
            return
        shown: dict[str, object] = {name: _cut(getattr(entry, name)) for name in _ACCESS_FIELDS}
        shown |= {"time": _iso(entry.time), "duration_ms": round(entry.duration_ms, 3)}
        self._sink.write(self._render(shown) + "\n")
        self._sink.flush()


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > MAX_VALUE:
        return value[:MAX_VALUE] + "..."
    return value


def _without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values by their name, and join tokens wherever they are."""
    for name, value in event.items():
        if name != "event" and _SECRET.search(name):
            event[name] = HIDDEN
            continue
        # Bytes are ids and hashes; as hex they can be looked up.
        shown = value.hex() if isinstance(value, bytes) else value
        event[name] = _cut(_TOKEN.sub(HIDDEN, shown) if isinstance(shown, str) else shown)
    return event

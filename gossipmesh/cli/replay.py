"""``gossipmesh sim --replay TRACE``: what a daemon's recording shows, and whether it happens again."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossipmesh.cli.render import put, show_pairs, show_table, span
from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.membership.trace import MAX_TRACE
from gossipmesh.model import short_id

if TYPE_CHECKING:
    from gossipmesh.sim.replay import Replay

SAME: Final = 0
DIFFERENT: Final = 1


def replay(path: Path, as_json: bool) -> int:
    """Run a trace again, print what it shows, and give the exit status.

    Returns:
        0 where every call gave what it gave in the daemon, 1 where one did not or a law was broken.

    Raises:
        ConfigError: ``trace.read``, ``trace.malformed`` or ``trace.release``, for what cannot be replayed.
    """
    from gossipmesh.sim.replay import replay_untrusted

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_TRACE + 1)
    except OSError as error:
        raise ConfigError("trace.read", f"{path} cannot be read: {error.strerror}") from None
    try:
        done = replay_untrusted(raw)
    except RemoteProtocolError as error:
        text = f"{path} is no trace that this release can replay: {error}"
        raise ConfigError(error.code, text) from None
    if as_json:
        put(json.dumps(_document(done)))
    else:
        _show(done)
    return SAME if done.same else DIFFERENT


def _document(done: Replay) -> dict[str, object]:
    return {
        "node": done.own.hex(),
        "name": done.name,
        "release": done.trace.release,
        "calls": done.calls,
        "seconds": round(done.seconds, 6),
        "began": round(done.began, 3),
        "same": done.same,
        "difference": done.difference,
        "broken": done.broken,
        "timeline": [
            {
                "at_s": round(each.at_s, 6),
                "wall": round(each.wall, 3),
                "call": each.call,
                "kind": each.kind,
                "node": each.node.hex(),
                "name": each.name,
                "what": each.what,
            }
            for each in done.timeline
        ],
    }


def _show(done: Replay) -> None:
    show_pairs(
        [
            ("node", f"{done.name} ({short_id(done.own)}), release {done.trace.release}"),
            ("recorded", f"{span(done.seconds)} from {_time(done.began)}, {done.calls} calls"),
            ("outputs", done.difference or "the same as recorded"),
            ("laws", done.broken or "all kept"),
        ]
    )
    if done.timeline:
        put("")
        rows = [
            (f"{each.at_s:.3f}", _time(each.wall), str(each.call), each.name, each.what)
            for each in done.timeline
        ]
        show_table(("SECONDS", "TIME", "CALL", "MEMBER", "WHAT HAPPENED"), rows)


def _time(wall: float) -> str:
    try:
        return datetime.fromtimestamp(wall).astimezone().isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{wall:g}"

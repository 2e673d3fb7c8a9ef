"""The last boundary of a connection: what nobody expected there ends that connection, and never the daemon.

The other parts of a daemon end it with a bug, for what they hold may be wrong from then on. A connection to the admin
API holds nothing but its own state, and anybody on this host can make one: a bug that a client finds must not be a way
to take the node down.

Law: what a connection raises is either its end (its client went), of which nothing is said, or a bug. A bug is counted
by where it happened, and told in one line when that count is 1, 2, 4, 8 and so on: whoever can cause it at will fills
no log. Cancellation, and whatever else is no Exception, goes on.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import trio

import gossipmesh

MAX_KINDS: Final = 16
"""Different bugs that are counted apart; all others are one."""
MAX_TOLD: Final = 200
"""Characters of what an error says."""
MAX_FRAMES: Final = 3
OTHERS: Final = "others"
GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
_OURS: Final = str(Path(gossipmesh.__file__).parent)


def tell_python(text: str) -> None:
    """Tell the root of Python's own logging, which writes to stderr where nobody set it up."""
    logging.getLogger("gossipmesh.admin").error("daemon.bug %s", text)


class Bugs:
    """Counts what should not have happened, and tells of it in a bounded number of lines.

    Args:
        tell: takes one line, ASCII only.
    """

    def __init__(self, tell: Callable[[str], None] = tell_python) -> None:
        self._tell = tell
        self._counts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts.values())

    def note(self, error: Exception) -> None:
        """Count ``error``, and tell of it if it is time to."""
        frames = [each for each in traceback.extract_tb(error.__traceback__) if _OURS in each.filename]
        way = " < ".join(
            f"{Path(each.filename).name}:{each.lineno}" for each in frames[: -MAX_FRAMES - 1 : -1]
        )
        kind = f"{type(error).__name__} at {way or 'an unknown place'}"
        key = kind if kind in self._counts or len(self._counts) < MAX_KINDS else OTHERS
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count & (count - 1) == 0:
            said = ascii(str(error))[:MAX_TOLD]
            self._tell(
                f"a connection to the admin API met a bug and was closed: {kind}: {said} ({count} so far)"
            )


class Boundary:
    """Run one connection inside of this: no Exception of it gets out."""

    def __init__(self, bugs: Bugs) -> None:
        self._bugs = bugs

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Take what is an Exception, a group's too; what is not, such as cancellation, goes on."""
        rest: BaseException | None = error
        taken: Exception | None = None
        if isinstance(error, BaseExceptionGroup):
            taken, rest = error.split(Exception)
        elif isinstance(error, Exception):
            taken, rest = error, None
        if taken is None:
            return False
        self._note_all(taken)
        if rest is not None:
            raise rest
        return True

    def _note_all(self, error: Exception) -> None:
        left = [error]
        while left:
            each = left.pop()
            if isinstance(each, ExceptionGroup):
                left.extend(each.exceptions)
            elif not isinstance(each, GONE):
                self._bugs.note(each)

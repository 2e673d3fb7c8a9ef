"""What the demo prints: numbered steps, commands and what they gave."""

from __future__ import annotations

import os
import sys
import time


class Screen:
    """Numbered steps with the time since the start; colour on a terminal unless NO_COLOR is set."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._step = 0
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def _paint(self, code: int, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._step += 1
        print(
            f"\n{self._paint(36, f'{self._step}.')} {self._paint(1, text)}  [{self.elapsed_s:.1f} s]",
            flush=True,
        )

    def command(self, text: str) -> None:
        """Show a command as a user would type it."""
        print(self._paint(2, f"   $ {text}"), flush=True)

    def show(self, text: str) -> None:
        """Show what a command printed, or a remark."""
        for line in text.rstrip().splitlines():
            print(f"   {line}", flush=True)

    def good(self, text: str) -> None:
        """Show what was to be shown."""
        print(f"   {self._paint(32, 'ok')} {text}", flush=True)

    def bad(self, text: str) -> None:
        """Say on standard error what went wrong."""
        print(f"\n{self._paint(31, 'failed')}: {text}", file=sys.stderr, flush=True)

"""The demo is the first thing that a user runs: it must do what it says, say so, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from harness import environment

DEMO: Final = Path(__file__).parents[2] / "examples" / "local" / "demo.py"
WITHIN_S: Final = 55.0


def processes_with(variable: str) -> list[str]:
    """Give the ids of all processes that inherited an environment variable, written ``NAME=VALUE``."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if variable.encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append(place.name)
    return found


def test_the_demo_shows_a_mesh_that_loses_a_node_and_no_request() -> None:
    with tempfile.TemporaryDirectory(prefix="gm") as temporary:
        done = subprocess.run(
            [sys.executable, str(DEMO)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            env=environment() | {"TMPDIR": temporary},
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert "all were answered" in done.stdout
        assert "show hello-2 as dead" in done.stdout
        assert "\x1b" not in done.stdout
        assert os.listdir(temporary) == []
        assert processes_with(f"TMPDIR={temporary}") == []

"""The release before this one, out of the repository's history, for daemons that run it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
COMMITS: Final = (
    "15e6b8617aa98b18b7b24de729b76fc381b14adb",
    "778055a91d0365b13d98a5a25abca4453f151433",
)
"""The last of 0.1.0, and the one before it, which spoke alike; the first that the history has is taken."""


def old_release(place: Path) -> Path:
    """Put the package as release 0.1.0 had it below ``place``, and give what goes into PYTHONPATH for it.

    Its dependencies are among ours. Skips the test where the history is not here, as in a shallow clone; under
    continuous integration (the variable CI is set) that fails it.
    """
    for commit in COMMITS:
        packed = _git("archive", commit, "gossipmesh")
        if packed is not None:
            subprocess.run(["tar", "-x", "-C", str(place)], input=packed, check=True)
            return place
    why = "this clone's history does not reach back to release 0.1.0: git fetch --unshallow"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def _git(*arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None

"""What the Makefile runs in this folder can be run: a renamed function shows here, and no figure is judged."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from harness import PATIENCE_S, environment

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = re.findall(r"/python tests/bench/(\w+\.py) ", (ROOT / "Makefile").read_text())
LOAD: Final = "16 B, varied, 1 connection"


def started(program: str, *arguments: str, within: Path) -> subprocess.Popen[str]:
    """Start a program as make does, but where no other proxy and no wrk is found, on whatever machine this is."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "bench" / program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=within,
        env=environment() | {"PATH": ""},
    )


def said(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a program, which must be a good one, and give what it said."""
    with process:
        try:
            text, _ = process.communicate(timeout=2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # It ends what it started.
            raise
    assert process.returncode == 0, f"{process.args!r}: {text}"
    return text


def test_each_program_that_measures_says_what_it_can_be_told(tmp_path: Path) -> None:
    assert "forwarding.py" in PROGRAMS
    # All at once: each is little but imports.
    for process in [started(program, "--help", within=tmp_path) for program in PROGRAMS]:
        assert "--json" in said(process)


def test_the_shortest_measurement_of_forwarding_gives_figures(tmp_path: Path) -> None:
    shortest = ["--rounds", "1", "--seconds", "0.2", "--only", LOAD, "--contenders", "gossipmesh"]
    assert LOAD in said(started("forwarding.py", *shortest, within=tmp_path))
    document = json.loads((tmp_path / "forwarding.json").read_text())
    assert [each for each in document["remarks"] if each.startswith("failed")] == []
    (sample,) = document["loads"][LOAD]["contenders"]["gossipmesh"]["samples"]
    assert sample.keys() >= {"cpu_us", "per_s", "p50_ms", "p99_ms", "rss_mib"}
    assert sample["failed"] == 0

"""The systemd unit gives the daemon nothing that it does not need, and systemd reads it as we do."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from gossipmesh.cli.up import up

UNIT: Final = Path(__file__).parents[1] / "packaging" / "gossipmesh.service"
WORST_EXPOSURE: Final = 1.5
"""Of ten, as `systemd-analyze security` counts; nginx as packaged has 9.6."""


def settings() -> dict[str, list[str]]:
    """Give the values of each key, in order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, equals, value = line.partition("=")
            assert equals, line
            found[key].append(value)
    return found


def test_the_unit_takes_every_privilege_away() -> None:
    said = settings()
    switches = [
        "DynamicUser",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "NoNewPrivileges",
        "PrivateDevices",
        "PrivateTmp",
        "PrivateUsers",
        "ProtectHome",
        "RestrictNamespaces",
        "RestrictSUIDSGID",
    ]
    assert {key: said[key] for key in switches} == {key: ["yes"] for key in switches}
    assert said["CapabilityBoundingSet"] == said["AmbientCapabilities"] == [""]
    assert said["ProtectSystem"] == ["strict"]
    assert said["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
    assert said["SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert said["LimitCORE"] == ["0"]
    assert (said["StateDirectory"], said["StateDirectoryMode"]) == (["gossipmesh"], ["0700"])
    assert (said["UMask"], said["User"]) == (["0077"], [])
    # The daemon tells systemd nothing, so Type=notify would wait for ever.
    assert said["Type"] == ["exec"]


def test_the_unit_starts_the_daemon_with_flags_that_there_are() -> None:
    (start,) = settings()["ExecStart"]
    program, command, *flags = shlex.split(start)
    assert (Path(program).name, command) == ("gossipmesh", "up")
    known = CliRunner().invoke(up, ["--help"]).output
    for flag in flags[::2]:
        assert re.search(rf"{flag}\b", known), flag


def copy(tmp_path: Path) -> Path:
    """Give the unit with a program that is there."""
    path = tmp_path / UNIT.name
    path.write_text(
        UNIT.read_text("utf-8").replace("/usr/bin/gossipmesh", shutil.which("true") or "/bin/true")
    )
    return path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_reads_the_unit_and_counts_little_exposure(tmp_path: Path) -> None:
    path = copy(tmp_path)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert UNIT.name not in verified.stderr, verified.stderr
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    if exposure is None:
        pytest.skip("this systemd-analyze does not judge units offline")
    assert float(exposure[1]) <= WORST_EXPOSURE

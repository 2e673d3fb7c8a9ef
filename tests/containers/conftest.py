"""Real containers: ``make test-containers`` runs these. The plain test run does not look at them; see :mod:`lab`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from harness import said

if not os.environ.get(lab.ASKED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def images() -> lab.Images:
    """The images, built from this working tree; without what it takes, everything is skipped, or fails in CI."""
    if (missing := lab.what_is_missing()) is not None:
        if os.environ.get(lab.REQUIRED):
            pytest.fail(f"no containers here: {missing}")
        pytest.skip(f"no containers here: {missing}")
    return lab.build_images()


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    return said("init", str(tmp_path_factory.mktemp("root") / "mesh"))


@pytest.fixture
def host(images: lab.Images, tmp_path: Path) -> Iterator[lab.Host]:
    """A network namespace with podman in it; all that was made there ends with the test."""
    with lab.Host(tmp_path) as host:
        yield host


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if lab.FIGURES:
        terminalreporter.section("measured in containers")
        terminalreporter.write_line(json.dumps(lab.FIGURES, indent=1))

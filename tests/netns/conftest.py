"""Hosts as network namespaces: ``make test-netns`` runs these. The plain test run does not look at them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import hosts
from harness import Mesh, said

if not os.environ.get(hosts.ASKED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    return said("init", str(tmp_path_factory.mktemp("root") / "mesh"))


@pytest.fixture(scope="module")
def running(token: str) -> Iterator[hosts.Five]:
    """Five hosts on one bridge, with a daemon on each."""
    if (missing := hosts.what_is_missing()) is not None:
        if os.environ.get(hosts.REQUIRED):
            pytest.fail(f"no hosts here: {missing}")
        pytest.skip(f"no hosts here: {missing}")
    mesh = Mesh(token)
    try:
        with hosts.Five(mesh) as five:
            yield five
    finally:
        mesh.show_logs()
        mesh.close()


@pytest.fixture
def five(running: hosts.Five) -> Iterator[hosts.Five]:
    """The same for one test: all of them see all, and what the test broke is whole again afterwards."""
    running.all_alive()
    yield running
    running.heal()

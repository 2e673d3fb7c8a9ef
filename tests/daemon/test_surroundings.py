"""A daemon fits itself to its surroundings, and nothing about them ends it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from attrs import evolve

from gossipmesh.config.load import load
from gossipmesh.daemon.surroundings import FILES_KEPT, hung_up, quietly, terminals, within_file_limit


def test_whoever_started_us_may_be_gone() -> None:
    said: list[str] = []

    def gone(text: str) -> None:
        said.append(text)
        raise BrokenPipeError

    quietly(gone)("hello")
    assert said == ["hello"]


def test_connections_stay_below_the_files_that_may_be_open() -> None:
    loaded = load(None, {}, {}, host_name="host", root=False)
    proxy = loaded.config.proxy
    greedy = evolve(proxy, limits=evolve(proxy.limits, connections=10**9))
    fitted = within_file_limit(evolve(loaded, config=evolve(loaded.config, proxy=greedy)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    connections = fitted.config.proxy.limits.connections
    assert hard == resource.RLIM_INFINITY or connections <= max(hard - FILES_KEPT, hard // 2)
    modest = evolve(proxy, limits=evolve(proxy.limits, connections=3))
    kept = within_file_limit(evolve(loaded, config=evolve(loaded.config, proxy=modest)))
    assert kept.config.proxy.limits.connections == 3


def test_a_terminal_that_is_closed_is_told_from_what_never_was_one() -> None:
    ours, theirs = os.openpty()
    reader, writer = os.pipe()
    assert not hung_up(())
    assert not hung_up((theirs,))
    assert hung_up((reader,))
    os.close(ours)
    assert hung_up((theirs,))
    for each in (theirs, reader, writer):
        os.close(each)
    assert set(terminals()) <= {0, 1, 2}


CORE_LIMIT = """
import resource
from gossipmesh.daemon.surroundings import leave_no_core
leave_no_core()
leave_no_core()
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


FAULTS = """
import resource
from gossipmesh.daemon.surroundings import keep_freed_memory
if {kept}:
    keep_freed_memory()
for _ in range(100):
    del (buffers := [bytes(100_000) for _ in range(20)])[:]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_memory_that_was_freed_is_not_asked_of_the_system_again() -> None:
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True, check=True
            ).stdout
        )
        for kept in (True, False)
    )
    assert given_back > kept + 10_000


def test_a_daemon_that_crashes_leaves_no_core_that_holds_its_keys() -> None:
    said = subprocess.run([sys.executable, "-c", CORE_LIMIT], capture_output=True, text=True, check=True)
    # Where the limit was none at all already, it cannot be raised to the one that also keeps pipes away.
    assert said.stdout.strip() in ("(1, 1)", "(0, 0)")

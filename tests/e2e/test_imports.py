"""What a daemon loads, it keeps: on each host, for as long as it runs. So what it has no use for stays out."""

from __future__ import annotations

import re
from typing import Final

from gossipmesh.crypto import HAS_AES
from harness import Mesh

HEAVY: Final = frozenset(
    {
        "asyncio",
        "doctest",
        "gossipmesh.daemon.checkup.gathering",
        "gossipmesh.sim",
        "multiprocessing",
        "pdb",
        "rich",
        "statistics",
        "unittest",
        "xml",
    }
)
"""Half a MiB and more each, or with what they bring; some of it is loaded when somebody asks for what needs it."""


def test_a_daemon_that_is_asked_nothing_loads_nothing_heavy_that_it_has_no_use_for(mesh: Mesh) -> None:
    timed = {"PYTHONPROFILEIMPORTTIME": "1"}  # Each module that is loaded is named on standard error.
    first = mesh.node("first", services={"hello": 80}, variables=timed).start().ready()
    second = mesh.node("second", join=first, variables=timed).start().ready()
    for node in (first, second):
        loaded = set(re.findall(r"^import time: .*\| +(\S+)$", node.log(), re.MULTILINE))
        assert "gossipmesh.daemon.node" in loaded
        assert loaded & HEAVY == set()
        assert not (HAS_AES and "cryptography" in loaded)

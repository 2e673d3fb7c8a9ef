"""Daemons at either end of a hostile member's channels: what it says fails requests, and nothing else."""

from __future__ import annotations

from types import ModuleType

import pytest

from hostile import storm


@pytest.mark.parametrize("seed", [2, 4, 12])
async def test_no_frames_end_a_daemon_or_leave_anything_counted(lab: ModuleType, seed: int) -> None:
    cast = await storm(lab, seed, rounds=30)
    assert cast.calls

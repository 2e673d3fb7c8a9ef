"""``gossipmesh sim --replay``: what it prints, and its exit status."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest

from gossipmesh.cli.replay import replay
from gossipmesh.daemon.telemetry.recorder import Recorder
from gossipmesh.errors import ConfigError
from gossipmesh.membership.packing import Packing
from gossipmesh.membership.recorded import CALLS, RecordedMembership
from gossipmesh.membership.trace import encode_call
from gossipmesh.sim.world import World


@pytest.fixture
def recorder() -> Recorder:
    """Of alice, whom bob has joined."""
    world, recorder = World(4, profile="local"), Recorder()
    world.add("alice", membership=partial(RecordedMembership, sink=recorder))
    world.add("bob", seeds=["alice"])
    world.run(3)
    return recorder


@pytest.fixture
def path(tmp_path: Path, recorder: Recorder) -> Path:
    path = tmp_path / "alice.trace"
    path.write_bytes(recorder.trace(now=3.0, wall=1_800_000_003.0))
    return path


def test_people_get_who_it_was_what_happened_and_the_verdict(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(path, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "node      alice (" in shown
    assert "outputs   the same as recorded" in shown
    assert "laws      all kept" in shown
    assert "unknown -> alive: joined" in shown


def test_scripts_get_one_document(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(path, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "alice"
    assert document["same"] is True
    assert (document["difference"], document["broken"]) == ("", "")
    assert document["timeline"][0]["kind"] == "state"
    assert document["timeline"][0]["name"] == "bob"
    assert document["timeline"][0]["wall"] == pytest.approx(
        1_800_000_000 + document["timeline"][0]["at_s"], abs=1
    )


def test_a_difference_is_exit_status_1(
    path: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.add(encode_call(Packing(), CALLS.index("note_mesh_size"), (3,), {"now": 4.0}, 1))
    path.write_bytes(recorder.trace(now=4.0, wall=4.0))
    assert replay(path, as_json=False) == 1
    assert "(note_mesh_size), " in capsys.readouterr().out


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf], ids=str)
def test_a_trace_with_a_time_that_is_none_is_a_usage_error(
    path: Path, recorder: Recorder, moment: float
) -> None:
    path.write_bytes(recorder.trace(now=moment, wall=3.0))
    with pytest.raises(ConfigError, match="is no trace that this release can replay"):
        replay(path, as_json=False)
    recorder.add(encode_call(Packing(), CALLS.index("handle_timer"), (), {"now": moment}, 1))
    path.write_bytes(recorder.trace(now=3.0, wall=3.0))
    with pytest.raises(ConfigError, match="is no trace that this release can replay"):
        replay(path, as_json=False)


def test_what_is_no_trace_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        replay(tmp_path / "gone", as_json=False)
    (tmp_path / "text").write_bytes(b"hello")
    with pytest.raises(ConfigError, match="text is no trace that this release can replay") as caught:
        replay(tmp_path / "text", as_json=False)
    assert caught.value.code == "trace.malformed"

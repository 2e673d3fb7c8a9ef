"""What a node of a troubled mesh recorded runs again to the last output; whatever differs is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve

from gossipmesh.daemon.telemetry.recorder import Recorder
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.parameters import PROFILES, Parameters
from gossipmesh.membership.recorded import RecordedMembership
from gossipmesh.membership.trace import decode_trace_untrusted
from gossipmesh.sim.replay import replay_untrusted
from gossipmesh.sim.world import World

HOUR = 1_000_000
LOCAL = PROFILES["local"]


def troubled(
    seed: int, *, segment_bytes: int = HOUR, parameters: Parameters = LOCAL, kept: Parameters | None = None
) -> bytes:
    """Give the recording of a node that saw a join, a crash, a cut both ways and one way, a return, and a goodbye.

    With ``kept``, the machine runs with other parameters than its recording says.
    """
    world = World(seed, profile=parameters, loss=0.05)
    recorder = Recorder(segment_bytes=segment_bytes)
    world.add("alice", membership=partial(_made, recorder, kept))
    for number in range(6):
        world.add(f"n{number}", seeds=["alice"])
    world.run(10)
    world.crash("n1")
    world.run(20)
    world.cut(["alice"], ["n2"])
    world.run(20)
    world.heal()
    world.start("n1")
    world.run(10)
    world.leave("n3")
    world.stall("alice", 2.0)
    world.cut(["n2"], ["alice"], one_way=True)
    world.run(40)
    world.heal()
    world.run(10)
    return recorder.trace(now=world.now, wall=world.wall)


def _made(
    recorder: Recorder,
    kept: Parameters | None,
    parameters: Parameters,
    *args: object,
    **ports: Callable[..., object],
) -> Membership:
    made = RecordedMembership(parameters, *args, sink=recorder, **ports)  # type: ignore[arg-type]
    if kept is not None:
        made._parameters = made._beliefs._parameters = made._prober._parameters = kept
    return made


@pytest.mark.parametrize("seed", range(3))
def test_a_recording_gives_the_same_outputs_and_breaks_no_law(seed: int) -> None:
    done = replay_untrusted(troubled(seed))
    assert (done.difference, done.broken) == ("", ""), f"seed {seed}"
    assert done.same
    assert done.name == "alice"
    kinds = {each.kind for each in done.timeline}
    assert {"state", "rotation"} <= kinds, f"seed {seed}: {kinds}"
    said = [f"{each.name} {each.what}" for each in done.timeline]
    assert any(line.startswith("n1 suspect -> dead") for line in said), f"seed {seed}: {said}"
    assert any(line.startswith("n3 alive -> left") for line in said), f"seed {seed}: {said}"


@pytest.mark.parametrize("seed", range(3))
def test_a_recording_runs_from_a_keyframe_in_the_middle_and_meets_the_next_one(seed: int) -> None:
    whole, late = troubled(seed), troubled(seed, segment_bytes=40_000)
    assert len(decode_trace_untrusted(late).segments) == 2
    done, last = replay_untrusted(whole), replay_untrusted(late)
    assert (last.difference, last.broken) == ("", ""), f"seed {seed}"
    assert last.calls < done.calls
    whole_story, end = ([each.what for each in story] for story in (done.timeline, last.timeline))
    assert end, f"seed {seed}"
    assert whole_story[-len(end) :] == end, f"seed {seed}"


def test_a_changed_parameter_shows_at_the_first_call_that_gives_something_else() -> None:
    done = replay_untrusted(troubled(1, kept=evolve(LOCAL, gossip_targets=1)))
    assert not done.same
    assert done.difference.startswith("call ")
    assert "gave something else then" in done.difference


def test_a_replay_in_a_process_with_another_order_of_hashes_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "trace").write_bytes(troubled(2))
    program = (
        "import sys; from pathlib import Path; from gossipmesh.sim.replay import replay_untrusted; "
        "sys.exit(not replay_untrusted(Path(sys.argv[1]).read_bytes()).same)"
    )
    for order in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "trace")],
            env=os.environ | {"PYTHONHASHSEED": order},
            check=False,
            timeout=50,
        )
        assert done.returncode == 0, f"PYTHONHASHSEED={order}"

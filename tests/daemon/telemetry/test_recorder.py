"""The flight recorder: the last two segments, a file of them, and what is left when a bug ends the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from gossipmesh.daemon.telemetry.recorder import CRASH_TRACE, Recorder, is_bug
from gossipmesh.errors import LocalProtocolError, MeshError, RemoteProtocolError
from gossipmesh.membership.packing import Packing
from gossipmesh.membership.recorded import CALLS
from gossipmesh.membership.trace import MAGIC, MAX_ENTRIES, MAX_TRACE, decode_trace_untrusted, encode_call

ENTRY = encode_call(Packing(), CALLS.index("note_mesh_size"), (7,), {"now": 1.0}, 0)


def clocks() -> tuple[float, float]:
    return 7.0, 1_700_000_007.0


@pytest.fixture
def recorder() -> Recorder:
    """One that has recorded a call."""
    recorder = Recorder()
    recorder.begin(b"keyframe")
    recorder.add(ENTRY)
    return recorder


def test_the_last_two_segments_are_kept(recorder: Recorder) -> None:
    for keyframe in (b"second", b"third"):
        recorder.begin(keyframe)
        recorder.add(ENTRY)
        recorder.add(ENTRY)
    trace = decode_trace_untrusted(recorder.trace(now=2.0, wall=3.0))
    assert [(each.keyframe, len(each.entries)) for each in trace.segments] == [(b"second", 2), (b"third", 2)]
    assert (trace.now, trace.wall) == (2.0, 3.0)


def test_a_segment_is_full_before_it_is_too_long_for_a_file() -> None:
    recorder = Recorder()
    for _ in range(3):
        recorder.begin(b"keyframe")
        while not recorder.add(ENTRY):
            pass
    raw = recorder.trace(now=0.0, wall=0.0)
    assert 2 * 0.85 * MAX_ENTRIES < len(raw) < MAX_TRACE
    assert len(decode_trace_untrusted(raw).segments) == 2


def test_without_a_recording_there_is_a_reason(recorder: Recorder) -> None:
    with pytest.raises(MeshError, match="nothing was recorded yet"):
        Recorder().trace(now=0.0, wall=0.0)
    recorder.stop("the mesh is too large")
    with pytest.raises(MeshError, match="there is no recording: the mesh is too large"):
        recorder.trace(now=0.0, wall=0.0)


def test_what_was_stopped_takes_nothing(recorder: Recorder) -> None:
    assert not Recorder(segment_bytes=0).add(ENTRY)
    recorder.stop("the mesh is too large")
    assert not recorder.add(ENTRY)
    with pytest.raises(MeshError, match="the mesh is too large"):
        recorder.trace(now=0.0, wall=0.0)


def test_a_bug_leaves_a_file_that_its_owner_alone_may_read(recorder: Recorder, tmp_path: Path) -> None:
    path, said = tmp_path / CRASH_TRACE, list[str]()
    with pytest.raises(KeyError), recorder.kept_on_a_bug(path, clocks, said.append):
        raise KeyError("bob")
    assert path.stat().st_mode & 0o777 == 0o600
    assert decode_trace_untrusted(path.read_bytes()).now == 7.0
    assert said == [f"what led to this bug is in {path}; see: gossipmesh sim --replay {path}"]


def test_an_end_in_good_order_leaves_no_file(recorder: Recorder, tmp_path: Path) -> None:
    said = list[str]()
    with recorder.kept_on_a_bug(tmp_path / CRASH_TRACE, clocks, said.append):
        pass
    with pytest.raises(MeshError), recorder.kept_on_a_bug(tmp_path / CRASH_TRACE, clocks, said.append):
        raise MeshError("join.refused", "every seed refused this node")
    assert said == []
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_task_leaves_no_file_and_a_bug_beside_it_does(
    recorder: Recorder, tmp_path: Path
) -> None:
    said = list[str]()
    with trio.CancelScope() as scope, recorder.kept_on_a_bug(tmp_path / CRASH_TRACE, clocks, said.append):
        scope.cancel()
        await trio.sleep_forever()
    assert said == []

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("bob")

    with (
        pytest.RaisesGroup(KeyError),
        recorder.kept_on_a_bug(tmp_path / CRASH_TRACE, clocks, said.append),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(trio.sleep_forever)
    assert (tmp_path / CRASH_TRACE).read_bytes().startswith(MAGIC)


def test_a_disk_that_takes_nothing_is_one_line(recorder: Recorder, tmp_path: Path) -> None:
    said = list[str]()
    nowhere = tmp_path / "gone" / CRASH_TRACE
    with pytest.raises(KeyError), recorder.kept_on_a_bug(nowhere, clocks, said.append):
        raise KeyError("bob")
    assert said == [f"what led to this bug is lost: {nowhere} cannot be written: No such file or directory"]


def test_a_bug_without_a_recording_says_why_there_is_none(tmp_path: Path) -> None:
    said = list[str]()
    with pytest.raises(KeyError), Recorder().kept_on_a_bug(tmp_path / CRASH_TRACE, clocks, said.append):
        raise KeyError("bob")
    assert said == ["there is no recording: nothing was recorded yet"]


def test_only_our_own_fault_is_a_bug() -> None:
    assert is_bug(KeyError())
    assert is_bug(LocalProtocolError("membership.version", "it has to rise"))
    assert is_bug(BaseExceptionGroup("", [KeyboardInterrupt(), KeyError()]))
    assert not is_bug(RemoteProtocolError("gossip.malformed", "no message"))
    assert not is_bug(KeyboardInterrupt())

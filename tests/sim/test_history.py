"""The last events of a world, in words."""

from __future__ import annotations

from gossipmesh.mesh.outputs import Level, MemberChanged, Notice, RoutabilityChanged
from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.history import MAX_LINES, SHOWN, History

NODE = NodeId(bytes(32))


def test_each_event_is_a_line_with_its_time() -> None:
    history = History(3)
    history.add(0.5, "a", "starts")
    history.add(1.0, "a", MemberChanged(NODE, "b", None, MemberState.ALIVE, "joined"))
    history.add(2.0, "a", RoutabilityChanged(NODE, "b", False, "no answer"))
    history.add(3.0, "a", RoutabilityChanged(NODE, "b", True, "we reach it"))
    history.add(4.0, "a", Notice(Level.INFO, "own.clone", "text"))
    assert [line.split("s  ", 1)[1] for line in history.lines] == [
        "a: starts",
        "a: b unknown -> alive: joined",
        "a: b out of rotation: no answer",
        "a: b back in rotation: we reach it",
        "a: own.clone: text",
    ]
    assert history.lines[2].startswith("     2.000 s")


def test_only_the_last_lines_are_kept_and_fewer_are_shown() -> None:
    history = History(3)
    assert history.failure(0.0, "broken") == "seed 3, t=0.000 s: broken"
    for number in range(2 * MAX_LINES):
        history.add(float(number), "a", f"event {number}")
    assert len(history.lines) == MAX_LINES
    text = history.failure(9.0, "broken")
    assert text.startswith("seed 3, t=9.000 s: broken\nthe last events:\n")
    assert text.count("\n") == SHOWN + 1
    assert text.endswith(f"event {2 * MAX_LINES - 1}")

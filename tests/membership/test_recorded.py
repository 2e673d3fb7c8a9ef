"""The recorded machine: it does what the plain one does, and everything that may change it is on the record."""

from __future__ import annotations

import inspect
import random
from typing import TYPE_CHECKING

import pytest

from gossipmesh.errors import LocalProtocolError
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import Ping
from gossipmesh.membership.parameters import LAN
from gossipmesh.membership.recorded import CALLS, MAX_RECORDED
from gossipmesh.membership.trace import Answer, Call, digest

if TYPE_CHECKING:
    from .conftest import Scene


def test_every_call_of_the_machine_is_recorded() -> None:
    public = [name for name, _ in inspect.getmembers(Membership, inspect.isfunction) if name[0] != "_"]
    assert set(CALLS) == set(public)


def test_a_recorded_machine_gives_what_a_plain_one_gives(scene: Scene) -> None:
    plain = Membership(
        LAN,
        scene.record(0),
        rng=random.Random(1),
        root=lambda: scene.root,
        sign_accusation=lambda *subject: scene.accusation(0, *subject),
    )
    for number in (1, 2, 3):
        given = plain.learn_record(scene.record(number), now=0.0, news=True, token=b"token")
        assert scene.us.learn_record(scene.record(number), now=0.0, news=True, token=b"token") == given
    for _ in range(40):
        assert scene.us.deadline == plain.deadline
        now = plain.deadline
        assert scene.us.handle_timer(now=now) == plain.handle_timer(now=now)
    assert scene.us.members == plain.members


def test_a_call_is_recorded_with_its_arguments_and_the_hash_of_what_it_gave(scene: Scene) -> None:
    given = scene.us.note_unreachable(scene.record(1).id, "the connection was refused", now=2.5)
    [segment] = scene.tape.trace().segments
    why = "the connection was refused"
    assert segment.entries == (
        Call("note_unreachable", (scene.record(1).id, why), {"now": 2.5}, digest(given)),
    )


def test_the_root_hash_is_recorded_when_it_changes(scene: Scene) -> None:
    ping = Ping(1, scene.record(0).id, scene.root)
    scene.us.receive(ping, scene.record(1).id, now=1.0)
    scene.us.receive(ping, scene.record(1).id, now=2.0)
    scene.root = b"s" * 16
    scene.us.receive(ping, scene.record(1).id, now=3.0)
    entries = scene.tape.trace().segments[0].entries
    assert [each.value if isinstance(each, Answer) else each.name for each in entries] == [
        b"r" * 16,
        "receive",
        "receive",
        b"s" * 16,
        "receive",
    ]


def test_our_own_accusation_is_recorded_as_signed(scene: Scene) -> None:
    scene.meet(1)
    scene.live(10.0, silent=frozenset({scene.record(1).id}))
    answers = [each for each in scene.tape.trace().segments[0].entries if isinstance(each, Answer)]
    assert scene.accusation(0, scene.record(1).id) in [each.value for each in answers]


def test_what_a_call_raises_is_recorded_and_raised(scene: Scene) -> None:
    with pytest.raises(LocalProtocolError):
        scene.us.update_own(scene.record(0), now=1.0)
    [call] = scene.tape.trace().segments[0].entries
    assert isinstance(call, Call)
    assert call.outcome == "LocalProtocolError"


def test_a_full_segment_is_followed_by_a_keyframe_that_stands_alone(scene: Scene) -> None:
    scene.tape.every = 3
    scene.meet(1, 2, 3)
    assert len(scene.tape.segments) == 2
    scene.us.receive(Ping(1, scene.record(0).id, scene.root), scene.record(1).id, now=1.0)
    scene.tape.taken = 0
    first = scene.tape.trace().segments[1].entries[0]
    assert first == Answer("root", scene.root)


def test_what_cannot_be_recorded_ends_the_recording_and_not_the_machine(scene: Scene) -> None:
    scene.us.note_unreachable(scene.record(1).id, "x" * 10_000, now=1.0)
    assert "too many" in scene.tape.stopped
    before = len(scene.tape.segments[0][1])
    scene.meet(1)
    assert list(scene.us.members) == [scene.record(1).id]
    assert len(scene.tape.segments[0][1]) == before


def test_a_mesh_that_is_too_large_ends_the_recording_and_says_so(scene: Scene) -> None:
    for number in range(1, MAX_RECORDED + 2):
        scene.us.learn_record(scene.record(number), now=0.0, news=False)
    scene.tape.every = 1
    scene.us.note_mesh_size(2, now=1.0)
    assert scene.tape.stopped == f"a mesh of more than {MAX_RECORDED} members is too large to be recorded"
    assert len(scene.tape.segments) == 1
    scene.us.note_mesh_size(3, now=1.0)
    assert len(scene.tape.trace().segments[0].entries) == MAX_RECORDED + 2

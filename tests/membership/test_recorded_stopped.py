"""A recording that ended: whatever the machine is told from then on, it does what a plain one does."""

from __future__ import annotations

import random
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from gossipmesh.daemon.telemetry.recorder import Recorder
from gossipmesh.errors import MeshError
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import Ping
from gossipmesh.membership.parameters import LAN
from gossipmesh.membership.recorded import CALLS, MAX_RECORDED, RecordedMembership

if TYPE_CHECKING:
    from gossipmesh.identity.record import MemberRecord

    from .conftest import Scene

TOO_LARGE = f"a mesh of more than {MAX_RECORDED} members is too large to be recorded"


@define(eq=False)
class Twins:
    """Node 0 twice, recorded by the daemon's own recorder and not at all; both are told the same."""

    scene: Scene
    recorder: Recorder
    root: bytes = b"r" * 16
    now: float = 0.0
    us: RecordedMembership = field(init=False)
    plain: Membership = field(init=False)

    def __attrs_post_init__(self) -> None:
        others: dict[str, Any] = {
            "root": lambda: self.root,
            "sign_accusation": partial(self.scene.accusation, 0),
        }
        own = self.record(0)
        self.us = RecordedMembership(LAN, own, rng=random.Random(1), sink=self.recorder, **others)
        self.plain = Membership(LAN, own, rng=random.Random(1), **others)

    def record(self, number: int, incarnation: int = 0) -> MemberRecord:
        return _record(type(self.scene), number, incarnation)

    def both(self, name: str, *arguments: object, **keywords: object) -> None:
        given = getattr(self.us, name)(*arguments, **keywords)
        assert given == getattr(self.plain, name)(*arguments, **keywords)

    def grow(self, members: int) -> None:
        for number in range(1, members + 1):
            self.both("learn_record", self.record(number), now=self.now, news=True, token=b"token")

    def shrink(self, members: int) -> None:
        for number in range(members + 1, len(self.us.members) + 1):
            self.both("forget", self.record(number).id, now=self.now)

    def call(self, name: str) -> None:
        """Make one call of a kind that is meant for members 1 to 4, with another root hash than before."""
        self.now += 1.0
        self.root = int(self.now).to_bytes(16, "big")
        now, one, two = {"now": self.now}, self.record(1).id, self.record(2).id
        turn = int(self.now)
        arguments: dict[str, tuple[tuple[object, ...], dict[str, Any]]] = {
            "receive": ((Ping(turn, self.us.own.id, b"x" * 16), one), now),
            "learn_record": ((self.record(3, turn),), {**now, "news": True}),
            "learn_accusation": ((self.scene.accusation(4, two),), now),
            "start": ((), now),
            "update_own": ((self.record(0, turn),), now),
            "stream_probe_result": ((one, 7), {**now, "ok": True}),
            "note_unreachable": ((two, "the connection was refused"), now),
            "note_another_key": ((two,), now),
            "note_mesh_size": ((turn,), now),
            "next_gossip": ((500, one), {}),
            "accusation_of": ((two,), now),
            "forget": ((self.record(4, turn).id,), now),
            "handle_timer": ((), now),
        }
        positional, keywords = arguments[name]
        self.both(name, *positional, **keywords)

    def why(self) -> str:
        """Give why there is no recording."""
        with pytest.raises(MeshError) as caught:
            self.recorder.trace(now=self.now, wall=0.0)
        return str(caught.value)


@cache
def _record(scene: type[Scene], number: int, incarnation: int) -> MemberRecord:
    return scene.record(number, incarnation)


@pytest.mark.parametrize("name", CALLS)
def test_growth_past_the_limit_ends_the_recording_and_nothing_else(scene: Scene, name: str) -> None:
    twins = Twins(scene, Recorder(segment_bytes=10**9))
    twins.grow(MAX_RECORDED + 2)
    # From here on every call wants a keyframe, and the first one ends the recording.
    twins.recorder._segment_bytes = 0
    twins.call(name)
    assert TOO_LARGE in twins.why()
    for each in CALLS:
        twins.call(each)
    twins.shrink(8)
    for each in CALLS * 2:
        twins.call(each)
    assert twins.us.members == twins.plain.members
    assert TOO_LARGE in twins.why()


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_cannot_be_recorded_ends_the_recording_in_the_middle_of_a_call(
    scene: Scene, name: str
) -> None:
    twins = Twins(scene, Recorder())
    twins.grow(4)
    twins.root = b"x" * 10_000
    twins.both("receive", Ping(1, twins.us.own.id, twins.root), twins.record(1).id, now=0.0)
    assert "too many for one part" in twins.why()
    twins.call(name)
    twins.call("receive")
    assert "too many for one part" in twins.why()


def test_a_number_that_no_message_can_hold_ends_the_recording_only(scene: Scene) -> None:
    twins = Twins(scene, Recorder())
    twins.both("note_mesh_size", 2**70, now=0.0)
    twins.call("receive")
    assert "there is no recording" in twins.why()

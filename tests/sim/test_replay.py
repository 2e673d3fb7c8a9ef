"""The replay: the calls of a recording again, what differs, what is a bug then and now, and what is no recording."""

from __future__ import annotations

import random
from functools import partial
from types import MappingProxyType

import pytest
from attrs import evolve

from gossipmesh.daemon.telemetry.recorder import Recorder
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.identity.accusation import sign_accusation
from gossipmesh.membership.packing import Packing
from gossipmesh.membership.recorded import CALLS, RecordedMembership
from gossipmesh.membership.trace import Call, digest, encode_answer, encode_call, encode_trace
from gossipmesh.membership.unpacking import MALFORMED, OTHER_RELEASE
from gossipmesh.sim.replay import replay_untrusted
from gossipmesh.sim.world import World


@pytest.fixture
def world() -> World:
    return World(3, profile="local")


@pytest.fixture
def recorder(world: World) -> Recorder:
    """Of alice, whom bob has joined."""
    recorder = Recorder()
    world.add("alice", membership=partial(RecordedMembership, sink=recorder))
    world.add("bob", seeds=["alice"])
    world.run(5)
    return recorder


def test_the_timeline_has_what_happened_and_when(world: World, recorder: Recorder) -> None:
    world.crash("bob")
    world.run(20)
    done = replay_untrusted(recorder.trace(now=world.now, wall=world.wall))
    assert done.same
    assert done.began == pytest.approx(world.wall - world.now, abs=1.0)
    assert [(each.kind, each.name, each.what.partition(":")[0]) for each in done.timeline] == [
        ("state", "bob", "unknown -> alive"),
        ("state", "bob", "alive -> suspect"),
        ("rotation", "bob", "out of rotation"),
        ("state", "bob", "suspect -> dead"),
    ]
    last = done.timeline[-1]
    assert last.wall - done.began == pytest.approx(last.at_s)
    assert 5 < last.at_s < 25


def test_a_refutation_of_ours_is_in_the_timeline(world: World, recorder: Recorder) -> None:
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    boot, incarnation = alice.running.own.version
    accusation = sign_accusation(
        seed=bob.key.seed,
        mesh_id=world.trust.mesh_id,
        subject=alice.key.id,
        boot=boot,
        incarnation=incarnation,
        issued_at=int(world.wall),
    )
    alice.running._membership.learn_accusation(accusation, now=world.now)
    done = replay_untrusted(recorder.trace(now=world.now, wall=world.wall))
    assert done.same
    assert (done.timeline[-1].kind, done.timeline[-1].name) == ("refutation", "alice")
    assert done.timeline[-1].what == f"refutes what is said of version {boot}.{incarnation}"


def test_a_call_that_raised_raises_again_and_is_in_the_timeline(world: World, recorder: Recorder) -> None:
    machine = world.nodes["alice"].running._membership
    with pytest.raises(LocalProtocolError):
        machine.update_own(machine.own, now=world.now)
    done = replay_untrusted(recorder.trace(now=world.now, wall=world.wall))
    assert done.same
    assert done.timeline[-1].kind == "bug"
    assert "as it did then" in done.timeline[-1].what


def altered(recorder: Recorder, entry: bytes, *, calls: tuple[str, ...] = CALLS) -> bytes:
    """Give a recording with one more entry than was made."""
    recorder.add(entry)
    segments = [(each.keyframe, bytes(each.entries)) for each in recorder._segments]
    return encode_trace(segments, calls=calls, release="0", now=9.0, wall=9.0)


def test_a_call_that_raised_and_does_not_any_more_differs(recorder: Recorder) -> None:
    number = CALLS.index("note_mesh_size")
    done = replay_untrusted(altered(recorder, encode_call(Packing(), number, (3,), {"now": 6.0}, "KeyError")))
    assert "(note_mesh_size)" in done.difference
    assert "it raised KeyError, and gives []" in done.difference


def test_a_call_that_did_not_raise_and_does_now_differs(recorder: Recorder) -> None:
    number = CALLS.index("note_mesh_size")
    done = replay_untrusted(altered(recorder, encode_call(Packing(), number, (), {"now": 6.0}, digest([]))))
    assert "it gave something else then, and raises TypeError" in done.difference


def test_a_later_keyframe_with_other_beliefs_differs(world: World, recorder: Recorder) -> None:
    stranger = Recorder()
    world.add("carol", seeds=["bob"], membership=partial(RecordedMembership, sink=stranger))
    recorder.begin(stranger._segments[0].keyframe)
    done = replay_untrusted(recorder.trace(now=world.now, wall=world.wall))
    assert done.difference.startswith("after call ")


def test_calls_of_another_release_are_named(recorder: Recorder) -> None:
    entry = encode_call(Packing(), len(CALLS), (), {}, 0)
    with pytest.raises(RemoteProtocolError, match="does not know: vanish") as caught:
        replay_untrusted(altered(recorder, entry, calls=(*CALLS, "vanish")))
    assert caught.value.code == OTHER_RELEASE


def test_an_answer_that_nobody_asks_for_changes_nothing(recorder: Recorder) -> None:
    assert replay_untrusted(altered(recorder, encode_answer(Packing(), "nobody", b"x"))).same


@pytest.mark.parametrize("seed", range(100))
def test_a_recording_that_was_altered_with_care_is_refused_or_differs(recorder: Recorder, seed: int) -> None:
    """The worst that a file can do; its hash is made right again here, as whoever alters it would."""
    dice = random.Random(seed)
    segment = recorder._segments[0]
    keyframe, entries = bytearray(segment.keyframe), bytearray(segment.entries)
    part = dice.choice([keyframe, entries])
    part[dice.randrange(len(part))] ^= 1 << dice.randrange(8)
    raw = encode_trace([(bytes(keyframe), bytes(entries))], calls=CALLS, release="0", now=9.0, wall=9.0)
    try:
        replay_untrusted(raw)
    except RemoteProtocolError as error:
        assert error.code in (MALFORMED, OTHER_RELEASE), f"seed {seed}"


def test_a_call_without_a_time_has_none() -> None:
    call = Call("forget", (b"x" * 32,), MappingProxyType({}), 0)
    assert call.now is None
    assert evolve(call, keywords={"now": 1.5}).now == 1.5

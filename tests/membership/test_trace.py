"""The trace: a keyframe gives the machine back as it was, and any other bytes are one error."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.recorded import CALLS
from gossipmesh.membership.trace import (
    MAGIC,
    MAX_TRACE,
    Call,
    decode_trace_untrusted,
    encode_keyframe,
    encode_trace,
    restore_keyframe_untrusted,
)
from gossipmesh.membership.unpacking import MALFORMED, OTHER_RELEASE

if TYPE_CHECKING:
    from .conftest import Scene


def restored(scene: Scene, keyframe: bytes) -> Membership:
    ports = {"root": lambda: scene.root, "sign_accusation": lambda *subject: scene.accusation(0, *subject)}
    return restore_keyframe_untrusted(keyframe, rng=random.Random(99), ports=ports)


def busy(scene: Scene) -> None:
    """Let a member die, another be suspect, and a third one leave its news behind."""
    scene.meet(1, 2, 3, 4, 5)
    scene.live(40.0, silent=frozenset({scene.record(1).id}))
    scene.us.learn_accusation(scene.accusation(2, scene.record(3).id), now=40.0)
    scene.us.learn_record(scene.record(4, incarnation=1), now=40.0, news=True, token=b"other")


def test_a_keyframe_gives_a_machine_that_goes_on_as_the_first_one(scene: Scene) -> None:
    busy(scene)
    scene.tape.every = 1
    scene.us.note_mesh_size(9, now=40.0)
    keyframe, _ = scene.tape.segments[-1]
    again = restored(scene, keyframe)
    assert again.members == scene.us.members
    assert again.own == scene.us.own
    for _ in range(200):
        assert again.deadline == scene.us.deadline
        now = again.deadline
        assert again.handle_timer(now=now) == scene.us.handle_timer(now=now)
    assert again.members == scene.us.members


def test_a_trace_says_which_release_made_it_and_when_it_ends(scene: Scene) -> None:
    busy(scene)
    trace = scene.tape.trace()
    assert (trace.release, trace.now, trace.wall) == ("1.2.3", 5.0, 1_700_000_000.0)
    calls = [each for each in trace.segments[0].entries if isinstance(each, Call)]
    assert calls[0].name == "learn_record"
    assert calls[0].arguments == (scene.record(1),)
    assert calls[0].keywords == {"now": 0.0, "news": True, "token": b"token"}
    assert calls[0].now == 0.0


def test_every_truncation_is_malformed(scene: Scene) -> None:
    scene.meet(1)
    raw = scene.tape.file()
    for end in range(len(raw)):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_trace_untrusted(raw[:end])
        assert caught.value.code == MALFORMED


def test_every_flipped_bit_is_malformed(scene: Scene) -> None:
    scene.meet(1)
    raw = scene.tape.file()
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError) as caught:
            decode_trace_untrusted(bytes(changed))
        assert caught.value.code == MALFORMED


@pytest.mark.parametrize("raw", [b"", MAGIC, b"\0" * (MAX_TRACE + 1), b"#!/bin/sh\n"], ids=len)
def test_what_is_no_trace_is_malformed(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_trace_untrusted(raw)
    assert caught.value.code == MALFORMED


@pytest.mark.parametrize(
    "segments",
    [[], [(b"k", b"\0\0\0\1")], [(b"k", b"\0\0\0\1\x05")], [(b"k", b"\0\0\0\2\x92\x05")], [(b"k", b"")] * 3],
    ids=repr,
)
def test_a_right_hash_over_wrong_parts_is_malformed(segments: list[tuple[bytes, bytes]]) -> None:
    raw = encode_trace(segments, calls=CALLS, release="1", now=0.0, wall=0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        decode_trace_untrusted(raw)
    assert caught.value.code == MALFORMED


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_keyframe_is_a_machine_or_one_error(scene: Scene, seed: int) -> None:
    """The hash of the file is no signature: what somebody made on purpose comes as far as this."""
    scene.meet(1, 2)
    scene.tape.every = 1
    scene.us.note_mesh_size(3, now=1.0)
    dice = random.Random(seed)
    keyframe = bytearray(scene.tape.segments[-1][0])
    for _ in range(dice.randint(1, 3)):
        keyframe[dice.randrange(len(keyframe))] ^= 1 << dice.randrange(8)
    try:
        restored(scene, bytes(keyframe))
    except RemoteProtocolError as error:
        assert error.code in (MALFORMED, OTHER_RELEASE)


def test_dice_that_are_not_the_ones_named_are_refused(scene: Scene) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode_keyframe(scene.us, rng=random.Random(1), ports={})
    assert caught.value.code == "keyframe.type"

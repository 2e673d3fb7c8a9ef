"""The trace: a keyframe gives the machine back as it was, and any other bytes are one error."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest

from gossipmesh import wire
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.packing import Packing
from gossipmesh.membership.recorded import CALLS
from gossipmesh.membership.trace import (
    MAGIC,
    MAX_TRACE,
    Call,
    _framed,
    _hash,
    decode_trace_untrusted,
    encode_call,
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


@pytest.mark.parametrize(
    "body", [b"", b"\0\0\0\0", b"\0\0\0\0" * 3, _framed(wire.pack([])), b"\0\0\0\0" * 100_000], ids=len
)
def test_a_right_hash_over_a_body_without_a_head_is_malformed(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_trace_untrusted(MAGIC + _hash(body) + body)
    assert caught.value.code == MALFORMED


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf, 1e300], ids=str)
def test_a_trace_that_ends_at_no_time_is_malformed(moment: float) -> None:
    for now, wall in ((moment, 0.0), (0.0, moment)):
        raw = encode_trace([(b"k", b"")], calls=CALLS, release="1", now=now, wall=wall)
        with pytest.raises(RemoteProtocolError) as caught:
            decode_trace_untrusted(raw)
        assert caught.value.code == MALFORMED


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 1e300], ids=str)
def test_a_call_at_no_time_is_malformed(now: float) -> None:
    entry = encode_call(Packing(), CALLS.index("handle_timer"), (), {"now": now}, 0)
    with pytest.raises(RemoteProtocolError) as caught:
        decode_trace_untrusted(encode_trace([(b"k", entry)], calls=CALLS, release="1", now=0.0, wall=0.0))
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


def test_a_suspicion_whose_end_is_no_number_is_malformed(scene: Scene) -> None:
    """Whoever asks such a machine when it is due would ask for ever."""
    scene.meet(1, 2, 3)
    scene.us.learn_accusation(scene.accusation(2, scene.record(1).id), now=0.0)
    suspicion = scene.us._beliefs._suspicions.get(scene.record(1).id)
    assert suspicion is not None
    suspicion.started = -math.inf
    suspicion._min_s = suspicion._max_s = math.inf
    scene.tape.every = 1
    scene.us.next_gossip(0, scene.record(1).id)
    with pytest.raises(RemoteProtocolError) as caught:
        restored(scene, scene.tape.segments[-1][0])
    assert caught.value.code == MALFORMED


def test_dice_that_are_not_the_ones_named_are_refused(scene: Scene) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode_keyframe(scene.us, rng=random.Random(1), ports={})
    assert caught.value.code == "keyframe.type"

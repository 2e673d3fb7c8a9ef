"""Fixtures: a machine of node 0 that is recorded, and signed records and accusations for it to take in."""

from __future__ import annotations

import random
from functools import partial

import pytest
from attrs import define, field

from gossipmesh.identity.accusation import Accusation, sign_accusation
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.membership.messages import Ack, Ping
from gossipmesh.membership.outputs import Output, SendMessages
from gossipmesh.membership.parameters import LAN
from gossipmesh.membership.recorded import CALLS, RecordedMembership
from gossipmesh.membership.trace import Trace, decode_trace_untrusted, encode_trace
from gossipmesh.model import Address, NodeId, Service

MESH = b"m" * 32
WALL = 1_700_000_000


def _seed_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


@define(eq=False)
class Tape:
    """A sink that keeps everything; a keyframe comes after each ``every`` entries."""

    every: int = 1_000_000
    segments: list[tuple[bytes, bytearray]] = field(factory=list)
    taken: int = 0
    stopped: str = ""

    def begin(self, keyframe: bytes) -> None:
        self.taken = 0
        self.segments.append((keyframe, bytearray()))

    def add(self, entry: bytes) -> bool:
        self.taken += 1
        self.segments[-1][1].extend(entry)
        return self.taken >= self.every

    def stop(self, why: str) -> None:
        self.stopped = why

    def file(self, last: int = 2) -> bytes:
        segments = [(keyframe, bytes(entries)) for keyframe, entries in self.segments[-last:]]
        return encode_trace(segments, calls=CALLS, release="1.2.3", now=5.0, wall=float(WALL))

    def trace(self) -> Trace:
        return decode_trace_untrusted(self.file())


@define(eq=False)
class Scene:
    """Node 0, recorded, and what it is told."""

    tape: Tape
    us: RecordedMembership
    root: bytes = b"r" * 16

    @staticmethod
    def record(number: int, incarnation: int = 0) -> MemberRecord:
        return sign_record(
            seed=_seed_of(number),
            mesh_id=MESH,
            boot=1,
            incarnation=incarnation,
            name=f"node-{number}",
            addresses=[Address(f"10.0.{number // 256}.{number % 256}", 7946)],
            dh_key=bytes(32),
            dh_generation=0,
            chain_hash=bytes(16),
            issued_at=WALL,
            services=[Service("web", 8080)],
        )

    @staticmethod
    def accusation(accuser: int, subject: NodeId, boot: int = 1, incarnation: int = 0) -> Accusation:
        return sign_accusation(
            seed=_seed_of(accuser),
            mesh_id=MESH,
            subject=subject,
            boot=boot,
            incarnation=incarnation,
            issued_at=WALL,
        )

    def meet(self, *numbers: int, now: float = 0.0) -> None:
        for number in numbers:
            self.us.learn_record(self.record(number), now=now, news=True, token=b"token")

    def live(self, seconds: float, *, silent: frozenset[NodeId] = frozenset()) -> list[Output]:
        """Do what is due; everybody answers at once, but for the silent."""
        given: list[Output] = []
        while (now := self.us.deadline) <= seconds:
            outputs = self.us.handle_timer(now=now)
            for out in outputs:
                if isinstance(out, SendMessages) and out.target not in silent:
                    for said in out.messages:
                        if isinstance(said, Ping):
                            outputs += self.us.receive(Ack(said.seq, self.root), out.target, now=now + 0.001)
            given += outputs
        return given


@pytest.fixture
def scene() -> Scene:
    tape = Tape()
    made: list[Scene] = []
    us = RecordedMembership(
        LAN,
        Scene.record(0),
        rng=random.Random(1),
        sink=tape,
        root=lambda: made[0].root,
        sign_accusation=partial(Scene.accusation, 0),
    )
    made.append(Scene(tape, us))
    return made[0]

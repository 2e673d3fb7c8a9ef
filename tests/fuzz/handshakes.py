"""A handshake with somebody in the middle, who does to each message what the input says.

Alice dials Bob; both are members of one mesh with real chains and records. Everything between them goes through the
input's hands: it passes bytes on, keeps some back, flips bits, drops, repeats, puts in its own, or what another
handshake of the same two, recorded before, had at that place. What must hold, whatever it does:

- nobody is taken for anybody else, and no side is told of a peer before what it heard of it was true to the byte;
- what a side receives is a beginning of what the other side sent, and nothing of it is readable on the way;
- Alice, who slept through a replacement of roots, has heard of it by then, whoever would have her not hear;
- whoever was lied to fails, and its every later call fails with the same code;
- nothing but RemoteProtocolError comes out.

    handshakes.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, Final, NoReturn

from attrs import define, field

from fuzzing import fuzz, relay
from gossipmesh import wire
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, Ended, HandshakeDone, Record, SecureChannel
from gossipmesh.crypto import blake2b, dh_public
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.credentials import (
    Peer,
    decode_hello_untrusted,
    encode_credentials,
    encode_hello,
    verify_credentials_untrusted,
)
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import new_token
from gossipmesh.model import Address

WALL: Final = 1_700_000_000
ROOT: Final = NodeKey.from_seed(b"r" * 32)
KEYS: Final = {name: NodeKey.from_seed(blake2b(name.encode(), 32)) for name in ("alice", "bob")}
TRUST: Final = TrustStore(new_bundle([ROOT.id], default_allow=True))
AWAKE: Final = TrustStore(
    TRUST.path[0],
    [successor(TRUST.path[0], [ROOT.id, NodeKey.from_seed(b"s" * 32).id], ROOT.seed).raw],
)
"""What Bob knows; Alice knows :data:`TRUST`."""
SAID: Final = b"what only the other side may read"
MAX_STEPS: Final = 64


@cache
def shown(name: str) -> bytes:
    """Give what a member shows in its handshakes."""
    token = new_token(
        TRUST.path[0], ROOT.seed, Caveats(WALL - 300, WALL + 86_400, b"token-id"), Random(1).randbytes
    )
    chain = join_chain(token, KEYS[name].seed, name)
    record = sign_record(
        seed=KEYS[name].seed,
        mesh_id=TRUST.mesh_id,
        boot=1,
        incarnation=0,
        name=name,
        addresses=[Address("192.0.2.1", 7_946)],
        dh_key=dh_public(static(name)),
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
    )
    return encode_credentials(0, chain, record.signed.raw, wall=WALL)


def static(name: str) -> bytes:
    """Give a member's X25519 key."""
    return blake2b(b"static " + name.encode(), 32)


def shown_by_bob(hello: bytes) -> bytes:
    """Give what Bob shows to whoever said that: what the other side lacks is in it."""
    credentials = wire.unpack_untrusted(shown("bob"), code="fuzz.malformed")
    assert isinstance(credentials, list)
    _, chain, record, *_ = credentials
    lacking = AWAKE.after(decode_hello_untrusted(hello))
    return encode_credentials(AWAKE.n, chain, record, wall=WALL, newest=AWAKE.latest.hash, lacking=lacking)


def channel(name: str, session: int, learnt: list[bytes]) -> SecureChannel[Peer]:
    """Give one side of a handshake: Alice's, who dials Bob, or Bob's, who lets any member in."""
    alice = name == "alice"

    def authenticate(credentials: bytes, remote_static: bytes) -> Peer:
        peer = verify_credentials_untrusted(
            credentials, remote_static, TRUST if alice else AWAKE, wall=WALL, learn=learnt.extend
        )
        if alice and peer.id != KEYS["bob"].id:
            raise TrustError("channel.identity", "somebody else answered")
        return peer

    return SecureChannel(
        Role.INITIATOR if alice else Role.RESPONDER,
        mesh_id=TRUST.mesh_id,
        static_private=static(name),
        ephemeral_private=blake2b(b"ephemeral %d " % session + name.encode(), 32),
        credentials=shown(name) if alice else shown_by_bob,
        authenticate=authenticate,
        hello=encode_hello(TRUST.n) if alice else b"",
    )


@cache
def recorded() -> dict[str, bytes]:
    """Give everything that each side sent in a handshake of the same two, and a record after it."""
    alice, bob = Side("alice", 0), Side("bob", 0)
    for _ in range(3):
        alice.speak()
        bob.hear(bytes(alice.sent[len(bob.heard) :]))
        bob.speak()
        if len(bob.sent) > len(alice.heard):
            alice.hear(bytes(bob.sent[len(alice.heard) :]))
    return {"alice": bytes(alice.sent), "bob": bytes(bob.sent)}


@define
class Side:
    """One side, what it put on the wire, and what it was given for the other side's."""

    name: str
    session: int
    sent: bytearray = field(factory=bytearray)
    heard: bytearray = field(factory=bytearray)
    events: list[Any] = field(factory=list)
    records: list[bytes] = field(factory=list)
    learnt: list[bytes] = field(factory=list)
    failed: str = ""
    machine: SecureChannel[Peer] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.machine = channel(self.name, self.session, self.learnt)

    def speak(self) -> None:
        """Send what is due; once the other side is known, a record each time."""
        if self.failed:
            return
        if self.machine.established and len(self.records) < 3:
            self.records.append(SAID + b" %d" % len(self.records))
            self.machine.send_record(HOP, self.records[-1])
        self.sent += self.machine.bytes_to_send()

    def hear(self, data: bytes) -> None:
        """Take what is said to be the other side's."""
        if not data:
            return
        if self.failed:
            relay(lambda: self.machine.receive_bytes_untrusted(data), code=self.failed)
            return
        self.heard += data
        try:
            self.events += self.machine.receive_bytes_untrusted(data)
        except RemoteProtocolError as error:
            self._fail(error.code)

    def end(self) -> None:
        """Take the end of the stream, which nobody announced."""
        if not self.failed:
            try:
                self.machine.receive_eof()
            except RemoteProtocolError as error:
                self._fail(error.code)
        assert self.failed, f"{self.name} took a cut for an end"

    def _fail(self, code: str) -> None:
        self.failed = code
        assert not self.machine.established
        relay(self.machine.bytes_to_send, code=code)
        relay(lambda: self.machine.send_record(HOP, SAID), code=code)
        relay(self.machine.receive_eof, code=code)


def run(data: bytes) -> str:
    """Let the input sit between the two; give how both ended."""
    alice, bob = Side("alice", 1), Side("bob", 1)
    steps = iter(data[: 4 * MAX_STEPS])
    for step in steps:
        count, place, value = next(steps, 0), next(steps, 0), next(steps, 0)
        speaker, listener = (alice, bob) if step & 1 else (bob, alice)
        speaker.speak()
        listener.hear(_between(step >> 1, speaker, listener, count, place, value))
    for speaker, listener in ((alice, bob), (bob, alice)):
        _judge(speaker, listener)
        listener.end()
    return f"{alice.failed} {bob.failed}"


def _between(what: int, speaker: Side, listener: Side, count: int, place: int, value: int) -> bytes:
    """Give what the listener gets in place of what is under way to it."""
    waiting = bytearray(speaker.sent[len(listener.heard) :])
    match what % 8:
        case 0 | 1:
            pass
        case 2:
            del waiting[count:]
        case 3:
            if waiting:
                waiting[(place * 5 + count) % len(waiting)] ^= 1 << value % 8
        case 4:
            other = recorded()[speaker.name]
            waiting = bytearray(other[len(listener.heard) :])
        case 5:
            waiting[place:place] = bytes([value]) * (1 + count % 64)
        case 6:
            waiting = bytearray(speaker.sent[count:])
        case 7:
            waiting = listener.sent[:]
    return bytes(waiting)


def _judge(speaker: Side, listener: Side) -> None:
    """Check what ``listener`` believes against what ``speaker`` said."""
    got: list[bytes] = []
    for number, event in enumerate(listener.events):
        match event:
            case HandshakeDone(peer):
                assert number == 0
                assert peer.id == KEYS[speaker.name].id, "taken for somebody else"
                news = list(AWAKE.after(0)) if listener.name == "alice" else []
                assert listener.learnt == news, "not told of the newest roots"
                for one, other in ((speaker, listener), (listener, speaker)):
                    # Alice is told after message 2, when Bob has heard only her first.
                    size = _handshake_bytes(one, 2 if listener.name == "bob" else 1)
                    assert other.heard[:size] == one.sent[:size], "a handshake that was tampered with"
            case Record(kind, body):
                assert kind == HOP
                got.append(body)
            case Ended():
                raise AssertionError("an end that nobody said")
    assert got == speaker.records[: len(got)], "not what the other side said"
    for private in (SAID, shown(speaker.name)[8:40]):
        assert private not in speaker.sent, "readable on the way"


def _handshake_bytes(side: Side, messages: int) -> int:
    """Give how many bytes the first ``messages`` frames of Alice take, or the only one of Bob."""
    at = 0
    for _ in range(messages if side.name == "alice" else 1):
        at += 2 + int.from_bytes(side.sent[at : at + 2], "big")
    return at


def examples() -> Iterator[tuple[str, bytes]]:
    """Give inputs by name: what a corpus begins with."""
    good = bytes([1, 0, 0, 0, 0, 0, 0, 0])
    yield "honest", good * 4
    for what, name in (
        (2, "cut"),
        (3, "flipped"),
        (4, "swapped"),
        (5, "inserted"),
        (6, "repeated"),
        (7, "echoed"),
    ):
        for turn in range(3):
            bad = [*(good * 4)]
            for at in range(4 * turn, 4 * turn + 4, 4):
                bad[at] += what << 1
                bad[at + 1 : at + 4] = [7, 3, 5]
            yield f"{name}-{turn + 1}", bytes(bad)


def main() -> NoReturn:
    """Fuzz until told to stop."""
    fuzz(run)


if __name__ == "__main__":
    main()

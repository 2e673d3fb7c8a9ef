"""One honest node and whatever a member, or anybody at its port, can make it hear.

The input is a row of pieces: a byte that says what it is, a length of two bytes, and as many bytes. Mallory is a member
with a chain of her own, so what she seals, opens, and what she signs, verifies. Carol is a member too, and honest; she
says nothing. What Alice must not do, whatever she hears: raise anything, believe of Carol what Carol did not sign,
declare her dead or revoked, take a policy, answer a stranger with more bytes than it sent, send to an
address that no record names, or make more of one input than a bounded number of outputs. Time passes only where the
input says so, and by less than it takes to conclude anything from silence.

    members.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, Final, NoReturn

from fuzzing import fuzz
from gossipmesh import wire
from gossipmesh.channel.datagram import MAX_DATAGRAM
from gossipmesh.crypto import blake2b
from gossipmesh.identity.accusation import ACCUSATION_LABEL
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.block import BLOCK_LABEL
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import RECORD_LABEL
from gossipmesh.identity.revocation import REVOCATION_LABEL
from gossipmesh.identity.signed import seal
from gossipmesh.identity.token import new_token
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import (
    AccusationNews,
    ChainNews,
    CharterNews,
    Nack,
    Ping,
    PingRequest,
    RecordNews,
)
from gossipmesh.mesh import exchanges
from gossipmesh.mesh.charter_messages import Brought, Holding, encode_brought, encode_holding
from gossipmesh.mesh.exchanges import Kind
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Exchange, Output, SendDatagram
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, MemberState, NodeId, Service
from gossipmesh.policy.document import POLICY_LABEL, new_document
from gossipmesh.registry import sync_messages
from gossipmesh.registry.sync import ChainLearned, RecordLearned

WALL: Final = 1_700_000_000.0
MAX_PIECES: Final = 12
MAX_OUTPUTS: Final = 256
STEP_S: Final = 0.1
MAX_PASSED_S: Final = 2.0
"""Less than the shortest suspicion, so that whoever is declared dead was talked to death."""
STRANGER: Final = Address("203.0.113.9", 53)
ROOT: Final = NodeKey.from_seed(b"r" * 32)
TRUST: Final = TrustStore(new_bundle([ROOT.id], default_allow=True))
KEYS: Final = {name: NodeKey.from_seed(blake2b(name.encode(), 32)) for name in ("alice", "mallory", "carol")}
ADDRESSES: Final = {name: Address(f"192.0.2.{n}", 7_946) for n, name in enumerate(KEYS, 1)}


@cache
def chain(name: str) -> VerifiedChain:
    """Give a member's chain."""
    caveats = Caveats(int(WALL) - 300, int(WALL) + 86_400, b"token-id", services=("web*",))
    token = new_token(TRUST.path[0], ROOT.seed, caveats, Random(1).randbytes)
    return verify_chain_untrusted(join_chain(token, KEYS[name].seed, name), TRUST, wall=WALL)


@cache
def mallory() -> Authority:
    """Give what she would sign for the mesh with, if she might."""
    return Authority(KEYS["mallory"].seed, chain("mallory").raw)


def node(name: str, *known: Mesh, checks: Checks = CHECKS) -> Mesh:
    """Give a member that has started, knows ``known``, and verifies with ``checks``."""
    learned = [
        each for one in known for each in (ChainLearned(one.chain.raw), RecordLearned(one.own.signed.raw))
    ]
    rng = Random(name)
    setup = Setup(
        key=KEYS[name],
        trust=TrustStore(TRUST.path[0]),
        chain=chain(name),
        boot=1,
        addresses=(ADDRESSES[name],),
        services=(Service("web", 80),),
        known=learned,
        checks=checks,
    )
    made = Mesh(setup, rng=rng, entropy=rng.randbytes, now=0.0, wall=WALL)
    made.start(now=0.0, wall=WALL)
    return made


class Stage:
    """Alice, and what she was told.

    Args:
        checks: what she verifies with; the tests that show what these checks are for hand in others.
        signer: with whose word she is shown revocations and policies: Mallory's, who may sign none.
    """

    def __init__(self, checks: Checks = CHECKS, signer: Authority | None = None) -> None:
        self._signer = signer or mallory()
        self.carol = node("carol")
        self.mallory = node("mallory", self.carol)
        self.alice = node("alice", self.carol, self.mallory, checks=checks)
        self.mallory._secrecy.learn(self.alice.own)
        self.now = 0.0
        self.open: list[Exchange] = []
        self.true_of_carol = self.alice.members[self.carol.id].record.signed.raw

    @property
    def peer(self) -> Peer:
        """Mallory, as a channel's handshake proves her."""
        return Peer(self.mallory.id, self.mallory.chain, self.mallory.own, 0)

    def take(self, kind: int, payload: bytes) -> None:
        """Let Alice hear one piece, and judge what she makes of it."""
        outputs: Sequence[Output] = ()
        match kind % 10:
            case 0:
                outputs = self._seal(payload)
            case 1:
                answer, outputs = self.alice.answer_untrusted(self.peer, payload, now=self.now, wall=WALL)
                assert len(answer) <= sync_messages.MAX_SYNC_MESSAGE
            case 2 if self.open:
                number = self.open.pop(0).number
                outputs = self.alice.receive_answer_untrusted(
                    number, self.peer, payload, now=self.now, wall=WALL
                )
            case 3:
                self._strange(payload)
            case 4:
                raw = seal(RECORD_LABEL, TRUST.mesh_id, payload, KEYS["mallory"].seed).raw
                outputs = self._news(RecordNews, raw)
            case 5:
                raw = seal(ACCUSATION_LABEL, TRUST.mesh_id, payload, KEYS["mallory"].seed).raw
                outputs = self._news(AccusationNews, raw)
            case 6:
                raw = seal(BLOCK_LABEL, TRUST.mesh_id, payload, KEYS["mallory"].seed).raw
                blocks = [chain("mallory").raw, raw]
                outputs = self._news(ChainNews, wire.pack(blocks))
            case 8:
                raw = sign_as_authority(REVOCATION_LABEL, payload, self._signer, TRUST.mesh_id)
                outputs = (
                    self._seal(encode_messages([CharterNews(bytes(8), raw)])) if len(raw) <= 1_100 else ()
                )
            case 9:
                raw = sign_as_authority(POLICY_LABEL, payload, self._signer, TRUST.mesh_id)
                outputs = self._bring(raw)
            case 7 if self.now < MAX_PASSED_S:
                self.now += STEP_S
                outputs = self.alice.handle_timer(now=self.now, wall=WALL)
            case _:
                pass
        self._judge(outputs)

    def _seal(self, plaintext: bytes) -> list[Output]:
        sealed = self.mallory._secrecy.seal(self.alice.id, plaintext[:1_192])
        return self._hear(sealed, ADDRESSES["mallory"])

    def _hear(self, datagram: bytes, source: Address) -> list[Output]:
        return self.alice.receive_datagram_untrusted(datagram, source, now=self.now, wall=WALL)

    def _bring(self, policy: bytes) -> Sequence[Output]:
        """Let Alice hear a digest, and answer her when she asks."""
        asked = [
            each
            for each in self._seal(encode_messages([CharterNews(blake2b(policy, 8))]))
            if isinstance(each, Exchange)
        ]
        outputs: list[Output] = [*asked]
        for each in asked:
            brought = Brought(False, 0, TRUST.latest.hash, 9, bytes(32), policy=policy)
            outputs += self.alice.receive_answer_untrusted(
                each.number, self.peer, encode_brought(brought), now=self.now, wall=WALL
            )
        return outputs

    def _news(self, news: Callable[[bytes], Any], raw: bytes) -> Sequence[Output]:
        return self._seal(encode_messages([news(raw)])) if len(raw) <= 1_100 else ()

    def _strange(self, datagram: bytes) -> None:
        outputs = self._hear(datagram, STRANGER)
        sent = [each for each in outputs if isinstance(each, SendDatagram)]
        assert sum(len(each.payload) for each in sent) <= len(datagram), "more bytes out than in"
        assert all(each.target == STRANGER for each in sent)

    def _judge(self, outputs: Sequence[Output]) -> None:
        assert len(outputs) <= MAX_OUTPUTS
        known = {address for each in self.alice.members.values() for address in each.record.addresses}
        for output in outputs:
            match output:
                case SendDatagram(target, payload):
                    assert len(payload) <= MAX_DATAGRAM
                    assert target in known | {ADDRESSES["mallory"]}, "sent where no record says"
                case Exchange(addresses=addresses):
                    assert set(addresses) <= known
                    self.open = [*self.open, output][-8:]
                case _:
                    pass
        charter = self.alice.charter
        assert (charter.policy, len(charter.revocations)) == (None, 0), "taken from who may sign nothing"
        carol = self.alice.members.get(self.carol.id)
        assert carol is not None, "an honest member is forgotten"
        assert carol.record.signed.raw == self.true_of_carol, "believed what she did not sign"
        assert carol.state is not MemberState.DEAD, "declared dead by one"
        assert self.alice.own.id == KEYS["alice"].id
        assert self.alice.deadline > -1.0
        for endpoint in self.alice.snapshot.endpoints("web"):
            assert endpoint.id in self.alice.members or endpoint.id == self.alice.id
        assert not list(self.alice.snapshot.endpoints("payments"))


def pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut ``data`` at its own words: what it is, a length of two bytes, then as many."""
    at = 0
    for _ in range(MAX_PIECES):
        if at + 3 > len(data):
            return
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        yield data[at], data[at + 3 : end]
        at = end


def run(data: bytes) -> str:
    """Let Alice hear all pieces; give what she refused last.

    Raises:
        AssertionError: as this file's docstring says.
    """
    stage = Stage()
    for kind, payload in pieces(data):
        stage.take(kind, payload)
    return "taken"


def piece(kind: int, payload: bytes = b"") -> bytes:
    """Give what :func:`pieces` cuts."""
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def examples() -> Iterator[tuple[str, bytes]]:
    """Give inputs by name: what a corpus begins with."""
    stage = Stage()
    carol, mallory, alice = stage.carol, stage.mallory, stage.alice
    root = bytes(16)
    said = encode_messages([Ping(1, alice.id, root), PingRequest(2, carol.id), Nack(3)])
    yield (
        "probes",
        piece(0, said) + piece(7) + piece(0, encode_messages([RecordNews(mallory.own.signed.raw)])),
    )
    greeting = exchanges.Greeting(mallory.chain.raw, mallory.own.signed.raw, carol.own.signed.raw)
    yield "greeting", piece(1, exchanges.encode_greeting(Kind.GREET, greeting))
    buried = exchanges.Greeting(mallory.chain.raw, mallory.own.signed.raw, alice.own.signed.raw)
    yield "buried", piece(1, exchanges.encode_greeting(Kind.GREET, buried)) + piece(7) * 5
    yield (
        "carry",
        piece(1, exchanges.encode_carried(Kind.CARRY, [said])) + piece(1, exchanges.encode_plain(Kind.REACH)),
    )
    yield "renew", piece(1, exchanges.encode_plain(Kind.RENEW, mallory.chain.raw))
    parcel = sync_messages.Parcel(mallory.chain.raw, mallory.own.signed.raw)
    wanted = (NodeId(carol.id), NodeId(alice.id))
    yield (
        "sync",
        piece(1, sync_messages.encode(sync_messages.DigestRequest(root)))
        + piece(1, sync_messages.encode(sync_messages.EntriesRequest(tuple(range(256)))))
        + piece(1, sync_messages.encode(sync_messages.ExchangeRequest(wanted, (parcel,)))),
    )
    yield (
        "answers",
        piece(7) * 12
        + piece(2, sync_messages.encode(sync_messages.DigestResponse(5, bytes(4_096))))
        + piece(2, exchanges.encode_greeting(Kind.GREETED, greeting)),
    )
    yield "stranger", piece(3, b"\x11\0\0\0" + bytes(60)) + piece(3, b"\x12\0\0\0" + bytes(12))
    yield "record", piece(4, mallory.own.signed.body) + piece(7)
    yield (
        "accusation",
        piece(5, wire.pack([1, mallory.id, carol.id, *carol.own.version, int(WALL)]))
        + piece(5, wire.pack([1, mallory.id, alice.id, *alice.own.version, int(WALL)])),
    )
    word = wire.pack([1, 1, carol.id, b"", int(WALL), int(WALL) + 99, [], 0])
    yield "revocation", piece(8, word) + piece(7)
    document = new_document(9, 'default = "deny"\n', signed_at=int(WALL))
    yield "policy", piece(9, document.body) + piece(7)
    holding = Holding(3, 7, bytes(32), False, (bytes(32),), frozenset({bytes(17)}))
    yield "charter", piece(1, encode_holding(holding)) + piece(0, encode_messages([CharterNews(bytes(8))]))
    body = wire.pack([1, 2, carol.id, b"carol", int(WALL), int(WALL) + 99, [], [], [], [], [], []])
    yield "chain", piece(6, body)


def main() -> NoReturn:
    """Fuzz until told to stop."""
    fuzz(run)


if __name__ == "__main__":
    main()

"""What stands for most members of a mesh that is too large to be simulated whole.

A view of everybody takes some 1.3 KB a member, so that ten thousand members with a view each would take 130 GB. With
``World.populate(10_000, observers=100)`` a hundred run the daemon's own machine and know all ten thousand. The others
are stand-ins: each has an address, a key and a record of its own, answers a probe with a sealed ack, vouches for a
member as a helper, and answers over TCP that it is there and that its registry is equal. It believes nothing, probes
nobody, passes on no news and accuses nobody.

What such a run shows is what a mesh of that size costs and does to *one* member: load, memory, how long a round of
probes takes, the registry's digests and pages, whether healthy members are suspected under loss. What it does not show
is anything that takes a crowd: detection and dissemination times, the count of accusers, and refutation by gossip,
for hardly anybody passes on what an observer says. Those are measured at 1,000 and fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import frozen

from gossipmesh.channel.datagram import SENDER_TAG, TAG_AT
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.credentials import Peer, encode_credentials
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.membership.members import Member
from gossipmesh.membership.message_codec import decode_messages_untrusted, encode_messages
from gossipmesh.membership.messages import ROOT_BYTES, Ack, Message, Nack, Ping, PingRequest
from gossipmesh.mesh.charter import Charter
from gossipmesh.mesh.exchanges import Kind, encode_plain, encode_refusal
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output, Refused, SendDatagram
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, NodeId
from gossipmesh.registry.sync_messages import DigestRequest, DigestResponse, decode_request_untrusted, encode
from gossipmesh.registry.sync_messages import peek_kind_untrusted as peek_kind

if TYPE_CHECKING:
    import random


_NO_ROOT: Final = bytes(ROOT_BYTES)
_NOBODY: Final[Mapping[NodeId, Member]] = MappingProxyType({})


@frozen
class Surroundings:
    """What a stand-in asks of its world instead of knowing it.

    Args:
        records: gives the present records of those that may have sent a datagram, by the tag that it shows.
        reaches: tells whether one node has an answer from another now.
        size: gives how many members there are.
    """

    records: Callable[[bytes], list[MemberRecord]]
    reaches: Callable[[NodeId, NodeId], bool]
    size: Callable[[], int]


class StandIn(Mesh):
    """Looks like a :class:`Mesh` to its shell and to its peers, and decides nothing.

    Args:
        surroundings: what it asks of its world.
        setup: as for :class:`Mesh`.
        rng: dice.
        entropy: gives random bytes.
        now: monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        setup: Setup,
        *,
        rng: random.Random,
        entropy: Callable[[int], bytes],
        now: float,
        wall: float,
    ) -> None:
        self._setup = setup
        self._charter = Charter(setup.trust, setup.check_policy)
        self._surroundings = surroundings
        self._secrecy = Secrecy(
            id=setup.key.id,
            mesh_id=setup.trust.mesh_id,
            generation=setup.boot,
            entropy=entropy,
            rng=rng,
            now=now,
            pair_keys=setup.pair_keys,
        )
        self._record = sign_record(
            seed=setup.key.seed,
            mesh_id=setup.trust.mesh_id,
            boot=setup.boot,
            incarnation=0,
            name=setup.chain.name,
            addresses=setup.addresses,
            dh_key=self._secrecy.public,
            dh_generation=self._secrecy.generation,
            chain_hash=setup.chain.hash,
            issued_at=int(wall),
            services=setup.services,
        )

    @property
    def own(self) -> MemberRecord:
        """Its record, which it signs once."""
        return self._record

    @property
    def chain(self) -> VerifiedChain:
        """Its chain."""
        return self._setup.chain

    @property
    def members(self) -> Mapping[NodeId, Member]:
        """Nobody."""
        return _NOBODY

    @property
    def deadline(self) -> float:
        """Never: it does nothing by itself."""
        return float("inf")

    def credentials(self, theirs: int | None = None, *, wall: float) -> bytes:
        """Give what a handshake shows of it, as :meth:`Mesh.credentials`."""
        return encode_credentials(self._setup.trust.n, self.chain.raw, self._record.signed.raw, wall=wall)

    def start(self, *, now: float, wall: float) -> list[Output]:
        """Begin: nothing follows."""
        return []

    def set_seeds(self, seeds: tuple[Address, ...], *, now: float, wall: float) -> list[Output]:
        """Take seeds: it asks none."""
        return []

    def receive_datagram_untrusted(
        self, payload: bytes, source: Address, *, now: float, wall: float
    ) -> list[Output]:
        """Answer a ping with an ack, and a request to probe with what a helper would find."""
        try:
            sender, plaintext = self._open_untrusted(payload)
            messages = decode_messages_untrusted(plaintext)
        except RemoteProtocolError as error:
            return [Refused(error.code)]
        answers = [answer for each in messages if (answer := self._answer(each)) is not None]
        if not answers:
            return []
        sealed = self._secrecy.seal(sender, encode_messages(answers))
        return [SendDatagram(source, sealed, type(answers[0]).__name__.lower())]

    def _open_untrusted(self, payload: bytes) -> tuple[NodeId, bytes]:
        try:
            return self._secrecy.open_untrusted(payload)
        except RemoteProtocolError as error:
            if error.code not in ("datagram.stranger", "datagram.forged"):
                raise
            for record in self._surroundings.records(payload[TAG_AT : TAG_AT + SENDER_TAG]):
                self._secrecy.learn(record)
            return self._secrecy.open_untrusted(payload)

    def _answer(self, message: Message) -> Message | None:
        match message:
            case Ping(seq, target, root) if target == self.id:
                # Its registry counts as equal to that of whoever asks.
                return Ack(seq, root)
            case PingRequest(seq, target):
                return Ack(seq, _NO_ROOT) if self._surroundings.reaches(self.id, target) else Nack(seq)
            case _:
                return None

    def answer_untrusted(
        self, peer: Peer, request: bytes, *, now: float, wall: float
    ) -> tuple[bytes, list[Output]]:
        """Say that it is there, or that its registry is equal; refuse the rest."""
        try:
            if peek_kind(request) == Kind.PROBE:
                return encode_plain(Kind.PROBED), []
            if isinstance(decode_request_untrusted(request), DigestRequest):
                return encode(DigestResponse(self._surroundings.size(), b"")), []
        except RemoteProtocolError as error:
            return encode_refusal(error.code), [Refused(error.code)]
        return encode_refusal("standin"), []

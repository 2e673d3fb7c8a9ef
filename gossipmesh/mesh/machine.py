"""One node's whole control plane as one pure machine: bytes, time and orders in, outputs out.

The daemon and the simulator drive this very class. It does no IO, reads no clock and rolls no dice of its own: time
comes as ``now`` (monotonic seconds) and ``wall`` (Unix seconds, for expiry only), dice as ``rng``, keys from
``entropy``. One task owns it; every method returns what to do, in order, and leaves the machine consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership.machine import STALL_S
from gossipmesh.membership.members import Member
from gossipmesh.mesh.carrying import Carrying
from gossipmesh.mesh.charter import Charter
from gossipmesh.mesh.circumstances import Circumstances, circumstances_of
from gossipmesh.mesh.effects import Effect
from gossipmesh.mesh.exchanges import HANDSHAKE, NO_ROOM, encode_refusal
from gossipmesh.mesh.outputs import BundlesChanged, Output, PolicyChanged, Refused, RevocationsChanged
from gossipmesh.mesh.parts import Parts
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, NodeId, Service, Serving
from gossipmesh.registry.store import Registry
from gossipmesh.routing.snapshot import Snapshot

if TYPE_CHECKING:
    import random

HOUSEKEEPING_S: Final = 5.0
"""Between two looks at everything that has a day, an hour or half a minute of time; one is a pass over all records."""


class Mesh:
    """Membership, registry, joining and trust of one node.

    Attributes:
        deadline: when :meth:`handle_timer` is due, in monotonic seconds.
        routes: keeps :attr:`names` and :attr:`snapshot`; to be read only. survey: pings that a person asks for.

    Raises:
        ConfigError: ``record.too-long`` or ``record.invalid``, where this node's record would not be accepted.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        rng: random.Random,
        entropy: Callable[[int], bytes],
        now: float,
        wall: float,
    ) -> None:
        self._setup = setup
        self._trust = setup.trust
        self._now, self._wall = now, wall
        parts = Parts(
            setup,
            rng=rng,
            entropy=entropy,
            now=now,
            wall=lambda: self._wall,
            refused_services=self._refused_services,
        )
        self._secrecy = parts.secrecy
        self._registry = parts.registry
        self._own = parts.own
        self._membership = parts.membership
        self._standing = parts.standing
        self._admission = parts.admission
        self._exchanges = parts.exchanges
        self._reconciling = parts.reconciling
        self._renewing = parts.renewing
        self._gossip = parts.gossip
        self._detour = parts.detour
        self._calls = parts.calls
        self._charter, self._pulling, self._restored = parts.charter, parts.pulling, parts.restored
        self._carrying = Carrying(parts)
        self._reach, self.routes, self.survey = parts.reach, parts.routes, parts.survey
        self._housekeeping_at = now

    # --- what others may look at ---

    @property
    def id(self) -> NodeId:
        """This node's id."""
        return self._setup.key.id

    @property
    def own(self) -> MemberRecord:
        """This node's record, as last signed."""
        return self._membership.own

    @property
    def chain(self) -> VerifiedChain:
        """This node's chain, as last renewed."""
        return self._own.chain

    @property
    def trust(self) -> TrustStore:
        """The mesh's trust bundles."""
        return self._trust

    @property
    def charter(self) -> Charter:
        """What is signed for the whole mesh: the policy in force, and who is revoked. To be read only."""
        return self._charter

    @property
    def registry(self) -> Registry:
        """The verified records and chains that this node holds; to be read only."""
        return self._registry

    @property
    def members(self) -> Mapping[NodeId, Member]:
        """Everybody else, as believed now."""
        return self._membership.members

    @property
    def names(self) -> Mapping[NodeId, str]:
        """What each id is shown as; names are labels, and two nodes that claim one do not both get it."""
        return self.routes.names

    @property
    def snapshot(self) -> Snapshot:
        """The endpoints as last handed out."""
        return self.routes.snapshot

    @property
    def joined(self) -> bool:
        """Whether this node has been in step with another member, policy included, or has nobody to wait for."""
        alone = not any(member.living for member in self.members.values())
        return self._reconciling.joined and (self._pulling.synced or alone)

    @property
    def agreement(self) -> float:
        """The share of living members, 0 to 1, whose registry was last seen equal to ours."""
        living = sum(1 for member in self.members.values() if member.living)
        return 1.0 if not living else 1 - self._reconciling.differing(self.members) / living

    @property
    def awareness(self) -> int:
        """How much this node doubts itself: 0, all is well, to ``Parameters.awareness_max``."""
        return self._membership.awareness

    @property
    def circumstances(self) -> Circumstances:
        """What this node has found out about its own place in the mesh."""
        return circumstances_of(self._own, self._reconciling, self._reach)

    @property
    def static_private(self) -> bytes:
        """The X25519 key of our handshakes; :attr:`own` publishes its other half."""
        return self._secrecy.private

    def credentials(self, theirs: int | None = None, *, wall: float) -> bytes:
        """Give what a handshake shows of us, and the trust bundles that the other side lacks.

        Args:
            theirs: the number of the other side's newest bundle; None where that is ours too.
            wall: Unix seconds.
        """
        return self._own.credentials(theirs, self.own, wall=wall)

    def chain_of(self, node: NodeId) -> VerifiedChain | None:
        """Give the chain of a member whose record is held, or our own."""
        return self._own.chain if node == self.id else self._registry.chain_of(node)

    def addresses_of(self, node: NodeId) -> tuple[Address, ...] | None:
        """Give where a member is, or we are; None for who is no member."""
        if node == self.id:
            return self.own.addresses
        return None if (member := self.members.get(node)) is None else member.record.addresses

    def known(self) -> tuple[bytes, ...]:
        """Give every living member's chain and record, in turn, to be kept for the next start."""
        return self._admission.known()

    @property
    def deadline(self) -> float:
        """When :meth:`handle_timer` is due, in monotonic seconds."""
        return min(
            self._membership.deadline,
            self._reconciling.deadline,
            self._reach.deadline,
            self._pulling.deadline,
            self._standing.deadline,
            self._housekeeping_at,
            self.routes.due,
            self._carrying.deadline,
        )

    def knows_sender(self, payload: bytes) -> bool:
        """Tell, at the cost of a look-up, whether a UDP payload may be a member's; nothing proves that it is."""
        return self._secrecy.knows_sender(payload)

    # --- inputs ---

    def start(self, *, now: float, wall: float) -> list[Output]:
        """Begin: take in what the last run knew, and probe it."""
        self._now, self._wall = now, wall
        effects: list[Effect] = [*self._standing.complain(), *self._membership.start(now=now)]
        effects += self._restored
        self._reconciling.start(now=now)
        self._pulling.start(now=now)
        learned = list(self._setup.known)
        effects += self._admission.learn(learned, self.id, news=False, now=now, wall=wall)
        return self._carry(effects)

    def set_seeds(self, seeds: tuple[Address, ...], *, now: float, wall: float) -> list[Output]:
        """Take the addresses that the seeds' names resolve to now."""
        self._now, self._wall = now, wall
        self._reconciling.joining.set_seeds(seeds, now=now)
        return self._carry([], self._reconciling.handle_timer(now=now))

    def receive_datagram_untrusted(
        self, payload: bytes, source: Address, *, now: float, wall: float
    ) -> list[Output]:
        """Take one UDP payload. Whatever it holds, the worst result is :class:`Refused`."""
        self._now, self._wall = now, wall
        return self._carry(*self._gossip.receive_untrusted(payload, source, now=now, wall=wall))

    def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
        """Do what is due.

        Args:
            now: monotonic seconds.
            wall: Unix seconds.
            late_s: how long after :attr:`deadline` this call comes. A process that slept cannot tell a
                peer's silence from its own, so membership extends what was open by as much.
        """
        self._now, self._wall = now, wall
        effects: list[Effect] = []
        outputs: list[Output] = []
        if late_s > STALL_S or now >= self._membership.deadline:
            effects += self._membership.handle_timer(now=now, late_s=late_s)
        if now >= self._reconciling.deadline:
            outputs += self._reconciling.handle_timer(now=now)
        outputs += self._reach.handle_timer(now=now) + self._carrying.handle_timer(now=now)
        told, asked = self._pulling.handle_timer(now=now)
        effects, outputs = [*effects, *told], [*outputs, *asked]
        effects += self._standing.tell_offer(now=now, wall=wall)
        if now >= self._housekeeping_at:
            outputs += self._keep_house(effects, now=now, wall=wall)
            self._housekeeping_at = min(now + HOUSEKEEPING_S, max(now, self._renewing.deadline))
        return self._carry(effects, outputs)

    def answer_untrusted(
        self, peer: Peer, request: bytes, *, now: float, wall: float
    ) -> tuple[bytes, list[Output]]:
        """Answer one request that came over a sync channel from an authenticated peer.

        A request that cannot be granted is answered with a refusal; the channel stays.
        """
        self._now, self._wall = now, wall
        if self._charter.is_revoked(peer.chain):
            return encode_refusal("chain.revoked"), [Refused("chain.revoked")]
        try:
            response, effects, outputs = self._calls.answer_untrusted(peer, request, now=now, wall=wall)
        except RemoteProtocolError as error:
            return encode_refusal(error.code), [Refused(error.code)]
        return response, self._carry(effects, outputs)

    def receive_answer_untrusted(
        self, number: int, peer: Peer, answer: bytes, *, now: float, wall: float
    ) -> list[Output]:
        """Take the answer to the :class:`~gossipmesh.mesh.outputs.Exchange` of this number."""
        self._now, self._wall = now, wall
        exchange = self._exchanges.end(number)
        if exchange is None or self._charter.is_revoked(peer.chain):
            return []
        try:
            effects, outputs = self._calls.receive_answer_untrusted(
                exchange, peer, answer, now=now, wall=wall
            )
        except RemoteProtocolError as error:
            refused, why = error.code != NO_ROOM, self._calls.why(error)
            effects, outputs = self._calls.failed(exchange, why, refused=refused, code=error.code, now=now)
            return self._carry(effects, [*outputs, Refused(error.code)])
        return self._carry(effects, outputs)

    def exchange_failed(
        self,
        number: int,
        why: str,
        *,
        refused: bool,
        another_key: bool = False,
        now: float,
        wall: float,
    ) -> list[Output]:
        """Take that an exchange found nobody, or broke off.

        Args:
            number: the exchange's.
            why: for people.
            refused: whether somebody was there and the handshake failed, rather than nobody.
            another_key: whether it proved another member's key; counts where one address was dialled, and is still its.
            now: monotonic seconds.
            wall: Unix seconds.
        """
        self._now, self._wall = now, wall
        if (exchange := self._exchanges.end(number)) is None:
            return []
        code = HANDSHAKE if refused else ""
        effects, outputs = self._calls.failed(exchange, why, refused=refused, code=code, now=now)
        to = exchange.target if another_key else None
        if to is not None and exchange.addresses == (self.addresses_of(to) or ())[:1]:
            effects += self._membership.note_another_key(to, now=now)
        return self._carry(effects, outputs)

    def note_unreachable(self, target: NodeId, why: str, *, now: float, wall: float) -> list[Output]:
        """Take the data plane's own evidence against a member: a failed connect, or a channel that broke."""
        self._now, self._wall = now, wall
        return self._carry(self._membership.note_unreachable(target, why, now=now))

    def set_serving(self, serving: Serving, *, now: float, wall: float) -> list[Output]:
        """Say that this node drains, or leaves, or serves again."""
        self._now, self._wall = now, wall
        return self._carry(self._standing.serve(serving, now=now, wall=wall))

    def set_addresses(self, addresses: tuple[Address, ...], *, now: float, wall: float) -> list[Output]:
        """Say that this node is to be dialled at ``addresses``."""
        self._now, self._wall = now, wall
        return self._carry(self._standing.move(addresses, now=now, wall=wall))

    def check_services(self, services: Sequence[Service]) -> None:
        """Check that this node's record has room for ``services``; a ConfigError says what is wrong."""
        self._own.check(services)

    def set_services(self, services: Sequence[Service], *, now: float, wall: float) -> list[Output]:
        """Say that this node offers ``services``; a ConfigError, as :meth:`check_services`, changes nothing."""
        self._now, self._wall = now, wall
        return self._carry(self._standing.offer(services, now=now, wall=wall))

    def set_health(self, unhealthy: frozenset[str], *, now: float, wall: float) -> list[Output]:
        """Say that all of this node's services but ``unhealthy`` work; what is known already is not signed again."""
        self._now, self._wall = now, wall
        return self._carry(self._standing.set_health(unhealthy, now=now, wall=wall))

    def show_policy(self, version: int, hash_: bytes, gate: int, *, now: float, wall: float) -> list[Output]:
        """Say in our record which policy is in effect here, and what the gate of its rollout says."""
        self._now, self._wall = now, wall
        return self._carry(self._standing.show_policy((version, hash_[:8], gate), now=now, wall=wall))

    def offer_untrusted(self, kind: str, raw: bytes, *, now: float, wall: float) -> tuple[str, list[Output]]:
        """Take something signed for the whole mesh: a ``bundle``, a ``revocation`` or a ``policy``.

        Gives ``taken``, ``stale`` (it is held already, or something newer is) or ``refused: `` and why.
        """
        self._now, self._wall = now, wall
        try:
            said = self._charter.offer_untrusted(kind, raw, wall=wall)
        except (RemoteProtocolError, ConfigError) as error:
            return f"refused: {error}", [Refused(error.code)]
        self._pulling.note_change(now=now)
        taken = any(isinstance(each, PolicyChanged | RevocationsChanged | BundlesChanged) for each in said)
        return ("taken" if taken else "stale"), self._carry([*said])

    def learn_bundles_untrusted(self, raws: Sequence[bytes], *, now: float, wall: float) -> list[Output]:
        """Take trust bundles that a handshake or an operator brought; each is verified here."""
        self._now, self._wall = now, wall
        said = self._charter.learn_bundles_untrusted(raws)
        self._pulling.note_change(now=now)
        return self._carry([*said])

    def keep_root(self, seed: bytes) -> None:
        """Take the secret of the mesh's new root, where this node keeps it: it moves its own chain onto it."""
        self._renewing.keep_root(seed)

    # --- inside ---

    def _refused_services(self, node: NodeId) -> frozenset[str]:
        return self._own.refused if node == self.id else self._admission.refused_services(node)

    def _keep_house(self, effects: list[Effect], *, now: float, wall: float) -> list[Output]:
        if self._secrecy.handle_timer(now=now):
            effects += self._standing.resign(now=now, wall=wall)
        effects += self._standing.handle_timer(now=now, wall=wall)
        effects += self._reach.complain_unheard(now=now)
        effects += self._charter.expire(wall=wall)
        self._pulling.note_change(now=now)
        outputs: list[Output] = []
        for exchange in self._exchanges.end_overdue(now=now):
            followed, said = self._calls.failed(exchange, "no answer", refused=False, now=now)
            effects += followed
            outputs += said
        if self._registry.expire(wall=wall):
            self.routes.stale = True
        renewed, asked = self._renewing.handle_timer(self._own.chain, self.members, now=now, wall=wall)
        effects += self._standing.adopt(renewed, now=now, wall=wall)
        return outputs + asked

    def _carry(self, effects: Sequence[Effect], outputs: Sequence[Output] = ()) -> list[Output]:
        return self._carrying.carry(effects, outputs, now=self._now, wall=self._wall)

"""The parts of one node's control plane, put together: who is told of whom. ``machine`` drives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gossipmesh.membership.machine import Membership
from gossipmesh.mesh.admission import Admission
from gossipmesh.mesh.calls import Calls
from gossipmesh.mesh.charter import Charter
from gossipmesh.mesh.convergence import Convergence
from gossipmesh.mesh.detour import Detour
from gossipmesh.mesh.exchanges import Exchanges
from gossipmesh.mesh.gossip import Gossip
from gossipmesh.mesh.joining import Joining
from gossipmesh.mesh.own import Own
from gossipmesh.mesh.pulling import Pulling
from gossipmesh.mesh.reach import Reach
from gossipmesh.mesh.reconciling import Reconciling
from gossipmesh.mesh.renewing import Renewing
from gossipmesh.mesh.routes import Routes
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.setup import Setup
from gossipmesh.mesh.standing import Standing
from gossipmesh.mesh.survey import Survey
from gossipmesh.model import NodeId
from gossipmesh.registry.store import Registry

if TYPE_CHECKING:
    import random


class Parts:
    """Everything that :class:`~gossipmesh.mesh.machine.Mesh` is made of.

    Args:
        setup: what the node starts from.
        rng: dice, shared by all parts but membership.
        entropy: gives random bytes, for keys.
        now: monotonic seconds.
        wall: gives the Unix seconds of the call under way.
        refused_services: gives the services that a node declares outside its token.

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
        wall: Callable[[], float],
        refused_services: Callable[[NodeId], frozenset[str]],
    ) -> None:
        self.secrecy = Secrecy(
            id=setup.key.id,
            mesh_id=setup.trust.mesh_id,
            generation=setup.boot,
            entropy=entropy,
            rng=rng,
            now=now,
            pair_keys=setup.pair_keys,
        )
        self.trust = setup.trust
        self.charter = Charter(setup.trust, setup.check_policy)
        self.restored = self.charter.restore(setup.revocations, setup.policies, setup.returned, wall=wall())
        self.registry = Registry(
            setup.trust, limits=setup.limits, checks=setup.checks, revoked=self.charter.is_revoked
        )
        self.own = Own(setup, secrecy=self.secrecy, registry=self.registry, rng=rng)
        self.membership: Membership = setup.membership(
            setup.parameters,
            self.own.sign(wall=wall()),
            # Dice of its own: what it does depends on its inputs alone, and a recording of those runs again.
            rng=type(rng)(rng.getrandbits(64)),
            sign_accusation=lambda *subject: self.own.accuse(*subject, wall=wall()),
            root=lambda: self.registry.digest.root,
        )
        self.standing = Standing(self.own, self.membership, setup.parameters)
        self.admission = Admission(
            setup.key.id,
            mesh_id=setup.trust.mesh_id,
            registry=self.registry,
            membership=self.membership,
            secrecy=self.secrecy,
            checks=setup.checks,
        )
        self.exchanges = Exchanges()
        self.reconciling = self._make_reconciling(setup, rng)
        self.renewing = Renewing(
            setup.trust,
            setup.key,
            setup.root_seed,
            self.registry,
            self.exchanges,
            rng=rng,
            revoked=self.charter.is_revoked,
        )
        self._make_paths(setup, rng)
        self.routes = Routes(setup.key.id, self.membership, self.registry, refused_services)

    def _make_paths(self, setup: Setup, rng: random.Random) -> None:
        """Make what messages come and go by."""
        self.reach = Reach(self.exchanges, self.membership, root=lambda: self.registry.digest.root, rng=rng)
        self.detour = Detour(
            self.exchanges, timeout_s=setup.parameters.probe_period_s, charter=lambda: self.charter.digest
        )
        self.pulling = Pulling(
            setup.key.id,
            self.charter,
            parameters=setup.parameters,
            membership=self.membership,
            exchanges=self.exchanges,
            expected=setup.seeds_expected,
            rng=rng,
        )
        self.survey = Survey(
            root=lambda: self.registry.digest.root,
            seal=lambda target, messages: self.gossip.seal(target, messages),  # noqa: PLW0108 - made below
            rng=rng,
        )
        self.gossip = Gossip(
            secrecy=self.secrecy,
            registry=self.registry,
            membership=self.membership,
            admission=self.admission,
            reconciling=self.reconciling,
            detour=self.detour,
            reach=self.reach,
            survey=self.survey,
            convergence=Convergence(),
            charter=lambda: self.charter.digest,
        )
        self.calls = Calls(
            setup.key.id,
            own=self.own,
            standing=self.standing,
            admission=self.admission,
            reconciling=self.reconciling,
            renewing=self.renewing,
            gossip=self.gossip,
            detour=self.detour,
            reach=self.reach,
            pulling=self.pulling,
        )

    def _make_reconciling(self, setup: Setup, rng: random.Random) -> Reconciling:
        joining = Joining(
            reconnect_min_s=setup.parameters.reconnect_min_s,
            reconnect_max_s=setup.parameters.reconnect_max_s,
            rng=rng,
        )
        joining.wanted = setup.seeds_expected
        return Reconciling(
            setup.parameters,
            registry=self.registry,
            membership=self.membership,
            joining=joining,
            exchanges=self.exchanges,
            standing=self.standing,
            rng=rng,
        )

"""What a node's control plane starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field, frozen

from gossipmesh.channel.datagram import PairKeys, derive_pair_keys
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.keys import NodeKey
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.parameters import Parameters
from gossipmesh.mesh.charter import CheckPolicy
from gossipmesh.model import Address, Service
from gossipmesh.registry.store import RegistryLimits
from gossipmesh.registry.sync import Learned


@frozen
class Setup:
    """What a node's control plane starts from. ``root_seed`` only where this node keeps its mesh's root key."""

    key: NodeKey
    trust: TrustStore
    chain: VerifiedChain
    boot: int
    addresses: tuple[Address, ...]
    services: tuple[Service, ...] = ()
    zone: str = ""
    parameters: Parameters = field(factory=Parameters)
    seeds_expected: bool = False
    known: Sequence[Learned] = ()
    """Chains and records of the last run, to be verified again: somebody to ask when no seed answers.
    Read at the start only."""
    root_seed: bytes | None = field(default=None, repr=False)
    membership: Callable[..., Membership] = Membership
    """What is built: :class:`Membership`, or one that also keeps a record of what goes in and out."""
    checks: Checks = CHECKS
    pair_keys: Callable[..., PairKeys] = derive_pair_keys
    """Agrees on the keys of a pair of nodes, as :func:`derive_pair_keys` does."""
    limits: RegistryLimits = field(factory=RegistryLimits)
    check_policy: CheckPolicy = lambda _: None
    """Raises ConfigError for the text of a policy document that this node could not follow."""
    revocations: Sequence[bytes] = ()
    """What the last run kept, to be verified again. Read at the start only."""
    policies: Sequence[bytes] = ()
    """The same: policy documents."""
    returned: Sequence[bytes] = ()
    """The same: the body of the document that the newest one returns to, if it was held."""

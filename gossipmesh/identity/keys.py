"""A node's own key. The id *is* the public key; no server hands it out.

Law: a secret is never shown by ``repr``. Entropy comes in as a callable, so that a seeded run makes the same keys.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from gossipmesh import crypto
from gossipmesh.model import NodeId

Entropy = Callable[[int], bytes]
"""Gives as many random bytes as asked for: ``os.urandom`` in the daemon, seeded bytes in a simulation."""


@frozen
class NodeKey:
    """An Ed25519 key pair: the 32-byte ``seed`` that signs, and the ``id`` that everybody knows it by."""

    seed: bytes = field(repr=False)
    id: NodeId

    @classmethod
    def from_seed(cls, seed: bytes) -> NodeKey:
        """Give the key that ``seed`` (32 bytes) makes."""
        return cls(seed, NodeId(crypto.signing_public(seed)))

    @classmethod
    def generate(cls, entropy: Entropy) -> NodeKey:
        """Make a fresh key."""
        return cls.from_seed(entropy(crypto.KEY))

"""A node's key: made of the entropy handed in, its secret never shown."""

from __future__ import annotations

import random

from gossipmesh import crypto
from gossipmesh.identity.keys import NodeKey


def test_the_id_is_the_public_key_of_the_seed() -> None:
    key = NodeKey.from_seed(bytes(32))
    assert key.id == crypto.signing_public(bytes(32))


def test_the_same_entropy_makes_the_same_key() -> None:
    assert NodeKey.generate(random.Random(1).randbytes) == NodeKey.generate(random.Random(1).randbytes)
    assert NodeKey.generate(random.Random(1).randbytes) != NodeKey.generate(random.Random(2).randbytes)


def test_repr_hides_the_seed() -> None:
    seed = b"secret-secret-secret-secret-1234"
    shown = repr(NodeKey.from_seed(seed))
    assert "secret" not in shown
    assert seed.hex() not in shown

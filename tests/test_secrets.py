"""No secret is shown by a ``repr``: what is logged, asserted or raised by mistake tells nobody a key."""

from __future__ import annotations

import base64
import importlib
import pkgutil
import re
from collections.abc import Iterator

import attrs
import pytest

import gossipmesh
from gossipmesh import crypto
from gossipmesh.channel.datagram import derive_pair_keys
from gossipmesh.channel.noise import CipherState, Handshake, Role
from gossipmesh.daemon.disk.root import make_root
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.model import NodeId

SECRET = re.compile(r"seed$|private$|secret|^sealing$|^opening$")
KEYS = ("bytes", "bytes | None")
SEED = bytes(range(100, 132))


def values() -> Iterator[type]:
    """Give every attrs class of the package."""
    for module in pkgutil.walk_packages(gossipmesh.__path__, "gossipmesh."):
        if module.name.endswith("__main__"):
            continue
        for found in vars(importlib.import_module(module.name)).values():
            if isinstance(found, type) and attrs.has(found) and found.__module__ == module.name:
                yield found


def test_every_field_that_holds_a_secret_is_left_out_of_its_repr() -> None:
    shown = {
        f"{each.__module__}.{each.__qualname__}.{field.name}"
        for each in values()
        if each.__repr__ is not object.__repr__
        for field in attrs.fields(each)
        if SECRET.search(field.name) and field.repr is True and str(field.type) in KEYS
    }
    assert shown == set()


def test_that_fields_with_secrets_are_found_at_all() -> None:
    found = {
        f"{each.__qualname__}.{f.name}"
        for each in values()
        for f in attrs.fields(each)
        if SECRET.search(f.name)
    }
    assert {"NodeKey.seed", "Token.seed", "MeshRoot.seed", "Setup.root_seed", "Enrolment.root_seed"} <= found


def holders() -> list[object]:
    root = make_root(lambda size: SEED[:size], default_allow=True)
    token = root.mint(Caveats(1, 2), lambda size: SEED[:size])
    public = crypto.dh_public(bytes([9] * 32))
    pair = derive_pair_keys(SEED, public, mesh_id=bytes(32), own_id=NodeId(SEED), peer_id=NodeId(public))
    handshake = Handshake(Role.INITIATOR, prologue=b"", static_private=SEED, ephemeral_private=SEED)
    return [root, token, NodeKey.from_seed(SEED), CipherState(SEED), handshake, pair]


@pytest.mark.parametrize("holder", holders(), ids=lambda holder: type(holder).__name__)
def test_whatever_holds_a_secret_shows_none_of_it(holder: object) -> None:
    said = repr(holder)
    for secret in (SEED, getattr(holder, "sealing", SEED), getattr(holder, "opening", SEED)):
        for spelling in (
            repr(secret)[2:-1],
            secret.hex(),
            base64.b64encode(secret).decode()[:40],
            base64.urlsafe_b64encode(secret).decode()[:40],
        ):
            assert spelling not in said

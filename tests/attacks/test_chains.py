"""Chains that prove nothing: forged, widened, expired, put together anew, too long. And who believes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from gossipmesh import wire
from gossipmesh.crypto import signing_public
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.block import (
    Block,
    BlockKind,
    append_block,
    decode_blocks_untrusted,
    encode_blocks,
)
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, VerifiedChain, chain_hash, join_chain, verify_chain_untrusted
from gossipmesh.identity.checks import Checks
from gossipmesh.identity.grants import Capability, Restrictions
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.signed import envelope
from gossipmesh.identity.token import Token, narrow, new_token
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.registry.store import Accepted, ChainAccepted, Registry

WALL: Final = 1_700_000_000
DAY: Final = 86_400
RNG: Final = random.Random(11)
ROOT, NODE, EVIL = (NodeKey.generate(RNG.randbytes) for _ in range(3))
BUNDLE: Final = new_bundle([ROOT.id], default_allow=True)
ALL: Final = frozenset(Capability)
WIDE: Final = Restrictions(WALL - 300, WALL + DAY, services=(("*",),), names=(("*",),), groups=None, caps=ALL)


def token(root: NodeKey = ROOT, *, days: int = 1, **caveats: Any) -> Token:
    bundle = BUNDLE if root is ROOT else new_bundle([root.id], default_allow=True)
    said = Caveats(WALL - 300, WALL + days * DAY, **({"services": ("web*",)} | caveats))
    return new_token(bundle, root.seed, said, RNG.randbytes)


def extended(before: tuple[Block, ...], seed: bytes, kind: BlockKind, key: bytes, name: str = "") -> bytes:
    blocks = append_block(before, kind, key, name, WIDE, mesh_id=BUNDLE.hash, seed=seed)
    return encode_blocks(blocks)


def of_another_root() -> bytes:
    return join_chain(token(EVIL), EVIL.seed, "web-1")


def with_the_first_block_widened() -> bytes:
    first, last = decode_blocks_untrusted(join_chain(token(), EVIL.seed, "web-1"))
    body = wire.unpack_untrusted(first.signed.body, code="t")
    assert isinstance(body, list)
    body[7] = [[b"*"]]
    return wire.pack([envelope(wire.pack(body), first.signed.signature).raw, last.signed.raw])


def of_yesterday() -> bytes:
    caveats = Caveats(WALL - 2 * DAY, WALL - DAY)
    return join_chain(new_token(BUNDLE, ROOT.seed, caveats, RNG.randbytes), EVIL.seed, "web-1")


def with_the_narrowing_left_out() -> bytes:
    narrower = narrow(token(), Caveats(WALL, WALL + 60, services=("web-1",)), RNG.randbytes)
    first, _, last = decode_blocks_untrusted(join_chain(narrower, EVIL.seed, "web-1"))
    return encode_blocks((first, last))


def with_a_block_of_another_chain() -> bytes:
    (first, _), (_, last) = (
        decode_blocks_untrusted(join_chain(token(services=services), EVIL.seed, "web-1"))
        for services in (("*",), ("web*",))
    )
    return encode_blocks((first, last))


def with_blocks_in_another_order() -> bytes:
    narrower = narrow(token(), Caveats(WALL, WALL + 60), RNG.randbytes)
    first, second, last = decode_blocks_untrusted(join_chain(narrower, EVIL.seed, "web-1"))
    return encode_blocks((second, first, last))


def of_five_blocks() -> bytes:
    made = token()
    blocks, seed = made.blocks, made.seed
    for number in range(3):
        key = NodeKey.generate(RNG.randbytes)
        restrictions = Restrictions(WALL, WALL + DAY)
        blocks = append_block(
            blocks, BlockKind.DELEGATION, key.id, "", restrictions, mesh_id=BUNDLE.hash, seed=seed
        )
        seed = key.seed
        assert number < 3
    blocks = append_block(
        blocks,
        BlockKind.NODE,
        EVIL.id,
        "web-1",
        Restrictions(WALL, WALL + DAY),
        mesh_id=BUNDLE.hash,
        seed=seed,
    )
    return encode_blocks(blocks)


def of_a_member_that_admits_another() -> bytes:
    blocks = decode_blocks_untrusted(join_chain(token(), NODE.seed, "web-2"))
    return extended(blocks, NODE.seed, BlockKind.NODE, EVIL.id, "web-1")


def of_a_member_that_makes_itself_a_token() -> bytes:
    blocks = decode_blocks_untrusted(join_chain(token(), NODE.seed, "web-2"))
    key = NodeKey.generate(RNG.randbytes)
    more = append_block(blocks, BlockKind.DELEGATION, key.id, "", WIDE, mesh_id=BUNDLE.hash, seed=NODE.seed)
    return extended(more, key.seed, BlockKind.NODE, EVIL.id, "web-1")


def of_a_token_that_admits_nobody() -> bytes:
    made = token(caps=frozenset({Capability.POLICY}))
    return extended(made.blocks, made.seed, BlockKind.NODE, EVIL.id, "web-1")


def with_a_name_outside() -> bytes:
    made = token(names=("db-*",))
    return extended(made.blocks, made.seed, BlockKind.NODE, EVIL.id, "web-1")


ATTACKS: Final[dict[Callable[[], bytes], str]] = {
    of_another_root: "chain.root",
    with_the_first_block_widened: "chain.root",
    of_yesterday: "chain.expired",
    with_the_narrowing_left_out: "chain.signature",
    with_a_block_of_another_chain: "chain.signature",
    with_blocks_in_another_order: "chain.root",
    of_five_blocks: "chain.too-long",
    of_a_member_that_admits_another: "chain.capability",
    of_a_member_that_makes_itself_a_token: "chain.capability",
    of_a_token_that_admits_nobody: "chain.capability",
    with_a_name_outside: "chain.name",
}


def record_for(raw: bytes, *, service: str = "payments") -> bytes:
    """Give the record that the owner of a chain would show with it."""
    return sign_record(
        seed=EVIL.seed,
        mesh_id=BUNDLE.hash,
        boot=1,
        incarnation=0,
        name="web-1",
        addresses=[Address("192.0.2.66", 7_946)],
        dh_key=bytes(31) + b"\x09",
        dh_generation=0,
        chain_hash=chain_hash(raw),
        issued_at=WALL,
        services=(Service(service, 80),),
    ).signed.raw


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_chain_that_proves_nothing_admits_nobody_and_the_reason_is_named(
    attack: Callable[[], bytes],
) -> None:
    raw = attack()
    registry = Registry(TrustStore(BUNDLE))
    with pytest.raises(RemoteProtocolError) as refused:
        registry.offer_chain_untrusted(raw, wall=WALL)
    assert refused.value.code == ATTACKS[attack]
    assert str(refused.value)
    outcome = registry.offer_record_untrusted(record_for(raw), source=NodeId(NODE.id), wall=WALL)
    assert not isinstance(outcome, Accepted)
    assert len(registry) == 0


def gullible(raw: bytes, trust: TrustStore, *, wall: float) -> VerifiedChain:
    """Take every chain for what its last block says: signatures, order, time and capabilities unread."""
    items = wire.unpack_untrusted(raw, code="t", max_bytes=2_000)
    assert isinstance(items, list)
    (last,) = decode_blocks_untrusted(wire.pack([items[-1]]))
    grants = WIDE.as_grants()
    return VerifiedChain(raw, chain_hash(raw), NodeId(last.key), last.name, grants, (b"token-id",), ())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_without_verification_each_of_them_would_be_a_member_with_any_service(
    attack: Callable[[], bytes],
) -> None:
    raw = attack()
    registry = Registry(TrustStore(BUNDLE), checks=Checks(verify_chain=gullible))
    assert isinstance(registry.offer_chain_untrusted(raw, wall=WALL), ChainAccepted)
    outcome = registry.offer_record_untrusted(record_for(raw), source=NodeId(NODE.id), wall=WALL)
    assert isinstance(outcome, Accepted)
    assert outcome.refused_services == ()


def test_a_later_block_that_claims_everything_gains_nothing() -> None:
    made = token()
    raw = extended(made.blocks, made.seed, BlockKind.NODE, EVIL.id, "web-1")
    chain = verify_chain_untrusted(raw, TrustStore(BUNDLE), wall=WALL)
    assert chain.grants.allows_service("web-1")
    assert not chain.grants.allows_service("payments")
    assert chain.grants.caps == {Capability.JOIN}
    registry = Registry(TrustStore(BUNDLE))
    registry.offer_chain_untrusted(raw, wall=WALL)
    outcome = registry.offer_record_untrusted(record_for(raw), source=NodeId(NODE.id), wall=WALL)
    assert isinstance(outcome, Accepted)
    assert outcome.refused_services == ("payments",)


def test_a_service_inside_the_token_would_have_a_route() -> None:
    """The negative control of the one above: it is the token, and not the record, that refuses."""
    made = token(services=("payments",))
    raw = extended(made.blocks, made.seed, BlockKind.NODE, EVIL.id, "web-1")
    registry = Registry(TrustStore(BUNDLE))
    registry.offer_chain_untrusted(raw, wall=WALL)
    outcome = registry.offer_record_untrusted(record_for(raw), source=NodeId(NODE.id), wall=WALL)
    assert isinstance(outcome, Accepted)
    assert outcome.refused_services == ()


def test_the_same_chain_of_the_same_key_is_worth_nothing_in_another_mesh() -> None:
    raw = join_chain(token(), EVIL.seed, "web-1")
    other = new_bundle([ROOT.id, signing_public(EVIL.seed)], default_allow=True)
    verify_chain_untrusted(raw, TrustStore(BUNDLE), wall=WALL)
    with pytest.raises(RemoteProtocolError) as refused:
        verify_chain_untrusted(raw, TrustStore(other), wall=WALL)
    assert refused.value.code == "chain.root"

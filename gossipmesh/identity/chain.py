"""A node's chain: the proof that it may be a member under its name, down from a root of the mesh.

Law: a verified chain's grants are what *every* block allows; nothing that a later block says adds to them. The last
block's key is the node's id, and nobody issued it: the node made it and appended it with its token's secret.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh import crypto
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.block import (
    MALFORMED,
    MAX_BLOCKS,
    MAX_CHAIN,
    BlockKind,
    append_block,
    decode_blocks_untrusted,
    encode_blocks,
    verify_blocks,
)
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.grants import Capability, Caveats, Grants, Quota, Restrictions
from gossipmesh.identity.token import Token
from gossipmesh.model import NodeId, day

__all__ = [
    "CHAIN_HASH_BYTES",
    "MAX_BLOCKS",
    "MAX_CHAIN",
    "Capability",
    "Caveats",
    "Grants",
    "VerifiedChain",
    "chain_hash",
    "join_chain",
    "verify_chain_untrusted",
]

CHAIN_HASH_BYTES: Final = 16


@frozen
class VerifiedChain:
    """A chain whose every signature held when it was verified, and what it grants.

    ``token_ids`` (8 bytes each) and ``issuers`` are what a revocation may name, through renewals too; ``hash`` is
    the BLAKE2b-128 of ``raw``, and says which chain a record means, nothing more.
    """

    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    hash: bytes
    id: NodeId
    name: str
    grants: Grants
    token_ids: tuple[bytes, ...]
    issuers: tuple[NodeId, ...]
    root: bytes = field(default=b"", repr=bytes.hex)
    """The root key that signed its first block."""
    quotas: tuple[Quota, ...] = ()
    """How many nodes may be members by the delegations that this one joined through."""


def chain_hash(raw: bytes) -> bytes:
    """Give the hash by which records name the chain ``raw``, 16 bytes."""
    return crypto.blake2b(raw, CHAIN_HASH_BYTES)


def verify_chain_untrusted(raw: bytes, trust: TrustStore, *, wall: float) -> VerifiedChain:
    """Give what the chain ``raw`` proves under the mesh's present roots, at the unix time ``wall``.

    Raises:
        RemoteProtocolError: ``chain.malformed``.
        TrustError: ``chain.too-long``, ``chain.root``, ``chain.signature``, ``chain.capability``, ``chain.name``,
            ``chain.expired`` or ``chain.not-yet-valid``; two minutes of clock skew are forgiven both ways.
    """
    blocks = decode_blocks_untrusted(raw)
    last = blocks[-1]
    if last.kind is not BlockKind.NODE:
        raise RemoteProtocolError(MALFORMED, "a chain that ends with no node")
    proof = verify_blocks(blocks, trust)
    if proof.grants.expired(wall):
        raise TrustError(
            "chain.expired", f"the chain of {last.name!r} expired on {day(proof.grants.expires_at)}"
        )
    if proof.grants.not_yet_valid(wall):
        raise TrustError(
            "chain.not-yet-valid",
            f"the chain of {last.name!r} begins on {day(proof.grants.not_before)}: is the clock right?",
        )
    return VerifiedChain(
        raw,
        chain_hash(raw),
        NodeId(last.key),
        last.name,
        proof.grants,
        proof.token_ids,
        proof.issuers,
        proof.root,
        proof.quotas,
    )


def join_chain(token: Token, node_seed: bytes, name: str) -> bytes:
    """Give the chain of a node that joins: the token's blocks and one with the node's own key and name.

    The caller then forgets the token; nothing of its secret is in the chain.

    Raises:
        TrustError: ``chain.capability`` or ``chain.name``, if the token does not allow it.
        RemoteProtocolError: ``chain.malformed``, for a name that is none.
    """
    if not token.grants.allows(Capability.JOIN):
        raise TrustError(
            "chain.capability", "this token does not let nodes join: it lacks the capability join"
        )
    if not token.grants.allows_name(name):
        raise TrustError("chain.name", f"this token does not allow a node to be called {name!r}")
    blocks = append_block(
        token.blocks,
        BlockKind.NODE,
        crypto.signing_public(node_seed),
        name,
        Restrictions(token.grants.not_before, token.grants.expires_at),
        mesh_id=token.mesh_id,
        seed=token.seed,
    )
    return encode_blocks(blocks)

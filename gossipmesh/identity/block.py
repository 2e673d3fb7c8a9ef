"""One block of a chain or token, and the walk that proves a row of them.

A block is signed by the key that the block before it names (the first by a root), names the next key, and adds
restrictions. Its signature covers a link over all bodies before it, so no block can be moved to another chain.
The link leaves signatures out: a hash over them would change with every re-signing.

Law: rows are ``delegation* node*``. A delegation's key is a token's; a node's key is its id. The first node after
delegations needs their ``join``, a node after a node needs that one's ``issue``, and nothing needs less.

Body: ``[1, kind, next key, name, not before, expires at, [token id...], [[service glob...]...],
[[name glob...]...], [[group...]?], [capabilities?], [issuer...]]``; an optional element is an array of at most one.
A block that states a quota, or restates some, is ``[2, ..., [quota?], [[holder, nodes]...]]``.

**What only narrows must not be overlooked.** Elements that a later release appends to a body of a known version are
ignored; that is right for what informs and wrong for what restricts. So each kind of restriction that is added raises
the version of those blocks that use it, and a release that does not know it refuses the chain.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.grants import (
    HOLDER_BYTES,
    MAX_GLOBS,
    MAX_GROUPS,
    MAX_LISTS,
    MAX_QUOTA,
    MAX_QUOTAS,
    Capability,
    Globs,
    Grants,
    Quota,
    Restrictions,
    is_glob,
)
from gossipmesh.identity.signed import MAX_WALL, Signed, decode_signed_untrusted, seal
from gossipmesh.model import ID_BYTES, NodeId

BLOCK_LABEL: Final = b"gossipmesh/block\0"
BLOCK_VERSION: Final = 1
QUOTA_VERSION: Final = 2
"""The version of a block with quotas."""
MAX_BLOCKS: Final = 4
"""Blocks of a chain, the node's own included."""
MAX_CHAIN: Final = 1_100
"""Bytes of a chain on the wire: with a message's head it fits one gossip datagram."""
TOKEN_ID_BYTES: Final = 8
MAX_TOKEN_IDS: Final = 16
MAX_ISSUERS: Final = 16
FIRST_LINK: Final = bytes(32)
MALFORMED: Final = "chain.malformed"

MAX_DECODED: Final = 1_024
"""Blocks that need not be decoded again."""

_CAPABILITIES: Final = (Capability.JOIN, Capability.ISSUE, Capability.POLICY, Capability.REVOKE)
_MAX_CAPABILITY_BITS: Final = 255


class BlockKind(enum.Enum):
    """Whose key a block names."""

    DELEGATION = 1
    NODE = 2


@frozen
class Block:
    """One block. ``key`` is the next public key; ``name`` is the node's, and empty in a delegation."""

    kind: BlockKind
    key: bytes
    name: str
    restrictions: Restrictions
    signed: Signed = field(repr=False)


@frozen
class Proof:
    """What a verified row of blocks proves, whatever the time is. ``root`` is the key that signed its first block."""

    grants: Grants
    token_ids: tuple[bytes, ...]
    issuers: tuple[NodeId, ...]
    root: bytes = field(repr=bytes.hex)
    quotas: tuple[Quota, ...]


def append_block(
    blocks: Sequence[Block],
    kind: BlockKind,
    key: bytes,
    name: str,
    restrictions: Restrictions,
    *,
    mesh_id: bytes,
    seed: bytes,
) -> tuple[Block, ...]:
    """Give ``blocks`` with one more, signed with ``seed``: the secret of the last block's key, or a root's.

    Raises:
        RemoteProtocolError: ``chain.malformed``, for restrictions that no decoder would take.
    """
    body = _encode_body(kind, key, name, restrictions)
    signed = seal(BLOCK_LABEL, mesh_id, body, seed, link=_link(blocks))
    return *blocks, decode_block_untrusted(signed.raw)


def encode_blocks(blocks: Sequence[Block]) -> bytes:
    """Give the wire form of a row: an array of the blocks' own bytes."""
    return wire.pack([block.signed.raw for block in blocks])


def decode_blocks_untrusted(raw: bytes) -> tuple[Block, ...]:
    """Give the row that ``raw`` holds, nothing of it verified.

    Raises:
        RemoteProtocolError: ``chain.malformed``.
        TrustError: ``chain.too-long``, for more than 4 blocks or 1,100 bytes.
    """
    if len(raw) > MAX_CHAIN:
        raise TrustError("chain.too-long", f"a chain of {len(raw)} bytes, {MAX_CHAIN} are allowed")
    fields = wire.Fields(wire.unpack_untrusted(raw, code=MALFORMED, max_bytes=MAX_CHAIN), code=MALFORMED)
    if fields.left > MAX_BLOCKS:
        raise TrustError("chain.too-long", f"a chain of {fields.left} blocks, {MAX_BLOCKS} are allowed")
    blocks = tuple(decode_block_untrusted(fields.binary(1, MAX_CHAIN)) for _ in range(fields.left))
    # As for a signed object: one spelling only, so that nobody can make a second hash of a member's chain.
    if not blocks or encode_blocks(blocks) != raw:
        raise RemoteProtocolError(MALFORMED, "a chain in another encoding than its own, or of no blocks")
    return blocks


def verify_blocks(blocks: Sequence[Block], trust: TrustStore) -> Proof:
    """Walk a row of blocks from the roots of ``trust``; each signature is verified once.

    Raises:
        RemoteProtocolError: ``chain.malformed``, for a first block that leaves something unsaid.
        TrustError: ``chain.root``, ``chain.signature``, ``chain.capability`` or ``chain.name``.
    """
    grants: Grants | None = None
    previous: Block | None = None
    root = b""
    token_ids: list[bytes] = []
    issuers: list[NodeId] = []
    quotas: tuple[Quota, ...] = ()
    for index, block in enumerate(blocks):
        signers = trust.roots if previous is None else (previous.key,)
        signer = _check_signature(block, signers, trust, _link(blocks[:index]))
        if previous is None or grants is None:
            if not block.restrictions.complete:
                raise RemoteProtocolError(MALFORMED, "a chain's first block leaves something unsaid")
            grants, root = block.restrictions.as_grants(), signer
        else:
            _check_may_sign(previous, block, grants)
            grants = grants.narrowed(block.restrictions)
        if block.kind is BlockKind.NODE and not grants.allows_name(block.name):
            raise TrustError("chain.name", f"its token does not allow a node to be called {block.name!r}")
        if previous is not None and previous.kind is BlockKind.NODE:
            issuers.append(NodeId(previous.key))
        token_ids.extend(block.restrictions.token_ids)
        issuers.extend(block.restrictions.issuers)
        quotas = _quotas(previous, block, quotas)
        previous = block
    if grants is None:
        raise RemoteProtocolError(MALFORMED, "a chain of no blocks")
    return Proof(grants, tuple(dict.fromkeys(token_ids)), tuple(dict.fromkeys(issuers)), root, quotas)


def quota_holder(key: bytes) -> bytes:
    """Give by what a delegation's quota is counted: a hash of its key, 16 bytes."""
    return crypto.blake2b(key, HOLDER_BYTES)


def _quotas(previous: Block | None, block: Block, quotas: tuple[Quota, ...]) -> tuple[Quota, ...]:
    """Give the quotas that count for whoever comes after ``block``, of those before it."""
    if block.kind is BlockKind.DELEGATION:
        if block.restrictions.quota is None:
            return quotas
        return (*quotas, Quota(quota_holder(block.key), block.restrictions.quota))
    if previous is None or previous.kind is BlockKind.NODE:
        # A root or an issuer admitted or renewed this node: what bound the issuer's own token is not about it, and
        # what bound its first one is the issuer's to restate. What a node writes into its own block binds nobody.
        return block.restrictions.quotas
    return quotas


def _check_signature(block: Block, signers: Sequence[bytes], trust: TrustStore, link: bytes) -> bytes:
    """Give which of ``signers`` signed ``block``."""
    for signer in signers:
        if block.signed.verify(BLOCK_LABEL, trust.mesh_id, signer, link=link):
            return signer
    if link == FIRST_LINK:
        raise TrustError(
            "chain.root", "no root of this mesh signed its first block: another mesh's, or altered"
        )
    raise TrustError("chain.signature", "a block is not signed by the key that the block before it names")


def _check_may_sign(signer: Block, block: Block, grants: Grants) -> None:
    """Check that the holder of ``signer``'s key, with ``grants``, may add ``block``."""
    if block.kind is BlockKind.DELEGATION:
        allowed = signer.kind is BlockKind.DELEGATION
    else:
        needed = Capability.JOIN if signer.kind is BlockKind.DELEGATION else Capability.ISSUE
        allowed = grants.allows(needed)
    if not allowed:
        raise TrustError("chain.capability", f"the {signer.kind.name.lower()} before a block may not add it")


def _link(blocks: Sequence[Block]) -> bytes:
    link = FIRST_LINK
    for block in blocks:
        link = crypto.blake2b(link + block.signed.body, len(FIRST_LINK))
    return link


def _encode_body(kind: BlockKind, key: bytes, name: str, r: Restrictions) -> bytes:
    groups: list[wire.Value] = [] if r.groups is None else [[group.encode() for group in sorted(r.groups)]]
    caps: list[wire.Value] = (
        [] if r.caps is None else [sum(1 << _CAPABILITIES.index(capability) for capability in r.caps)]
    )
    quotas: list[wire.Value] = []
    if r.quota is not None or r.quotas:
        own: list[wire.Value] = [] if r.quota is None else [r.quota]
        quotas = [own, [[quota.holder, quota.nodes] for quota in r.quotas]]
    return wire.pack(
        [
            QUOTA_VERSION if quotas else BLOCK_VERSION,
            kind.value,
            key,
            name.encode(),
            r.not_before,
            r.expires_at,
            list(r.token_ids),
            [[glob.encode() for glob in globs] for globs in r.services],
            [[glob.encode() for glob in globs] for globs in r.names],
            groups,
            caps,
            list(r.issuers),
            *quotas,
        ]
    )


@lru_cache(maxsize=MAX_DECODED)
def decode_block_untrusted(raw: bytes) -> Block:
    """Give the block that ``raw`` holds, its signature not verified. A token's blocks are in every chain of it.

    Raises:
        RemoteProtocolError: ``chain.malformed``, for any other bytes.
    """
    signed = decode_signed_untrusted(raw, MAX_CHAIN, code=MALFORMED)
    body = wire.unpack_untrusted(signed.body, code=MALFORMED, max_bytes=MAX_CHAIN)
    fields = wire.Fields(body, code=MALFORMED)
    version = fields.integer(BLOCK_VERSION, QUOTA_VERSION)
    kind = BlockKind(fields.integer(BlockKind.DELEGATION.value, BlockKind.NODE.value))
    key = fields.binary(crypto.KEY, crypto.KEY)
    name = fields.name(empty=True)
    if (kind is BlockKind.NODE) != bool(name):
        raise RemoteProtocolError(MALFORMED, "a node's block without a name, or a delegation with one")
    return Block(kind, key, name, _decode_restrictions(fields, version), signed)


def _decode_restrictions(fields: wire.Fields, version: int) -> Restrictions:
    not_before = fields.integer(0, MAX_WALL)
    expires_at = fields.integer(0, MAX_WALL)
    ids = fields.fields(MAX_TOKEN_IDS)
    token_ids = tuple(ids.binary(TOKEN_ID_BYTES, TOKEN_ID_BYTES) for _ in range(ids.left))
    services = _decode_lists(fields.fields(MAX_LISTS))
    names = _decode_lists(fields.fields(MAX_LISTS))
    maybe_groups = fields.fields(1)
    groups: frozenset[str] | None = None
    if maybe_groups.left:
        each = maybe_groups.fields(MAX_GROUPS)
        groups = frozenset(each.name() for _ in range(each.left))
    maybe_caps = fields.fields(1)
    caps: frozenset[Capability] | None = None
    if maybe_caps.left:
        bits = maybe_caps.integer(0, _MAX_CAPABILITY_BITS)
        # Bits that a newer release gave a meaning are left out: what we cannot check, we do not grant.
        caps = frozenset(capability for i, capability in enumerate(_CAPABILITIES) if bits >> i & 1)
    keys = fields.fields(MAX_ISSUERS)
    issuers = tuple(NodeId(keys.binary(ID_BYTES, ID_BYTES)) for _ in range(keys.left))
    quota, quotas = (None, ()) if version < QUOTA_VERSION else _decode_quotas(fields)
    return Restrictions(
        not_before, expires_at, token_ids, services, names, groups, caps, issuers, quota, quotas
    )


def _decode_quotas(fields: wire.Fields) -> tuple[int | None, tuple[Quota, ...]]:
    maybe = fields.fields(1)
    quota = maybe.integer(1, MAX_QUOTA) if maybe.left else None
    rows = fields.fields(MAX_QUOTAS)
    quotas = []
    for _ in range(rows.left):
        row = rows.fields(2)
        quotas.append(Quota(row.binary(HOLDER_BYTES, HOLDER_BYTES), row.integer(1, MAX_QUOTA)))
    return quota, tuple(quotas)


def _decode_lists(lists: wire.Fields) -> tuple[Globs, ...]:
    return tuple(_decode_globs(lists.fields(MAX_GLOBS)) for _ in range(lists.left))


def _decode_globs(globs: wire.Fields) -> Globs:
    texts = tuple(globs.binary(1, 63).decode("ascii", "replace") for _ in range(globs.left))
    if not all(is_glob(text) for text in texts):
        raise RemoteProtocolError(MALFORMED, "a glob is made of [a-z0-9*-], 63 at most")
    return texts

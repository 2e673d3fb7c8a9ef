"""The join token: a row of delegations and the secret of the last one, as text.

Whoever holds a token can admit nodes inside its caveats, and can narrow it, offline: a new block with a fresh key
and more caveats, the former secret left behind. A token is a bearer mint. Nothing counts its uses, for that would
take a consensus; a quota bounds how many living nodes each member accepts of it.

Text: ``gmt1.`` and the base64url, without padding, of ``msgpack([[bundle...], [block...], secret])``. The bundles
are the mesh's first, so that a node knows its mesh and its default decision before it speaks to anybody, and those
that have replaced it since.

Law: a token's secret is never in a ``repr``; ``str`` is the token itself.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.block import (
    MAX_BLOCKS,
    MAX_CHAIN,
    TOKEN_ID_BYTES,
    Block,
    BlockKind,
    append_block,
    decode_block_untrusted,
    encode_blocks,
    quota_holder,
    verify_blocks,
)
from gossipmesh.identity.bundle import MAX_BUNDLE, MAX_PATH, TrustBundle, TrustStore, decode_bundle_untrusted
from gossipmesh.identity.grants import ANY, Capability, Caveats, Grants, Quota, Restrictions
from gossipmesh.identity.keys import Entropy
from gossipmesh.model import day

PREFIX: Final = "gmt1."
MAX_TOKEN: Final = MAX_PATH + MAX_CHAIN + 1_024
"""Bytes of a token before base64."""
MAX_TEXT: Final = len(PREFIX) + (MAX_TOKEN * 4 + 2) // 3
MAX_BUNDLES: Final = MAX_PATH // 128
"""Bundles in one token: more than fit :data:`MAX_PATH`, as none is smaller than this."""
NODE_ROOM: Final = 200
"""Bytes that a token leaves free of a chain's 1,100, for the block of a node with a name of 63 letters."""
BACKDATE_S: Final = 300
"""How far minting dates validity back, in seconds, so that nodes with a slow clock can join at once."""
MALFORMED: Final = "token.malformed"

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+")


@frozen
class Token:
    """A join token. ``seed`` is the secret of the last block's key; ``grants`` is what its blocks leave allowed."""

    bundles: tuple[TrustBundle, ...]
    blocks: tuple[Block, ...] = field(repr=False)
    seed: bytes = field(repr=False)
    grants: Grants
    token_ids: tuple[bytes, ...] = field(repr=lambda ids: str([token_id.hex() for token_id in ids]))
    quotas: tuple[Quota, ...] = ()
    root: bytes = field(default=b"", repr=bytes.hex)
    """The root key that signed its first block."""

    @property
    def mesh_id(self) -> bytes:
        """The id of the mesh that it leads to, 32 bytes."""
        return self.bundles[0].hash

    def trust(self) -> TrustStore:
        """Give a fresh store of the bundles that came with the token."""
        return TrustStore(self.bundles[0], [bundle.raw for bundle in self.bundles[1:]])

    def __str__(self) -> str:
        """Give the token's text: a secret."""
        packed = wire.pack(
            [[bundle.raw for bundle in self.bundles], [block.signed.raw for block in self.blocks], self.seed]
        )
        return PREFIX + _encode_text(packed)


def new_token(
    bundle: TrustBundle,
    root_seed: bytes,
    caveats: Caveats,
    entropy: Entropy,
    *,
    successors: Sequence[TrustBundle] = (),
) -> Token:
    """Make a mesh's token, signed with a root key.

    Left out, caveats are: any service, any node name, no groups, the capability ``join``.

    Args:
        bundle: the mesh's first bundle.
        root_seed: the secret of a root of the newest bundle.
        caveats: what the token allows, and for how long.
        entropy: gives the token's key, and its id where ``caveats`` has none.
        successors: the bundles that replaced the first one, in order.

    Raises:
        ConfigError: ``token.root``, ``token.too-long`` or ``token.caveat``.
    """
    bundles = (bundle, *successors)
    if crypto.signing_public(root_seed) not in bundles[-1].roots:
        raise ConfigError("token.root", "this root key is not in the mesh's newest trust bundle")
    stated = _restrictions(caveats, entropy)
    complete = Restrictions(
        stated.not_before,
        stated.expires_at,
        stated.token_ids,
        services=stated.services or (ANY,),
        names=stated.names or (ANY,),
        groups=frozenset() if stated.groups is None else stated.groups,
        caps=frozenset({Capability.JOIN}) if stated.caps is None else stated.caps,
        quota=stated.quota,
    )
    return _mint(
        bundles=bundles,
        before=(),
        signer_seed=root_seed,
        restrictions=complete,
        grants=complete.as_grants(),
        root=crypto.signing_public(root_seed),
        ids_before=(),
        entropy=entropy,
    )


def narrow(token: Token, caveats: Caveats, entropy: Entropy) -> Token:
    """Make of ``token`` one that allows less, or as much; it cannot allow more.

    Raises:
        ConfigError: ``token.too-long`` or ``token.caveat``.
    """
    stated = _restrictions(caveats, entropy)
    return _mint(
        bundles=token.bundles,
        before=token.blocks,
        signer_seed=token.seed,
        restrictions=stated,
        grants=token.grants.narrowed(stated),
        root=token.root,
        ids_before=token.token_ids,
        entropy=entropy,
    )


def _restrictions(caveats: Caveats, entropy: Entropy) -> Restrictions:
    return Restrictions(
        not_before=max(0, caveats.not_before - BACKDATE_S),
        expires_at=caveats.expires_at,
        token_ids=(caveats.token_id or entropy(TOKEN_ID_BYTES),),
        services=() if caveats.services is None else (tuple(caveats.services),),
        names=() if caveats.names is None else (tuple(caveats.names),),
        groups=None if caveats.groups is None else frozenset(caveats.groups),
        caps=caveats.caps,
        quota=caveats.quota,
    )


def _mint(
    *,
    bundles: tuple[TrustBundle, ...],
    before: tuple[Block, ...],
    signer_seed: bytes,
    restrictions: Restrictions,
    grants: Grants,
    root: bytes,
    ids_before: tuple[bytes, ...],
    entropy: Entropy,
) -> Token:
    if len(before) + 1 >= MAX_BLOCKS:
        raise ConfigError(
            "token.too-long", f"a token can be narrowed {MAX_BLOCKS - 2} times: narrow an earlier one"
        )
    seed = entropy(crypto.KEY)
    key = crypto.signing_public(seed)
    mesh_id = bundles[0].hash
    try:
        blocks = append_block(
            before, BlockKind.DELEGATION, key, "", restrictions, mesh_id=mesh_id, seed=signer_seed
        )
    except RemoteProtocolError as error:
        raise ConfigError("token.caveat", f"a token cannot say this: {error}") from None
    size = len(encode_blocks(blocks))
    if size > MAX_CHAIN - NODE_ROOM:
        raise ConfigError(
            "token.too-long",
            f"this token takes {size} bytes of a node's chain, {MAX_CHAIN - NODE_ROOM} are allowed: "
            "name fewer or shorter services, names and groups",
        )
    token_ids = tuple(dict.fromkeys((*ids_before, *restrictions.token_ids)))
    quotas = tuple(
        Quota(quota_holder(block.key), block.restrictions.quota)
        for block in blocks
        if block.restrictions.quota is not None
    )
    return Token(bundles, blocks, seed, grants, token_ids, quotas, root)


def parse_token(text: str) -> Token:
    """Give the token that ``text`` is, every signature in it verified against the roots that it carries.

    Its time is not looked at, so that an expired token can still be shown: see :func:`check_token_time`.

    Raises:
        TrustError: ``token.malformed`` or ``token.signature``, in one line for people.
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        raise TrustError(MALFORMED, f"this is not a join token: it should start with {PREFIX}")
    try:
        return _decode_token(_decode_text(text.removeprefix(PREFIX)))
    except TrustError as error:
        raise TrustError("token.signature", f"this join token was altered or badly made: {error}") from None
    except RemoteProtocolError as error:
        raise TrustError(MALFORMED, f"this join token is damaged or cut short: {error}") from None


def check_token_time(token: Token, *, wall: float) -> None:
    """Check that ``token`` can admit nodes at the unix time ``wall``, two minutes of clock skew forgiven.

    Raises:
        TrustError: ``token.expired`` or ``token.not-yet-valid``, in one line for people.
    """
    if token.grants.expired(wall):
        raise TrustError(
            "token.expired",
            f"this token expired on {day(token.grants.expires_at)}: make another with gossipmesh token new",
        )
    if token.grants.not_yet_valid(wall):
        raise TrustError(
            "token.not-yet-valid",
            f"this token begins on {day(token.grants.not_before)}, and here it is {day(wall)}: is the clock right?",
        )


def _encode_text(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _decode_text(text: str) -> bytes:
    if len(text) > MAX_TEXT or _TEXT.fullmatch(text) is None:
        raise RemoteProtocolError(MALFORMED, "it is too long, or has characters that no token has")
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise RemoteProtocolError(MALFORMED, "its last characters are missing") from None
    # The last letter of base64 has bits to spare; a token is the same text everywhere, or it is not the token.
    if _encode_text(packed) != text:
        raise RemoteProtocolError(MALFORMED, "its last character is wrong")
    return packed


def _decode_token(packed: bytes) -> Token:
    fields = wire.Fields(wire.unpack_untrusted(packed, code=MALFORMED, max_bytes=MAX_TOKEN), code=MALFORMED)
    raws = fields.fields(MAX_BUNDLES)
    bundles = tuple(decode_bundle_untrusted(raws.binary(1, MAX_BUNDLE)) for _ in range(raws.left))
    rows = fields.fields(MAX_BLOCKS - 1)
    blocks = tuple(decode_block_untrusted(rows.binary(1, MAX_CHAIN)) for _ in range(rows.left))
    seed = fields.binary(crypto.KEY, crypto.KEY)
    if not bundles or not blocks:
        raise RemoteProtocolError(MALFORMED, "it lacks its trust bundle or its blocks")
    if any(block.kind is not BlockKind.DELEGATION for block in blocks):
        raise RemoteProtocolError(MALFORMED, "it holds a node's block")
    if len(encode_blocks(blocks)) > MAX_CHAIN - NODE_ROOM:
        raise TrustError("chain.too-long", "it leaves no room for a node")
    if crypto.signing_public(seed) != blocks[-1].key:
        raise TrustError("token.signature", "its secret is not that of its last block")
    trust = TrustStore(bundles[0], [bundle.raw for bundle in bundles[1:]])
    proof = verify_blocks(blocks, trust)
    return Token(bundles, blocks, seed, proof.grants, proof.token_ids, proof.quotas, proof.root)

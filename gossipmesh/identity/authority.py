"""Who may sign for the mesh: a root key, or whoever holds a chain or token with the capability that it takes.

On the wire an authorised object is ``msgpack([bin body, bin signature, bin chain])``. The chain is empty where a root
signed; else it is the row of blocks whose last key signed: a token's delegations, or a node's whole chain. The
signature covers ``label || mesh_id || BLAKE2b-256(chain) || body``, so nobody can show the object under another row of
the same key, one that allows more or has escaped a revocation.

Law: what an object *is* is its body, so the same body signed twice is one object, and may change its proof. It is
valid if its signer was entitled when it signed: the row is looked at as of ``signed_at``, and a row that has expired
since still proves what it signed. Whether the signer is revoked is asked elsewhere, for the answer changes with time.

**Roots that were replaced.** Bundles have no dates, and one could be backdated anyhow, so "it was a root then" cannot
be told from outside. Hence: a root that is not in the newest bundle signs nothing that anybody takes as news. What a
node took while that root stood stays in force there (dropping a revocation or a policy because a key was replaced would
open what was closed), marked as no longer :attr:`Authorised.current`; and since the body is the object, signing it
again with a new root, while both are in the bundle, heals it for newcomers too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import ConfigError, LocalProtocolError, RemoteProtocolError, TrustError
from gossipmesh.identity.block import (
    MAX_CHAIN,
    Block,
    BlockKind,
    Proof,
    decode_blocks_untrusted,
    encode_blocks,
    verify_blocks,
)
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.grants import Capability, Grants
from gossipmesh.identity.signed import SKEW_S, Signed
from gossipmesh.identity.token import Token
from gossipmesh.model import NodeId

OVERHEAD: Final = MAX_CHAIN + crypto.SIGNATURE + 16
"""Bytes of an authorised object beside its body, at most."""
BODY_HASH_BYTES: Final = 32
ROOT_ORIGIN: Final = b""

_LINK_BYTES: Final = 32


@frozen
class Authority:
    """A key that signs for the mesh, and the row of blocks that entitles it; no row for a root's key."""

    seed: bytes = field(repr=False)
    chain: bytes = field(default=b"", repr=lambda raw: f"<{len(raw)} bytes>")

    @classmethod
    def of_token(cls, token: Token) -> Authority:
        """Give the authority that the holder of ``token`` has."""
        return cls(token.seed, encode_blocks(token.blocks))


@frozen
class Signer:
    """Who signed: a root (``grants`` is None), a token's holder (``id`` is None), or a node.

    ``origin`` tells apart what roots made: the first token id of the row, which no holder chooses, however
    often it narrows its token or admits nodes. It is empty for a root. ``token_ids`` and ``issuers`` are what a
    revocation may name.
    """

    key: bytes
    origin: bytes = ROOT_ORIGIN
    id: NodeId | None = None
    name: str = ""
    grants: Grants | None = None
    token_ids: tuple[bytes, ...] = ()
    issuers: tuple[NodeId, ...] = ()

    @property
    def is_root(self) -> bool:
        """Whether a root key signed."""
        return self.grants is None

    def __str__(self) -> str:
        """Give the signer for people: ``root``, ``node web-1`` or ``token 0011223344556677``."""
        if self.is_root:
            return "root"
        return f"node {self.name}" if self.name else f"token {(self.token_ids or (self.key,))[-1].hex()}"


@frozen
class Authorised:
    """An authorised object whose signature held. ``current`` says that it hangs on a root of the newest bundle."""

    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    signer: Signer
    signed_at: int
    current: bool = True

    @property
    def hash(self) -> bytes:
        """The BLAKE2b-256 of the body, 32 bytes: which object this is, whoever signed it."""
        return crypto.blake2b(self.body, BODY_HASH_BYTES)


def sign_as_authority(label: bytes, body: bytes, authority: Authority, mesh_id: bytes) -> bytes:
    """Give ``body`` signed for the mesh, in its wire form; whether others will take it is theirs to check."""
    message = label + mesh_id + _link(authority.chain) + body
    return wire.pack([body, crypto.sign(authority.seed, message), authority.chain])


def check_authority(
    authority: Authority, trust: TrustStore, capability: Capability, *, wall: float
) -> Signer:
    """Give who ``authority`` is, before anything is signed with it.

    Raises:
        ConfigError: ``authority.root``, ``authority.capability`` or ``authority.expired``, in one line for people.
    """
    key = crypto.signing_public(authority.seed)
    if not authority.chain:
        if key not in trust.roots:
            raise ConfigError("authority.root", "this root key is not in the mesh's newest trust bundle")
        return Signer(key)
    try:
        blocks = decode_blocks_untrusted(authority.chain)
        signer = _signer(blocks, verify_blocks(blocks, trust))
        _check_entitled(signer, capability, int(wall))
    except TrustError as error:
        raise ConfigError(error.code, f"this cannot sign for the mesh: {error}") from None
    return signer


def split_untrusted(
    raw: bytes, max_bytes: int, *, code: str = "authority.malformed"
) -> tuple[bytes, bytes, bytes]:
    """Give body, signature and chain of ``raw``, nothing of it verified.

    Raises:
        RemoteProtocolError: ``code``, for more than ``max_bytes`` or for any other bytes.
    """
    fields = wire.Fields(wire.unpack_untrusted(raw, code=code, max_bytes=max_bytes), code=code)
    body = fields.binary(1, max_bytes)
    signature = fields.binary(crypto.SIGNATURE, crypto.SIGNATURE)
    chain = fields.binary(0, MAX_CHAIN)
    # One spelling only, as for every signed object: the bytes are compared, hashed and relayed.
    if wire.pack([body, signature, chain]) != raw:
        raise RemoteProtocolError(code, "an authorised object in another encoding than its own")
    return body, signature, chain


def verify_authorised_untrusted(
    raw: bytes,
    label: bytes,
    trust: TrustStore,
    capability: Capability,
    *,
    max_bytes: int,
    signed_at: Callable[[bytes], int],
    wall: float,
    retired: bool = False,
    code: str = "authority.malformed",
) -> Authorised:
    """Give what ``raw`` proves: a body, and who of those that may signed it.

    Args:
        raw: the wire form.
        label: what kind of object it must be.
        trust: the mesh's bundles.
        capability: what a signer that is no root needs.
        max_bytes: of ``raw``.
        signed_at: reads from the body when it was signed, in Unix seconds; may raise RemoteProtocolError.
        wall: Unix seconds; what is signed more than two minutes ahead of it is refused.
        retired: also take what hangs on a root that was replaced, for what this node itself has kept.
        code: for malformed bytes.

    Raises:
        RemoteProtocolError: ``code``; ``chain.malformed``; what ``signed_at`` raises.
        TrustError: ``authority.signature``, ``authority.root`` (no root of the newest bundle),
            ``authority.capability``, ``authority.expired`` (not valid when it signed), ``authority.future``; else
            the codes of :func:`~gossipmesh.identity.block.verify_blocks`.
    """
    body, signature, chain = split_untrusted(raw, max_bytes, code=code)
    when = signed_at(body)
    if when > wall + SKEW_S:
        raise TrustError("authority.future", "it is signed ahead of our clock by more than two minutes")
    signed = Signed(raw, body, signature)
    if not chain:
        return _verify_of_root(signed, label, trust, when, retired=retired)
    blocks = decode_blocks_untrusted(chain)
    # The signature first: it is one check, and the row may be four.
    if not signed.verify(label, trust.mesh_id, blocks[-1].key, link=_link(chain)):
        raise TrustError("authority.signature", "it is not signed by the last key of its chain")
    proof, current = _prove(blocks, trust, retired=retired)
    signer = _signer(blocks, proof)
    _check_entitled(signer, capability, when)
    return Authorised(raw, body, signer, when, current)


def is_current(authorised: Authorised, trust: TrustStore) -> bool:
    """Tell whether an object that was taken once still hangs on a root of the newest bundle."""
    if authorised.signer.is_root:
        return authorised.signer.key in trust.roots
    _, _, chain = split_untrusted(authorised.raw, len(authorised.raw))
    try:
        verify_blocks(decode_blocks_untrusted(chain), trust)
    except RemoteProtocolError:
        return False
    return True


def _link(chain: bytes) -> bytes:
    return crypto.blake2b(chain, _LINK_BYTES)


def _verify_of_root(
    signed: Signed, label: bytes, trust: TrustStore, when: int, *, retired: bool
) -> Authorised:
    before = {root for bundle in trust.path for root in bundle.roots} if retired else set()
    for root in (*trust.roots, *sorted(before.difference(trust.roots))):
        if signed.verify(label, trust.mesh_id, root, link=_link(b"")):
            return Authorised(signed.raw, signed.body, Signer(root), when, root in trust.roots)
    raise TrustError("authority.root", "no root of this mesh's newest trust bundle signed it")


def _prove(blocks: tuple[Block, ...], trust: TrustStore, *, retired: bool) -> tuple[Proof, bool]:
    try:
        return verify_blocks(blocks, trust), True
    except TrustError as error:
        if error.code != "chain.root" or not retired:
            raise
    path = trust.path
    for end in range(len(path) - 1, 0, -1):
        then = TrustStore(path[0], [bundle.raw for bundle in path[1:end]])
        try:
            return verify_blocks(blocks, then), False
        except TrustError as error:
            if error.code != "chain.root":
                raise
    raise TrustError("chain.root", "no root that this mesh ever had signed its first block")


def _signer(blocks: tuple[Block, ...], proof: Proof) -> Signer:
    if not blocks:
        raise LocalProtocolError("authority.empty", "a chain of no blocks")
    last = blocks[-1]
    return Signer(
        key=last.key,
        origin=proof.token_ids[0] if proof.token_ids else blocks[0].key,
        id=NodeId(last.key) if last.kind is BlockKind.NODE else None,
        name=last.name,
        grants=proof.grants,
        token_ids=proof.token_ids,
        issuers=proof.issuers,
    )


def _check_entitled(signer: Signer, capability: Capability, when: int) -> None:
    grants = signer.grants
    if grants is None or not grants.allows(capability):
        raise TrustError(
            "authority.capability", f"its signer, {signer}, lacks the capability {capability.value}"
        )
    if grants.expired(when) or grants.not_yet_valid(when):
        raise TrustError("authority.expired", f"its signer, {signer}, was not valid when it signed")

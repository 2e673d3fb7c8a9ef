"""Renewal: how a mesh outlives its tokens.

A node asks, from half of its chain's life, any node with the capability ``issue`` (or one that keeps the mesh's root
key) for a new chain under the same key and name. The issuer appends to *its own* chain one block with the asker's
key, restating all that the asker's chain restricts and all that a revocation could name in it.

Law: a renewed chain verifies, lives no longer than its issuer's, and never grants more than the old one did. An
issuer's chain gets longer by one block each time it is itself renewed by another issuer, and a chain of four can
issue nothing: give issuers a long-lived token, or renew them from the root. The history that a chain carries (issuers
and token ids, for revocation) has at most sixteen of each; an issuer that is in it already adds nothing.
"""

from __future__ import annotations

from typing import Final

from gossipmesh import crypto
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError, TrustError
from gossipmesh.identity.block import (
    MAX_BLOCKS,
    MAX_CHAIN,
    Block,
    BlockKind,
    append_block,
    decode_blocks_untrusted,
    encode_blocks,
)
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.grants import ANY, Capability, Globs, Grants, Restrictions
from gossipmesh.identity.token import BACKDATE_S

DUE: Final = 1 / 2
"""The part of a chain's life after which its node asks for renewal."""
OVERDUE: Final = 2 / 3
"""The part of a chain's life after which the log warns."""


def renewal_due(chain: VerifiedChain, wall: float) -> bool:
    """Tell whether half of the chain's life is over at the unix time ``wall``."""
    return _life_over(chain, wall) >= DUE


def renewal_overdue(chain: VerifiedChain, wall: float) -> bool:
    """Tell whether two thirds of the chain's life are over: long enough that something is wrong."""
    return _life_over(chain, wall) >= OVERDUE


def _life_over(chain: VerifiedChain, wall: float) -> float:
    life = max(1, chain.grants.expires_at - chain.grants.not_before)
    return (wall - chain.grants.not_before) / life


def losses(ours: Grants, others: Grants) -> tuple[str, ...]:
    """Say what of ``ours`` is lacking in ``others``, for people; empty: nothing.

    ``others`` are a renewed chain's, or those of an issuer's own chain: what that lacks, it cannot pass on.
    """
    return (
        *(f"group {group}" for group in sorted(ours.groups - others.groups)),
        *(f"capability {word}" for word in sorted(cap.value for cap in ours.caps - others.caps)),
        *(f"services but {', '.join(globs)}" for globs in others.services if globs not in ours.services),
        *(f"names but {', '.join(globs)}" for globs in others.names if globs not in ours.names),
    )


def renew(
    issuer_chain: VerifiedChain, issuer_seed: bytes, old: VerifiedChain, *, mesh_id: bytes, wall: float
) -> bytes:
    """Give a new chain for the node of ``old``, under the issuer's own.

    It lives as long as the node's chains are meant to, or until the issuer's own ends.

    Args:
        issuer_chain: the issuer's own chain.
        issuer_seed: the secret of its key.
        old: the asker's present chain, verified now.
        mesh_id: the mesh's id.
        wall: unix seconds.

    Raises:
        TrustError: ``chain.capability`` (we may not issue, or the asker is ourselves), ``chain.expired`` (ours),
            ``chain.name`` (ours does not allow the asker's name), ``chain.too-long``.
        LocalProtocolError: ``renewal.key``, if the seed is not the issuer's.
    """
    if crypto.signing_public(issuer_seed) != issuer_chain.id:
        raise LocalProtocolError("renewal.key", "the seed is not that of the issuer's chain")
    if not issuer_chain.grants.allows(Capability.ISSUE):
        raise TrustError("chain.capability", f"{issuer_chain.name!r} may not renew chains: it lacks issue")
    if issuer_chain.id == old.id:
        raise TrustError("chain.capability", "a node cannot renew its own chain")
    if issuer_chain.grants.expired(wall):
        raise TrustError("chain.expired", f"the chain of the issuer {issuer_chain.name!r} has expired")
    if not issuer_chain.grants.allows_name(old.name):
        raise TrustError("chain.name", f"{issuer_chain.name!r} may not renew a node called {old.name!r}")
    known = {issuer_chain.id, *issuer_chain.issuers}
    not_before = _not_before(wall)
    restated = Restrictions(
        not_before=not_before,
        expires_at=not_before + _lifetime_s(old),
        # What the issuer's own blocks already say need not be said again: it would only make the chain longer.
        token_ids=tuple(token for token in old.token_ids if token not in issuer_chain.token_ids),
        services=_besides(old.grants.services, issuer_chain.grants.services),
        names=_besides(old.grants.names, issuer_chain.grants.names),
        groups=old.grants.groups,
        caps=old.grants.caps,
        issuers=tuple(issuer for issuer in old.issuers if issuer not in known),
        quotas=old.quotas,
    )
    return _append_node(decode_blocks_untrusted(issuer_chain.raw), old, restated, mesh_id, issuer_seed)


def renew_from_root(trust: TrustStore, root_seed: bytes, old: VerifiedChain, *, wall: float) -> bytes:
    """Give a new chain for the node of ``old``, signed with a root key: for a node that keeps the mesh's own.

    Raises:
        TrustError: ``chain.root`` if the key is no root's now; ``chain.too-long``.
    """
    if crypto.signing_public(root_seed) not in trust.roots:
        raise TrustError("chain.root", "this root key is not in the mesh's newest trust bundle")
    not_before = _not_before(wall)
    restated = Restrictions(
        not_before=not_before,
        expires_at=not_before + _lifetime_s(old),
        token_ids=old.token_ids,
        services=old.grants.services or (ANY,),
        names=old.grants.names or (ANY,),
        groups=old.grants.groups,
        caps=old.grants.caps,
        issuers=old.issuers,
        quotas=old.quotas,
    )
    return _append_node((), old, restated, trust.mesh_id, root_seed)


def _append_node(
    before: tuple[Block, ...], old: VerifiedChain, restated: Restrictions, mesh_id: bytes, seed: bytes
) -> bytes:
    try:
        blocks = append_block(before, BlockKind.NODE, old.id, old.name, restated, mesh_id=mesh_id, seed=seed)
    except RemoteProtocolError as error:
        # Every single thing was decoded before; only the number of things that are restated can be too high.
        raise TrustError(
            "chain.too-long", f"the renewed chain of {old.name!r} does not fit: {error}"
        ) from None
    raw = encode_blocks(blocks)
    if len(blocks) > MAX_BLOCKS or len(raw) > MAX_CHAIN:
        raise TrustError(
            "chain.too-long",
            f"the renewed chain of {old.name!r} would have {len(blocks)} blocks and {len(raw)} bytes, "
            f"{MAX_BLOCKS} and {MAX_CHAIN} are allowed: ask an issuer with a shorter chain, or the root",
        )
    return raw


def _not_before(wall: float) -> int:
    return max(0, int(wall) - BACKDATE_S)


def _lifetime_s(old: VerifiedChain) -> int:
    """Give how long the node's chains are meant to live, in seconds.

    That is the life of the whole chain, every block counted. The last block alone would not do: its node wrote it, and
    could ask for a hundred years under a token of a day. An issuer close to its own end shortens what follows; a
    root key, or an issuer with a longer life, does not.
    """
    return max(1, old.grants.expires_at - old.grants.not_before)


def _besides(lists: tuple[Globs, ...], said: tuple[Globs, ...]) -> tuple[Globs, ...]:
    return tuple(globs for globs in lists if globs not in said)

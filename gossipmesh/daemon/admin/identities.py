"""Who may be revoked and who is, as the admin API shows it: its shapes, and how they are made."""

from __future__ import annotations

from typing import Literal, TypedDict

from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.revocation import Revocation


class RevocationEntry(TypedDict):
    """One of ``/v1/revocations``."""

    kind: Literal["node", "token", "issuer"]
    target: str
    """A node's or issuer's id, or a token's, in hex."""
    reason: str
    signer: str
    """``root``, ``node NAME`` or ``token ID``."""
    revoked_at: int
    """Unix seconds."""
    expires_at: int
    """Unix seconds; after this the target has expired by itself."""
    spared: list[str]
    """Ids that keep their place, in hex."""
    voids: bool
    """Whether what the target signed has no effect any more."""
    voided: bool
    """Whether a root has taken the effect from this very entry: it revokes nobody."""


class Revocations(TypedDict):
    """``/v1/revocations``."""

    revocations: list[RevocationEntry]


class IdentityEntry(TypedDict):
    """One of ``/v1/identities``."""

    name: str
    id: str
    token_ids: list[str]
    """In hex, the token that a root made first and the one that it joined with last."""
    issuers: list[str]
    """Ids of the members that renewed its chain, in hex."""
    capabilities: list[str]
    groups: list[str]
    root: str
    """The key that its chain hangs on, in hex."""
    expires_at: int
    """Unix seconds."""


class Identities(TypedDict):
    """``/v1/identities``."""

    identities: list[IdentityEntry]


def revocation_entry(entry: Revocation, *, voided: bool) -> RevocationEntry:
    """Give one revocation as the API shows it."""
    return RevocationEntry(
        kind=entry.kind.word,
        target=entry.target.hex(),
        reason=entry.reason,
        signer=str(entry.signer),
        revoked_at=entry.revoked_at,
        expires_at=entry.expires_at,
        spared=[node.hex() for node in sorted(entry.spared)],
        voids=entry.voids,
        voided=voided,
    )


def identity_entry(name: str, chain: VerifiedChain) -> IdentityEntry:
    """Give what a revocation may name of a member."""
    return IdentityEntry(
        name=name,
        id=chain.id.hex(),
        token_ids=[token_id.hex() for token_id in chain.token_ids],
        issuers=[issuer.hex() for issuer in chain.issuers],
        capabilities=sorted(capability.value for capability in chain.grants.caps),
        groups=sorted(chain.grants.groups),
        root=chain.root.hex(),
        expires_at=chain.grants.expires_at,
    )

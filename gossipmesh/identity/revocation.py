"""The revocation: a signed word that a key is a member, or a mint, no longer.

An entry names a *key*, so that no new signature, chain or renewal escapes it: a node's id; a token's id, and with it
every chain that carries it; or an issuer's id, and with it every chain that it issued or renewed. It is kept
until the target would expire anyway, and then dropped.

Laws:

* The set only grows, and what one node holds depends on what it has seen and not on the order: two nodes that have
  seen the same hold the same. Where it is full, a total order says what stays: roots' entries first, then the oldest.
* Entries stand although their signer is revoked: two holders of the capability who revoke each other are both
  revoked. A root cannot be revoked (replacing it is what bundles are for), and a root's entry with ``voids`` takes the
  effect from every entry that its target signed: for a stolen key, and not for an operator who left.
* Who has the capability inside narrower caveats may revoke whom he could have admitted: nodes whose name his own row
  allows and whose chain is restricted to services at least as he is. The entry is valid everywhere all the same, for
  that must not depend on which chains one knows; its effect is judged against each chain.
* All that hangs on one token that a root made shares one quota, however many keys were made of it.

Body: ``[1, kind, target, reason, revoked at, expires at, [spared id...], voids]``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Literal

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.authority import (
    OVERHEAD,
    Authorised,
    Authority,
    Signer,
    sign_as_authority,
    split_untrusted,
    verify_authorised_untrusted,
)
from gossipmesh.identity.block import TOKEN_ID_BYTES
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.signed import MAX_WALL, SKEW_S
from gossipmesh.model import ID_BYTES, NodeId

REVOCATION_LABEL: Final = b"gossipmesh/revocation\0"
REVOCATION_VERSION: Final = 1
MAX_REASON: Final = 100
MAX_SPARED: Final = 32
MAX_REVOCATION: Final = OVERHEAD + 256 + MAX_SPARED * (ID_BYTES + 2)
"""Bytes of one entry on the wire."""
FOR_EVER: Final = MAX_WALL
"""Expiry for a target that may sign for the mesh. An expired row still proves what it signed, and whoever has its key
can sign with an old date; so a revocation of one must not end with it."""
KEY_BYTES: Final = 16
MALFORMED: Final = "revocation.malformed"


class RevocationKind(enum.Enum):
    """What kind of key an entry names."""

    NODE = 1
    TOKEN = 2
    ISSUER = 3

    @property
    def word(self) -> Literal["node", "token", "issuer"]:
        """The kind, for people and scripts."""
        return ("node", "token", "issuer")[self.value - 1]


@frozen
class Revocation:
    """One entry. ``target`` is a node id (32 bytes) or a token id (8); times are Unix seconds.

    ``spared`` ids keep their place although their chain carries the token, or was made by the issuer.
    """

    kind: RevocationKind
    target: bytes
    reason: str
    revoked_at: int
    expires_at: int
    spared: frozenset[NodeId] = frozenset()
    voids: bool = False
    authorised: Authorised = field(repr=False, kw_only=True)

    @property
    def signer(self) -> Signer:
        """Who signed it."""
        return self.authorised.signer

    @property
    def raw(self) -> bytes:
        """The exact bytes, to be stored and relayed."""
        return self.authorised.raw

    @property
    def key(self) -> bytes:
        """Which entry this is, 16 bytes: what it says and who says it, no signature in it."""
        return crypto.blake2b(self.signer.key + self.authorised.body, KEY_BYTES)

    @property
    def order(self) -> tuple[bool, int, bytes]:
        """What sorts entries where not all have room: the first stay."""
        return not self.signer.is_root, self.revoked_at, self.key

    def expired(self, wall: float) -> bool:
        """Tell whether the target has expired by itself, two minutes of clock skew forgiven."""
        return wall > self.expires_at + SKEW_S

    def names(self, subject: VerifiedChain | Signer) -> bool:
        """Tell whether this entry, by its own words and its signer's reach, revokes ``subject``."""
        if isinstance(subject, Signer) and subject.is_root:
            return False
        if self.kind is RevocationKind.NODE:
            named = subject.id == self.target
        elif self.kind is RevocationKind.TOKEN:
            named = self.target in subject.token_ids and subject.id not in self.spared
        else:
            named = self.target in subject.issuers and subject.id not in self.spared
        return named and _reaches(self.signer, subject)

    def __str__(self) -> str:
        """Give the entry for people: ``node 3f2a... by root: stolen laptop``."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.kind.word} {self.target.hex()[:16]} by {self.signer}{reason}"


def _reaches(signer: Signer, subject: VerifiedChain | Signer) -> bool:
    mine, theirs = signer.grants, subject.grants
    if mine is None or theirs is None:
        return mine is None
    if mine.names and not (subject.name and mine.allows_name(subject.name)):
        # A token's holder has no name yet, so nobody with restricted names can be sure to have admitted it.
        return False
    return set(mine.services) <= set(theirs.services)


def sign_revocation(
    kind: RevocationKind,
    target: bytes,
    authority: Authority,
    mesh_id: bytes,
    *,
    reason: str,
    revoked_at: int,
    expires_at: int,
    spared: Sequence[NodeId] = (),
    voids: bool = False,
) -> bytes:
    """Give a signed entry in its wire form.

    Raises:
        ConfigError: ``revocation.invalid``, for what every node would refuse.
    """
    body = wire.pack(
        [
            REVOCATION_VERSION,
            kind.value,
            target,
            reason.encode(),
            revoked_at,
            expires_at,
            sorted(spared),
            int(voids),
        ]
    )
    try:
        _decode_body_untrusted(body)
    except RemoteProtocolError as error:
        raise ConfigError("revocation.invalid", f"a revocation cannot say this: {error}") from None
    return sign_as_authority(REVOCATION_LABEL, body, authority, mesh_id)


def verify_revocation_untrusted(
    raw: bytes, trust: TrustStore, *, wall: float, retired: bool = False
) -> Revocation:
    """Give the entry that ``raw`` proves.

    Raises:
        RemoteProtocolError: ``revocation.malformed``, ``chain.malformed``.
        TrustError: ``revocation.expired``; ``revocation.voids`` where another than a root would void; else the codes
            of :func:`~gossipmesh.identity.authority.verify_authorised_untrusted`.
    """
    body, _, _ = split_untrusted(raw, MAX_REVOCATION, code=MALFORMED)
    said = _decode_body_untrusted(body)
    if wall > said.expires_at + SKEW_S:
        raise TrustError("revocation.expired", "a revocation of what has expired by itself")
    authorised = verify_authorised_untrusted(
        raw,
        REVOCATION_LABEL,
        trust,
        Capability.REVOKE,
        max_bytes=MAX_REVOCATION,
        signed_at=lambda _: said.revoked_at,
        wall=wall,
        retired=retired,
        code=MALFORMED,
    )
    if said.voids and not authorised.signer.is_root:
        raise TrustError("revocation.voids", "only a root can take the effect from others' revocations")
    return Revocation(
        said.kind,
        said.target,
        said.reason,
        said.revoked_at,
        said.expires_at,
        said.spared,
        said.voids,
        authorised=authorised,
    )


@frozen
class _Said:
    """What a body says, before anybody is known to have said it."""

    kind: RevocationKind
    target: bytes
    reason: str
    revoked_at: int
    expires_at: int
    spared: frozenset[NodeId]
    voids: bool


def _decode_body_untrusted(body: bytes) -> _Said:
    fields = wire.Fields(
        wire.unpack_untrusted(body, code=MALFORMED, max_bytes=MAX_REVOCATION), code=MALFORMED
    )
    fields.integer(REVOCATION_VERSION, REVOCATION_VERSION)
    kind = RevocationKind(fields.integer(RevocationKind.NODE.value, RevocationKind.ISSUER.value))
    size = TOKEN_ID_BYTES if kind is RevocationKind.TOKEN else ID_BYTES
    target = fields.binary(size, size)
    reason = fields.binary(0, MAX_REASON).decode("ascii", "replace")
    if not all(" " <= letter <= "~" for letter in reason):
        raise RemoteProtocolError(MALFORMED, "a reason is at most 100 printable ASCII characters")
    revoked_at, expires_at = fields.integer(0, MAX_WALL), fields.integer(0, MAX_WALL)
    keys = fields.fields(MAX_SPARED)
    spared = tuple(NodeId(keys.binary(ID_BYTES, ID_BYTES)) for _ in range(keys.left))
    if list(spared) != sorted(set(spared)) or (spared and kind is RevocationKind.NODE):
        raise RemoteProtocolError(
            MALFORMED, "spared ids are sorted, each once, and never of a node's revocation"
        )
    return _Said(kind, target, reason, revoked_at, expires_at, frozenset(spared), fields.integer(0, 1) == 1)

"""The accusation: one member's signed word that another does not answer.

Law: an accusation quotes a version that its subject signed itself, so it says nothing about any later one, and it
is evidence, never a verdict. A recorded one is worth nothing after ten minutes.

Body: ``[1, accuser, subject, boot, incarnation, issued at]``.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.signed import MAX_WALL, SKEW_S, Signed, decode_signed_untrusted, seal
from gossipmesh.model import ID_BYTES, NodeId

ACCUSATION_LABEL: Final = b"gossipmesh/accusation\0"
ACCUSATION_VERSION: Final = 1
ACCUSATION_LIFETIME_S: Final = 600
MAX_ACCUSATION: Final = 256
MAX_COUNTER: Final = 2**32 - 1
MALFORMED: Final = "accusation.malformed"


@frozen
class Accusation:
    """``accuser`` had no answer from ``subject`` as of its version ``(boot, incarnation)``.

    ``issued_at`` is in unix seconds. From :func:`decode_accusation_untrusted` it is a claim, from
    :func:`verify_accusation_untrusted` or :func:`sign_accusation` it is the accuser's own.
    """

    accuser: NodeId
    subject: NodeId
    boot: int
    incarnation: int
    issued_at: int
    signed: Signed = field(repr=False)

    @property
    def version(self) -> tuple[int, int]:
        """The subject's version that is accused."""
        return self.boot, self.incarnation


def sign_accusation(
    *, seed: bytes, mesh_id: bytes, subject: NodeId, boot: int, incarnation: int, issued_at: int
) -> Accusation:
    """Accuse ``subject``, signed with the accuser's ``seed``."""
    accuser = NodeId(crypto.signing_public(seed))
    body = wire.pack([ACCUSATION_VERSION, accuser, subject, boot, incarnation, issued_at])
    signed = seal(ACCUSATION_LABEL, mesh_id, body, seed)
    return Accusation(accuser, subject, boot, incarnation, issued_at, signed)


def decode_accusation_untrusted(raw: bytes) -> Accusation:
    """Give the accusation that ``raw`` claims to be: structure and ranges only.

    Raises:
        RemoteProtocolError: ``accusation.malformed``, for any other bytes.
    """
    signed = decode_signed_untrusted(raw, MAX_ACCUSATION, code=MALFORMED)
    body = wire.unpack_untrusted(signed.body, code=MALFORMED, max_bytes=MAX_ACCUSATION)
    fields = wire.Fields(body, code=MALFORMED)
    fields.integer(ACCUSATION_VERSION, ACCUSATION_VERSION)
    accusation = Accusation(
        accuser=NodeId(fields.binary(ID_BYTES, ID_BYTES)),
        subject=NodeId(fields.binary(ID_BYTES, ID_BYTES)),
        boot=fields.integer(0, MAX_COUNTER),
        incarnation=fields.integer(0, MAX_COUNTER),
        issued_at=fields.integer(0, MAX_WALL),
        signed=signed,
    )
    if accusation.accuser == accusation.subject:
        raise RemoteProtocolError(MALFORMED, "a member that accuses itself")
    return accusation


def verify_accusation_untrusted(raw: bytes, mesh_id: bytes, *, wall: float) -> Accusation:
    """Give the accusation that ``raw`` proves to be its accuser's own, and recent.

    Whether the accuser is a member is for the caller, who holds the chains.

    Raises:
        RemoteProtocolError: ``accusation.malformed``.
        TrustError: as :func:`verify_decoded_accusation`.
    """
    return verify_decoded_accusation(decode_accusation_untrusted(raw), mesh_id, wall=wall)


def verify_decoded_accusation(accusation: Accusation, mesh_id: bytes, *, wall: float) -> Accusation:
    """Give ``accusation`` back, proved. For callers that looked at the claim before they paid for a signature.

    Raises:
        TrustError: ``accusation.expired``, ``accusation.not-yet-valid`` or ``accusation.signature``.
    """
    if wall > accusation.issued_at + ACCUSATION_LIFETIME_S + SKEW_S:
        raise TrustError("accusation.expired", "an accusation older than ten minutes")
    if wall < accusation.issued_at - SKEW_S:
        raise TrustError("accusation.not-yet-valid", "an accusation from the future")
    if not accusation.signed.verify(ACCUSATION_LABEL, mesh_id, accusation.accuser):
        raise TrustError("accusation.signature", "an accusation is not signed by its accuser")
    return accusation

"""Member records as release 0.1 made them: without an element for the policy."""

from __future__ import annotations

from gossipmesh import wire
from gossipmesh.identity.record import RECORD_LABEL, MemberRecord, decode_record_untrusted
from gossipmesh.identity.signed import seal


def as_before(record: MemberRecord, seed: bytes, mesh_id: bytes) -> MemberRecord:
    """Give the next record of a node, as it would be of the earlier release."""
    body = wire.unpack_untrusted(record.signed.body, code="x")
    assert isinstance(body, list)
    before = wire.pack([*body[:3], body[3] + 1, *body[4:-1]])
    return decode_record_untrusted(seal(RECORD_LABEL, mesh_id, before, seed).raw)

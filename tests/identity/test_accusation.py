"""Accusations: signed, about one version, and soon worth nothing."""

from __future__ import annotations

import pytest

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.accusation import (
    ACCUSATION_LABEL,
    ACCUSATION_LIFETIME_S,
    Accusation,
    sign_accusation,
    verify_accusation_untrusted,
    verify_decoded_accusation,
)
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import RECORD_LABEL
from gossipmesh.identity.signed import seal
from gossipmesh.model import NodeId

NOW = 1_000_000
MESH = b"m" * 32
ACCUSER = NodeKey.from_seed(b"a" * 32)
SUBJECT = NodeKey.from_seed(b"s" * 32)


def accusation(subject: NodeId = SUBJECT.id, boot: int = 2, incarnation: int = 3) -> Accusation:
    return sign_accusation(
        seed=ACCUSER.seed, mesh_id=MESH, subject=subject, boot=boot, incarnation=incarnation, issued_at=NOW
    )


def refused(raw: bytes, *, mesh_id: bytes = MESH, wall: float = NOW) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_accusation_untrusted(raw, mesh_id, wall=wall)
    return caught.value.code


def test_an_accusation_verifies_as_it_was_signed() -> None:
    made = accusation()
    assert verify_accusation_untrusted(made.signed.raw, MESH, wall=NOW) == made
    assert (made.accuser, made.subject, made.version) == (ACCUSER.id, SUBJECT.id, (2, 3))


def test_it_is_worth_nothing_in_another_mesh_in_the_future_or_after_ten_minutes() -> None:
    made = accusation()
    for wall in (NOW - 120, NOW + ACCUSATION_LIFETIME_S + 120):
        assert verify_decoded_accusation(made, MESH, wall=wall) is made
    assert refused(made.signed.raw, mesh_id=bytes(32)) == "accusation.signature"
    assert refused(made.signed.raw, wall=NOW - 121) == "accusation.not-yet-valid"
    assert refused(made.signed.raw, wall=NOW + ACCUSATION_LIFETIME_S + 121) == "accusation.expired"


def test_nobody_accuses_in_anothers_name_nor_with_another_kind_of_object() -> None:
    body = accusation().signed.body
    assert refused(seal(ACCUSATION_LABEL, MESH, body, SUBJECT.seed).raw) == "accusation.signature"
    assert refused(seal(RECORD_LABEL, MESH, body, ACCUSER.seed).raw) == "accusation.signature"


def test_a_member_that_accuses_itself_is_malformed() -> None:
    assert refused(accusation(subject=ACCUSER.id).signed.raw) == "accusation.malformed"


def test_counters_outside_u32_are_malformed() -> None:
    assert refused(accusation(boot=2**32).signed.raw) == "accusation.malformed"
    assert refused(accusation(incarnation=2**32).signed.raw) == "accusation.malformed"


def test_what_a_newer_release_appends_is_relayed_as_it_came() -> None:
    body = wire.unpack_untrusted(accusation().signed.body, code="x")
    assert isinstance(body, list)
    signed = seal(ACCUSATION_LABEL, MESH, wire.pack([*body, b"new"]), ACCUSER.seed)
    assert verify_accusation_untrusted(signed.raw, MESH, wall=NOW).signed.raw == signed.raw


def test_every_bit_flip_and_every_truncation_is_refused() -> None:
    raw = accusation().signed.raw
    for size in range(len(raw)):
        assert refused(raw[:size]) == "accusation.malformed"
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(flipped)).startswith("accusation.")

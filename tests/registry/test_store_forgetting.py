"""Records that were buried, and records and chains that expired, do not come back."""

from __future__ import annotations

from types import ModuleType

import pytest

from gossipmesh.errors import TrustError
from gossipmesh.identity.chain import chain_hash
from gossipmesh.registry.digest import entry_of
from gossipmesh.registry.store import Accepted, Refused, RegistryLimits, Stale


def test_a_forgotten_record_stays_out_until_its_owner_signs_a_newer_one(lab: ModuleType) -> None:
    buried = lab.ALICE.record(2, 0)
    held = lab.registry((lab.ALICE, buried))
    empty = lab.registry().digest.root
    assert held.forget(lab.ALICE.key.id) == buried
    assert held.forget(lab.ALICE.key.id) is None
    assert held.digest.root == empty
    held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    assert lab.offer(held, buried) == lab.offer(held, lab.ALICE.record(1, 9)) == Stale()
    assert not held.wants(entry_of(buried))
    newer = lab.ALICE.record(2, 1)
    assert held.wants(entry_of(newer))
    assert lab.offer(held, newer) == Accepted(newer, previous=None, refused_services=())


def test_a_tombstone_lives_until_the_buried_record_can_verify_nowhere(lab: ModuleType) -> None:
    buried = lab.ALICE.record(2, 0)
    held = lab.registry((lab.ALICE, buried))
    held.forget(lab.ALICE.key.id)
    last = lab.NOW + lab.DAY + 120
    held.expire(wall=last)
    held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    assert lab.offer(held, buried, wall=last) == Stale()
    held.expire(wall=last + 1)
    assert lab.offer(held, buried, wall=last + 1) == Refused("record.expired")


def test_the_oldest_tombstone_goes_first_when_there_are_too_many(lab: ModuleType) -> None:
    held = lab.registry(
        (lab.ALICE, lab.ALICE.record()), (lab.BOB, lab.BOB.record()), limits=RegistryLimits(tombstones=1)
    )
    held.forget(lab.ALICE.key.id)
    held.forget(lab.BOB.key.id)
    assert held.wants(entry_of(lab.ALICE.record()))
    assert not held.wants(entry_of(lab.BOB.record()))


def test_an_expired_record_leaves_the_digest_and_does_not_come_back(lab: ModuleType) -> None:
    record = lab.ALICE.record()
    held = lab.registry((lab.ALICE, record), (lab.BOB, lab.BOB.record(age_s=-60)))
    assert held.expire(wall=lab.NOW + lab.DAY + 120) == ()
    assert held.expire(wall=lab.NOW + lab.DAY + 121) == (record,)
    assert list(held.records) == [lab.BOB.key.id]
    assert lab.offer(held, record, wall=lab.NOW + lab.DAY + 121) == Refused("record.expired")
    assert held.digest.get(lab.ALICE.key.id) is None


def test_a_record_goes_when_its_chain_expires(lab: ModuleType) -> None:
    short = lab.node("carol", "short-lived", days=0)
    held = lab.registry((short, short.record()))
    spare = lab.node("dave", "short-lived", days=0)
    held.offer_chain_untrusted(spare.chain, wall=lab.NOW)
    late = lab.NOW + 121
    assert lab.offer(held, short.record(2), wall=late) == Refused("chain.expired")
    assert held.offer_chain_untrusted(short.chain, wall=late) == Refused("chain.expired")
    assert held.expire(wall=late) == (short.record(),)
    assert held.chain(chain_hash(spare.chain)) is None
    with pytest.raises(TrustError):
        held.offer_chain_untrusted(short.chain, wall=late)

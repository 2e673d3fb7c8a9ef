"""Two registries become equal, whatever they hold."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.errors import LocalProtocolError
from gossipmesh.identity.accusation import sign_accusation
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.record import MAX_RECORD, MemberRecord
from gossipmesh.model import NodeId, Service
from gossipmesh.registry.store import CloneAlarm, Registry, RegistryLimits
from gossipmesh.registry.sync import (
    AccusationLearned,
    ChainLearned,
    RecordLearned,
    SyncRound,
    answer_untrusted,
)
from gossipmesh.registry.sync_messages import (
    MAX_SYNC_MESSAGE,
    DigestResponse,
    EntriesRequest,
    ExchangeRequest,
    ExchangeResponse,
    Parcel,
    decode_request_untrusted,
    encode,
)

choices = st.tuples(*(st.integers(0, 3) for _ in range(8)))


@settings(max_examples=40)
@given(choices, choices)
def test_any_two_registries_are_equal_after_one_round(
    lab: ModuleType, ours: tuple[int, ...], theirs: tuple[int, ...]
) -> None:
    alice, bob = lab.chosen(ours), lab.chosen(theirs)
    sync, messages, _ = lab.synchronise(alice, bob)
    newest = lab.chosen(max(both) for both in zip(ours, theirs, strict=True))
    assert alice.digest.root == bob.digest.root == newest.digest.root
    assert alice.records == bob.records == newest.records
    assert sync.exchanges <= 3
    assert len(messages) == 2 * sync.exchanges


@settings(max_examples=15)
@given(choices, choices, choices, st.permutations([(0, 1), (1, 2), (2, 0)]))
def test_three_registries_are_equal_after_every_pair_met_twice_in_any_order(
    lab: ModuleType,
    first: tuple[int, ...],
    second: tuple[int, ...],
    third: tuple[int, ...],
    order: list[tuple[int, int]],
) -> None:
    three = [lab.chosen(versions) for versions in (first, second, third)]
    for left, right in order * 2:
        lab.synchronise(three[left], three[right])
    newest = lab.chosen(max(all_three) for all_three in zip(first, second, third, strict=True))
    assert {each.digest.root for each in three} == {newest.digest.root}


def test_equal_registries_exchange_two_small_messages_whatever_their_size(lab: ModuleType) -> None:
    for held in (lab.registry(), lab.chosen([1] * 8), lab.thousand()):
        sync, messages, learned = lab.synchronise(held, held)
        assert sync.exchanges == 1
        assert len(messages[0]) == 20
        assert len(messages[1]) <= 10
        assert learned == []
        assert sync.remote_members == len(held)


def test_one_difference_among_a_thousand_costs_three_exchanges(lab: ModuleType) -> None:
    almost = lab.registry(*lab.many()[:999])
    sync, messages, learned = lab.synchronise(almost, lab.thousand())
    assert almost.digest.root == lab.thousand().digest.root
    assert sync.exchanges == 3
    assert len(learned) == 2
    assert sum(map(len, messages)) < 8 * 1024


def test_a_newcomer_learns_a_thousand_members_in_few_exchanges_of_bounded_size(lab: ModuleType) -> None:
    newcomer = lab.registry()
    own = lab.node("newcomer")
    lab.take(newcomer, [ChainLearned(own.chain), RecordLearned(own.record().signed.raw)])
    responder = lab.registry(*lab.many()[:1_000])
    total = sum(len(owner.chain) + len(record.signed.raw) for owner, record in lab.many()[:1_000])
    sync, messages, _ = lab.synchronise(newcomer, responder)
    assert newcomer.digest.root == responder.digest.root
    assert len(newcomer) == 1_001
    # One for the digests, one for the entries, and full messages for all the rest.
    assert sync.exchanges <= 3 + total // (MAX_SYNC_MESSAGE - 4_096)
    assert max(map(len, messages)) <= MAX_SYNC_MESSAGE
    assert sum(map(len, messages)) < 1.25 * total


def test_a_full_registry_fills_an_empty_one_by_pushing(lab: ModuleType) -> None:
    everybody, newcomer = lab.registry(*lab.many()[:200]), lab.registry()
    sync, _, learned = lab.synchronise(everybody, newcomer)
    assert newcomer.records == everybody.records
    assert learned == []
    assert sync.exchanges < 10


def test_two_large_registries_that_differ_both_ways_are_equal_after_one_round(lab: ModuleType) -> None:
    left, right = lab.registry(*lab.many()[:-10]), lab.registry(*lab.many()[10:])
    lab.synchronise(left, right)
    assert left.records == right.records
    assert len(left) == len(lab.many())


def test_more_members_than_one_page_holds_are_compared_page_by_page(lab: ModuleType) -> None:
    empty, full = lab.registry(), lab.registry(*lab.many())
    sync = SyncRound(empty, lab.nobody_accused)
    pages = 0
    while (request := sync.next_request()) is not None:
        response, _ = answer_untrusted(request, full, lab.nobody_accused)
        pages += isinstance(decode_request_untrusted(request), EntriesRequest)
        lab.take(empty, sync.receive_response_untrusted(response))
    assert pages == 2
    assert empty.records == full.records


def test_records_of_the_greatest_length_with_all_their_accusations_keep_every_message_in_bounds(
    lab: ModuleType,
) -> None:
    def longest(owner: Any) -> MemberRecord:
        services = [Service(f"{'s' * 46}-{n}", 65_535, weight=1_000) for n in range(13)]
        return owner.record(zone="z" * 63, services=services)

    nodes = [lab.node(f"{'x' * 59}-{n:03}") for n in range(120)]
    records = {each.key.id: longest(each) for each in nodes}
    assert all(MAX_RECORD - 70 < len(record.signed.raw) <= MAX_RECORD for record in records.values())

    def accusations(subject: NodeId) -> list[bytes]:
        against = sign_accusation(
            seed=nodes[0].key.seed,
            mesh_id=lab.BUNDLE.hash,
            subject=subject,
            boot=1,
            incarnation=0,
            issued_at=lab.NOW,
        )
        return [against.signed.raw] * 9

    halves = nodes[:60], nodes[60:]
    left, right = (lab.registry(*((each, records[each.key.id]) for each in half)) for half in halves)
    _, messages, _ = lab.synchronise(left, right, accusations)
    assert left.records == right.records
    assert max(map(len, messages)) <= MAX_SYNC_MESSAGE


def test_a_record_comes_after_its_chain_and_before_the_accusations_held_against_it(lab: ModuleType) -> None:
    alice, bob = lab.FEW[:2]
    accused = sign_accusation(
        seed=bob.key.seed,
        mesh_id=lab.BUNDLE.hash,
        subject=alice.key.id,
        boot=1,
        incarnation=0,
        issued_at=lab.NOW,
    )
    against = {alice.key.id: [accused.signed.raw]}
    _, _, learned = lab.synchronise(
        lab.registry(), lab.registry((alice, alice.record())), lambda n: against.get(n, [])
    )
    assert learned == [
        ChainLearned(alice.chain),
        RecordLearned(alice.record().signed.raw),
        AccusationLearned(accused.signed.raw),
    ]


def test_both_sides_of_a_cloned_key_are_shown_to_both_and_only_once(lab: ModuleType) -> None:
    ours, theirs = lab.FEW[0].record(5), lab.FEW[0].record(5, zone="elsewhere")
    left, right = lab.registry((lab.FEW[0], ours)), lab.registry((lab.FEW[0], theirs))
    lab.synchronise(left, right)
    assert left.clones == (CloneAlarm(lab.FEW[0].key.id, ours.signed.raw, theirs.signed.raw),)
    assert right.clones == (CloneAlarm(lab.FEW[0].key.id, theirs.signed.raw, ours.signed.raw),)
    lab.synchronise(left, right)
    assert len(left.clones) == len(right.clones) == 1


def test_a_buried_record_is_not_asked_for_again(lab: ModuleType) -> None:
    left, right = lab.chosen([1] * 8), lab.chosen([1] * 8)
    left.forget(lab.FEW[0].key.id)
    _, _, learned = lab.synchronise(left, right)
    assert learned == []
    lab.synchronise(right, left)
    assert lab.FEW[0].key.id not in left.records


def test_a_full_registry_asks_for_no_newcomer(lab: ModuleType) -> None:
    full = Registry(TrustStore(lab.BUNDLE), limits=RegistryLimits(members=0))
    sync, _, learned = lab.synchronise(full, lab.registry((lab.FEW[0], lab.FEW[0].record())))
    assert learned == []
    assert sync.exchanges == 2


def test_what_gossip_brought_meanwhile_is_not_asked_for(lab: ModuleType) -> None:
    newcomer, responder = lab.registry(), lab.chosen([1] * 8)
    sync = SyncRound(newcomer, lab.nobody_accused)
    for _ in range(2):
        response, _ = answer_untrusted(sync.next_request() or b"", responder, lab.nobody_accused)
        sync.receive_response_untrusted(response)
    for each in lab.FEW[1:]:
        lab.take(newcomer, [ChainLearned(each.chain), RecordLearned(each.record(1).signed.raw)])
    assert decode_request_untrusted(sync.next_request() or b"") == ExchangeRequest((lab.FEW[0].key.id,), ())


def test_a_record_that_went_meanwhile_counts_as_served(lab: ModuleType) -> None:
    responder = lab.chosen([1] * 8)
    wanted = (lab.FEW[0].key.id, lab.FEW[1].key.id)
    responder.forget(lab.FEW[0].key.id)
    response, _ = answer_untrusted(encode(ExchangeRequest(wanted, ())), responder, lab.nobody_accused)
    parcel = Parcel(lab.FEW[1].chain, lab.FEW[1].record().signed.raw)
    assert response == encode(ExchangeResponse(2, (parcel,)))


def test_a_response_nobody_asked_for_is_our_own_mistake(lab: ModuleType) -> None:
    with pytest.raises(LocalProtocolError):
        SyncRound(lab.registry(), lab.nobody_accused).receive_response_untrusted(
            encode(DigestResponse(0, b""))
        )

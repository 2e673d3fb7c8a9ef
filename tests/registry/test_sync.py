"""Two registries become equal, whatever they hold and whatever the other side answers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.crypto import blake2b
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.identity.accusation import sign_accusation
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MAX_RECORD, MemberRecord, sign_record
from gossipmesh.identity.token import new_token
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.registry.digest import Entry, bucket_of
from gossipmesh.registry.store import ChainAccepted, CloneAlarm, Registry, RegistryLimits
from gossipmesh.registry.sync import (
    MAX_EXCHANGES,
    AccusationLearned,
    Accusations,
    ChainLearned,
    Learned,
    RecordLearned,
    SyncRound,
    answer_untrusted,
)
from gossipmesh.registry.sync_messages import (
    MAX_PAGE,
    MAX_SYNC_MESSAGE,
    DigestResponse,
    EntriesRequest,
    EntriesResponse,
    ExchangeRequest,
    ExchangeResponse,
    Parcel,
    decode_request_untrusted,
    encode,
)

NOW = 1_700_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TOKEN = new_token(BUNDLE, ROOT.seed, Caveats(NOW, NOW + 86_400), bytes)
PEER = NodeId(b"p" * 32)


@attrs.frozen
class Node:
    """A key and its chain."""

    key: NodeKey
    name: str
    chain: bytes

    def record(self, boot: int = 1, zone: str = "", services: Sequence[Service] = ()) -> MemberRecord:
        return sign_record(
            seed=self.key.seed,
            mesh_id=BUNDLE.hash,
            boot=boot,
            incarnation=0,
            name=self.name,
            addresses=[Address("192.0.2.1", 7946)],
            dh_key=bytes(32),
            dh_generation=0,
            chain_hash=chain_hash(self.chain),
            issued_at=NOW,
            zone=zone,
            services=services,
        )


def node(name: str) -> Node:
    key = NodeKey.from_seed(blake2b(name.encode(), 32))
    return Node(key, name, join_chain(TOKEN, key.seed, name))


def take(held: Registry, learned: Iterable[Learned]) -> list[CloneAlarm]:
    """Offer all that was learned, as the owner of a registry does; give the alarms."""
    outcomes: list[object] = []
    for each in learned:
        match each:
            case ChainLearned(raw):
                chain = held.offer_chain_untrusted(raw, wall=NOW)
                assert isinstance(chain, ChainAccepted)
            case RecordLearned(raw):
                outcomes.append(held.offer_record_untrusted(raw, source=PEER, wall=NOW))
            case AccusationLearned():
                pass
    return [outcome for outcome in outcomes if isinstance(outcome, CloneAlarm)]


def registry(held: Iterable[tuple[Node, MemberRecord]] = ()) -> Registry:
    made = Registry(TrustStore(BUNDLE))
    for owner, record in held:
        take(made, [ChainLearned(owner.chain), RecordLearned(record.signed.raw)])
    return made


def nobody_accused(_: NodeId) -> tuple[bytes, ...]:
    return ()


def synchronise(
    initiator: Registry, responder: Registry, accusations: Accusations = nobody_accused
) -> tuple[SyncRound, list[bytes], list[Learned]]:
    """Run one round; give it, its messages in turn, and what the initiator learned."""
    sync, messages, learned = SyncRound(initiator, accusations), list[bytes](), list[Learned]()
    while (request := sync.next_request()) is not None:
        response, pushed = answer_untrusted(request, responder, accusations)
        messages += [request, response]
        take(responder, pushed)
        brought = sync.receive_response_untrusted(response)
        take(initiator, brought)
        learned += brought
    assert max(map(len, messages)) <= MAX_SYNC_MESSAGE
    return sync, messages, learned


FEW = tuple(node(f"n-{n}") for n in range(8))
VERSIONS = tuple((None, each.record(1), each.record(2), each.record(3)) for each in FEW)
choices = st.tuples(*(st.integers(0, 3) for _ in FEW))


def chosen(versions: Iterable[int]) -> Registry:
    picked = ((FEW[n], VERSIONS[n][version]) for n, version in enumerate(versions))
    return registry((owner, record) for owner, record in picked if record is not None)


@settings(max_examples=40, deadline=None)
@given(choices, choices)
def test_any_two_registries_are_equal_after_one_round(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    alice, bob = chosen(ours), chosen(theirs)
    sync, messages, _ = synchronise(alice, bob)
    newest = chosen(max(both) for both in zip(ours, theirs, strict=True))
    assert alice.digest.root == bob.digest.root == newest.digest.root
    assert alice.records == bob.records == newest.records
    assert sync.exchanges <= 3
    assert len(messages) == 2 * sync.exchanges


@settings(max_examples=15, deadline=None)
@given(choices, choices, choices, st.permutations([(0, 1), (1, 2), (2, 0)]))
def test_three_registries_are_equal_after_every_pair_met_twice_in_any_order(
    first: tuple[int, ...], second: tuple[int, ...], third: tuple[int, ...], order: list[tuple[int, int]]
) -> None:
    three = [chosen(versions) for versions in (first, second, third)]
    for left, right in order * 2:
        synchronise(three[left], three[right])
    newest = chosen(max(all_three) for all_three in zip(first, second, third, strict=True))
    assert {each.digest.root for each in three} == {newest.digest.root}


@functools.cache
def many() -> tuple[tuple[Node, MemberRecord], ...]:
    """More members than one page holds, each with a few services."""
    services = [Service(f"service-{n}", 8_000 + n, tags=("blue",)) for n in range(3)]
    nodes = [node(f"node-{n:04}") for n in range(MAX_PAGE + 76)]
    return tuple((each, each.record(zone="eu-west-1", services=services)) for each in nodes)


@functools.cache
def thousand() -> Registry:
    """Give the first thousand of them, for tests that only read it."""
    return registry(many()[:1_000])


def test_equal_registries_exchange_two_small_messages_whatever_their_size() -> None:
    for held in (registry(), chosen([1] * 8), thousand()):
        sync, messages, learned = synchronise(held, held)
        assert sync.exchanges == 1
        assert len(messages[0]) == 20
        assert len(messages[1]) <= 10
        assert learned == []
        assert sync.remote_members == len(held)


def test_one_difference_among_a_thousand_costs_three_exchanges() -> None:
    almost = registry(many()[:999])
    sync, messages, learned = synchronise(almost, thousand())
    assert almost.digest.root == thousand().digest.root
    assert sync.exchanges == 3
    assert len(learned) == 2
    assert sum(map(len, messages)) < 8 * 1024


def test_a_newcomer_learns_a_thousand_members_in_few_exchanges_of_bounded_size() -> None:
    newcomer = registry()
    own = node("newcomer")
    take(newcomer, [ChainLearned(own.chain), RecordLearned(own.record().signed.raw)])
    responder = registry(many()[:1_000])
    total = sum(len(owner.chain) + len(record.signed.raw) for owner, record in many()[:1_000])
    sync, messages, _ = synchronise(newcomer, responder)
    assert newcomer.digest.root == responder.digest.root
    assert len(newcomer) == 1_001
    # One for the digests, one for the entries, and full messages for all the rest.
    assert sync.exchanges <= 3 + total // (MAX_SYNC_MESSAGE - 4_096)
    assert max(map(len, messages)) <= MAX_SYNC_MESSAGE
    assert sum(map(len, messages)) < 1.25 * total


def test_a_full_registry_fills_an_empty_one_by_pushing() -> None:
    everybody, newcomer = registry(many()[:200]), registry()
    sync, _, learned = synchronise(everybody, newcomer)
    assert newcomer.records == everybody.records
    assert learned == []
    assert sync.exchanges < 10


def test_two_large_registries_that_differ_both_ways_are_equal_after_one_round() -> None:
    left, right = registry(many()[:-10]), registry(many()[10:])
    synchronise(left, right)
    assert left.records == right.records
    assert len(left) == len(many())


def test_more_members_than_one_page_holds_are_compared_page_by_page() -> None:
    empty, full = registry(), registry(many())
    sync = SyncRound(empty, nobody_accused)
    pages = 0
    while (request := sync.next_request()) is not None:
        response, _ = answer_untrusted(request, full, nobody_accused)
        pages += isinstance(decode_request_untrusted(request), EntriesRequest)
        take(empty, sync.receive_response_untrusted(response))
    assert pages == 2
    assert empty.records == full.records


def test_records_of_the_greatest_length_with_all_their_accusations_keep_every_message_in_bounds() -> None:
    def longest(owner: Node) -> MemberRecord:
        services = [Service(f"{'s' * 46}-{n}", 65_535, weight=1_000) for n in range(13)]
        return owner.record(zone="z" * 63, services=services)

    nodes = [node(f"{'x' * 59}-{n:03}") for n in range(120)]
    records = {each.key.id: longest(each) for each in nodes}
    assert all(MAX_RECORD - 70 < len(record.signed.raw) <= MAX_RECORD for record in records.values())

    def accusations(subject: NodeId) -> list[bytes]:
        against = sign_accusation(
            seed=nodes[0].key.seed, mesh_id=BUNDLE.hash, subject=subject, boot=1, incarnation=0, issued_at=NOW
        )
        return [against.signed.raw] * 9

    halves = nodes[:60], nodes[60:]
    left, right = (registry((each, records[each.key.id]) for each in half) for half in halves)
    _, messages, _ = synchronise(left, right, accusations)
    assert left.records == right.records
    assert max(map(len, messages)) <= MAX_SYNC_MESSAGE


def test_a_record_comes_after_its_chain_and_before_the_accusations_held_against_it() -> None:
    alice, bob = FEW[:2]
    accused = sign_accusation(
        seed=bob.key.seed, mesh_id=BUNDLE.hash, subject=alice.key.id, boot=1, incarnation=0, issued_at=NOW
    )
    against = {alice.key.id: [accused.signed.raw]}
    _, _, learned = synchronise(registry(), registry([(alice, alice.record())]), lambda n: against.get(n, []))
    assert learned == [
        ChainLearned(alice.chain),
        RecordLearned(alice.record().signed.raw),
        AccusationLearned(accused.signed.raw),
    ]


def test_both_sides_of_a_cloned_key_are_shown_to_both_and_only_once() -> None:
    ours, theirs = FEW[0].record(5), FEW[0].record(5, zone="elsewhere")
    left, right = registry([(FEW[0], ours)]), registry([(FEW[0], theirs)])
    synchronise(left, right)
    assert left.clones == (CloneAlarm(FEW[0].key.id, ours.signed.raw, theirs.signed.raw),)
    assert right.clones == (CloneAlarm(FEW[0].key.id, theirs.signed.raw, ours.signed.raw),)
    synchronise(left, right)
    assert len(left.clones) == len(right.clones) == 1


def test_a_buried_record_is_not_asked_for_again() -> None:
    left, right = chosen([1] * 8), chosen([1] * 8)
    left.forget(FEW[0].key.id)
    _, _, learned = synchronise(left, right)
    assert learned == []
    synchronise(right, left)
    assert FEW[0].key.id not in left.records


def test_a_full_registry_asks_for_no_newcomer() -> None:
    full = Registry(TrustStore(BUNDLE), limits=RegistryLimits(members=0))
    sync, _, learned = synchronise(full, registry([(FEW[0], FEW[0].record())]))
    assert learned == []
    assert sync.exchanges == 2


def test_what_gossip_brought_meanwhile_is_not_asked_for() -> None:
    newcomer, responder = registry(), chosen([1] * 8)
    sync = SyncRound(newcomer, nobody_accused)
    for _ in range(2):
        response, _ = answer_untrusted(sync.next_request() or b"", responder, nobody_accused)
        sync.receive_response_untrusted(response)
    for each in FEW[1:]:
        take(newcomer, [ChainLearned(each.chain), RecordLearned(each.record(1).signed.raw)])
    assert decode_request_untrusted(sync.next_request() or b"") == ExchangeRequest((FEW[0].key.id,), ())


def test_a_record_that_went_meanwhile_counts_as_served() -> None:
    responder = chosen([1] * 8)
    wanted = (FEW[0].key.id, FEW[1].key.id)
    responder.forget(FEW[0].key.id)
    response, _ = answer_untrusted(encode(ExchangeRequest(wanted, ())), responder, nobody_accused)
    parcel = Parcel(FEW[1].chain, FEW[1].record().signed.raw)
    assert response == encode(ExchangeResponse(2, (parcel,)))


# What a malicious responder can do.


def asked(held: Registry, *responses: DigestResponse | EntriesResponse | ExchangeResponse) -> SyncRound:
    """Give a round that has taken these responses and waits for the next."""
    sync = SyncRound(held, nobody_accused)
    for response in responses:
        assert sync.next_request() is not None
        sync.receive_response_untrusted(encode(response))
    assert sync.next_request() is not None
    return sync


EVERY_BUCKET = DigestResponse(3, b"\xff" * 4_096)


def entry(number: int) -> Entry:
    return Entry(NodeId(number.to_bytes(4, "big") + bytes(28)), 1, 1, bytes(16))


@pytest.mark.parametrize(
    ("before", "answer", "code"),
    [
        ([], ExchangeResponse(0, ()), "sync.unexpected"),
        ([EVERY_BUCKET], DigestResponse(3, b""), "sync.unexpected"),
        ([EVERY_BUCKET], EntriesResponse(True, ()), "sync.no-progress"),
        (
            [EVERY_BUCKET, EntriesResponse(True, (entry(5),))],
            EntriesResponse(True, (entry(6),)),
            "sync.unexpected",
        ),
        ([EVERY_BUCKET, EntriesResponse(False, (entry(5),))], ExchangeResponse(0, ()), "sync.no-progress"),
        ([EVERY_BUCKET, EntriesResponse(False, (entry(5),))], ExchangeResponse(2, ()), "sync.unexpected"),
        (
            [EVERY_BUCKET, EntriesResponse(False, (entry(5),))],
            ExchangeResponse(1, (Parcel(b"c", b"r"), Parcel(b"c", b"r"))),
            "sync.unexpected",
        ),
    ],
    ids=str,
)
def test_an_answer_to_another_question_or_without_progress_is_refused(
    before: list[DigestResponse | EntriesResponse], answer: EntriesResponse, code: str
) -> None:
    sync = asked(registry(), *before)
    exchanges = sync.exchanges
    with pytest.raises(RemoteProtocolError) as caught:
        sync.receive_response_untrusted(encode(answer))
    assert caught.value.code == code
    assert sync.exchanges == exchanges
    with pytest.raises(LocalProtocolError):
        sync.next_request()


def test_entries_that_were_not_asked_for_are_refused() -> None:
    held = chosen([1] * 8)
    buckets = bytearray(held.digest.buckets)
    buckets[0] ^= 1
    sync = asked(held, DigestResponse(8, bytes(buckets)))
    stray = Entry(NodeId(b"\1" * 32), 1, 1, bytes(16))
    with pytest.raises(RemoteProtocolError) as caught:
        sync.receive_response_untrusted(encode(EntriesResponse(False, (stray,))))
    assert caught.value.code == "sync.unexpected"


def test_a_page_that_starts_again_is_refused() -> None:
    held = thousand()
    sync = SyncRound(held, nobody_accused)
    sync.next_request()
    sync.receive_response_untrusted(encode(EVERY_BUCKET))
    sync.next_request()
    page = [held.digest.get(node) for node in sorted(held.records)]
    entries = tuple(each for each in page if each is not None)
    sync.receive_response_untrusted(encode(EntriesResponse(True, entries[:500])))
    request = decode_request_untrusted(sync.next_request() or b"")
    assert isinstance(request, EntriesRequest)
    assert request.after == entries[499].id
    with pytest.raises(RemoteProtocolError):
        sync.receive_response_untrusted(encode(EntriesResponse(True, entries[499:600])))
    assert sync.receive_response_untrusted(encode(EntriesResponse(False, entries[500:]))) == []
    assert sync.next_request() is None


def test_endless_pages_and_records_that_never_come_end_the_round_within_its_bound() -> None:
    held = chosen([1] * 8)
    sync, number = SyncRound(held, nobody_accused), 0
    while (data := sync.next_request()) is not None:
        match decode_request_untrusted(data):
            case EntriesRequest():
                number += 1
                response = encode(EntriesResponse(True, (entry(number),)))
            case ExchangeRequest(wanted):
                response = encode(ExchangeResponse(len(wanted), ()))
            case _:
                response = encode(EVERY_BUCKET)
        assert sync.receive_response_untrusted(response) == []
    assert sync.exchanges == MAX_EXCHANGES
    assert sync.next_request() is None
    assert bucket_of(entry(number).id) == 0


def test_one_record_at_a_time_ends_the_round_within_its_bound() -> None:
    page = tuple(entry(number) for number in range(MAX_PAGE))
    sync = asked(registry(), EVERY_BUCKET, EntriesResponse(True, page))
    learned = 0
    while True:
        learned += len(sync.receive_response_untrusted(encode(ExchangeResponse(1, (Parcel(b"c", b"r"),)))))
        if sync.next_request() is None:
            break
    assert sync.exchanges == MAX_EXCHANGES
    assert learned == 2 * (MAX_EXCHANGES - 2)


def test_a_claimed_size_is_believed_up_to_what_a_registry_holds() -> None:
    sync = SyncRound(registry(), nobody_accused)
    sync.next_request()
    sync.receive_response_untrusted(encode(DigestResponse(2**32 - 1, b"")))
    assert sync.remote_members == 16_384


def flips(data: bytes) -> Iterable[bytes]:
    for bit in range(len(data) * 8):
        yield data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def test_a_response_cut_short_or_with_any_bit_flipped_is_refused_or_brings_nothing_that_verifies() -> None:
    initiator, responder = chosen([1, 1, 0, 0, 0, 0, 0, 0]), chosen([0, 2, 1, 0, 0, 0, 0, 0])
    victim, honest = chosen([1, 1, 0, 0, 0, 0, 0, 0]), list[bytes]()

    def waiting_round() -> SyncRound:
        sync = SyncRound(initiator, nobody_accused)
        for response in honest:
            sync.next_request()
            sync.receive_response_untrusted(response)
        return sync

    while (request := waiting_round().next_request()) is not None:
        response, _ = answer_untrusted(request, responder, nobody_accused)
        # Of the bucket digests, one bit in a hundred will do: each flip only names one bucket more.
        step = 101 if len(response) > 4_096 else 1
        sync, spoilt = waiting_round(), [*flips(response)][::step]
        sync.next_request()
        for data in (*(response[:end] for end in range(0, len(response), step)), *spoilt):
            try:
                learned = sync.receive_response_untrusted(data)
            except RemoteProtocolError:
                continue
            for each in learned:
                with contextlib.suppress(RemoteProtocolError):
                    take(victim, [each])
            sync = waiting_round()
            sync.next_request()
        sync.receive_response_untrusted(response)
        honest.append(response)
    signed = [*initiator.records.values(), *responder.records.values()]
    assert all(record in signed for record in victim.records.values())


def test_every_truncation_and_bit_flip_of_a_request_is_answered_or_refused_and_changes_nothing() -> None:
    initiator, responder = chosen([1, 1, 1, 1, 0, 0, 0, 0]), chosen([2, 0, 1, 1, 1, 0, 0, 0])
    root = responder.digest.root
    sync = SyncRound(initiator, nobody_accused)
    while (request := sync.next_request()) is not None:
        for spoilt in (*(request[:end] for end in range(len(request))), *flips(request)):
            try:
                answer, _ = answer_untrusted(spoilt, responder, nobody_accused)
            except RemoteProtocolError as error:
                assert error.code == "sync.malformed"
            else:
                assert len(answer) <= MAX_SYNC_MESSAGE
        sync.receive_response_untrusted(answer_untrusted(request, responder, nobody_accused)[0])
    assert responder.digest.root == root


def test_a_response_nobody_asked_for_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        SyncRound(registry(), nobody_accused).receive_response_untrusted(encode(EVERY_BUCKET))

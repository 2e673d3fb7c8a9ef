"""What a round of sync makes of a peer that lies, stalls or damages what it sends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from types import ModuleType

import pytest

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.model import NodeId
from gossipmesh.registry.digest import Entry, bucket_of
from gossipmesh.registry.store import Registry
from gossipmesh.registry.sync import MAX_EXCHANGES, SyncRound, answer_untrusted
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


def nobody_accused(_: NodeId) -> tuple[bytes, ...]:
    return ()


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
    lab: ModuleType, before: list[DigestResponse | EntriesResponse], answer: EntriesResponse, code: str
) -> None:
    sync = asked(lab.registry(), *before)
    exchanges = sync.exchanges
    with pytest.raises(RemoteProtocolError) as caught:
        sync.receive_response_untrusted(encode(answer))
    assert caught.value.code == code
    assert sync.exchanges == exchanges
    with pytest.raises(LocalProtocolError):
        sync.next_request()


def flips(data: bytes) -> Iterable[bytes]:
    for bit in range(len(data) * 8):
        yield data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def test_entries_that_were_not_asked_for_are_refused(lab: ModuleType) -> None:
    held = lab.chosen([1] * 8)
    buckets = bytearray(held.digest.buckets)
    buckets[0] ^= 1
    sync = asked(held, DigestResponse(8, bytes(buckets)))
    stray = Entry(NodeId(b"\1" * 32), 1, 1, bytes(16))
    with pytest.raises(RemoteProtocolError) as caught:
        sync.receive_response_untrusted(encode(EntriesResponse(False, (stray,))))
    assert caught.value.code == "sync.unexpected"


def test_a_page_that_starts_again_is_refused(lab: ModuleType) -> None:
    held = lab.thousand()
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


def test_endless_pages_and_records_that_never_come_end_the_round_within_its_bound(lab: ModuleType) -> None:
    held = lab.chosen([1] * 8)
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


def test_one_record_at_a_time_ends_the_round_within_its_bound(lab: ModuleType) -> None:
    page = tuple(entry(number) for number in range(MAX_PAGE))
    sync = asked(lab.registry(), EVERY_BUCKET, EntriesResponse(True, page))
    learned = 0
    while True:
        learned += len(sync.receive_response_untrusted(encode(ExchangeResponse(1, (Parcel(b"c", b"r"),)))))
        if sync.next_request() is None:
            break
    assert sync.exchanges == MAX_EXCHANGES
    assert learned == 2 * (MAX_EXCHANGES - 2)


def test_a_claimed_size_is_believed_up_to_what_a_registry_holds(lab: ModuleType) -> None:
    sync = SyncRound(lab.registry(), nobody_accused)
    sync.next_request()
    sync.receive_response_untrusted(encode(DigestResponse(2**32 - 1, b"")))
    assert sync.remote_members == 16_384


def test_a_response_cut_short_or_with_any_bit_flipped_is_refused_or_brings_nothing_that_verifies(
    lab: ModuleType,
) -> None:
    initiator, responder = lab.chosen([1, 1, 0, 0, 0, 0, 0, 0]), lab.chosen([0, 2, 1, 0, 0, 0, 0, 0])
    victim, honest = lab.chosen([1, 1, 0, 0, 0, 0, 0, 0]), list[bytes]()

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
                    lab.take(victim, [each])
            sync = waiting_round()
            sync.next_request()
        sync.receive_response_untrusted(response)
        honest.append(response)
    signed = [*initiator.records.values(), *responder.records.values()]
    assert all(record in signed for record in victim.records.values())


def test_every_truncation_and_bit_flip_of_a_request_is_answered_or_refused_and_changes_nothing(
    lab: ModuleType,
) -> None:
    initiator, responder = lab.chosen([1, 1, 1, 1, 0, 0, 0, 0]), lab.chosen([2, 0, 1, 1, 1, 0, 0, 0])
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

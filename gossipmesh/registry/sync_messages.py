"""The bytes of anti-entropy: ``msgpack([kind, ...])``, at most 60 KiB each, so that one fits a channel's record.

    1  digest request     [1, root]
    2  digest response    [2, members, bucket digests | nothing if the roots are equal]
    3  entries request    [3, buckets, after id | nothing]
    4  entries response   [4, more, entries]
    5  exchange request   [5, wanted ids, parcels]
    6  exchange response  [6, served, parcels]

A parcel is ``[chain, record, [accusation...]]``: a record with all that is needed to verify it. Buckets are one byte
each, entries 56 bytes, ids 32, each run of them one byte string. Kinds 1 to 15 belong to the registry, requests odd,
responses even; further kinds on the same channel belong to others.
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import field, frozen

from gossipmesh import wire
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.identity.accusation import MAX_ACCUSATION
from gossipmesh.identity.chain import MAX_CHAIN
from gossipmesh.identity.record import MAX_RECORD
from gossipmesh.model import ID_BYTES, NodeId
from gossipmesh.registry.digest import BUCKETS, DIGEST_BYTES, ENTRY_BYTES, Entry

MAX_SYNC_MESSAGE: Final = 60 * 1024
LAST_REGISTRY_KIND: Final = 15
MAX_PAGE: Final = 1_024
"""Entries in a response: 57,344 bytes."""
MAX_WANTED: Final = 128
"""Ids in a request: more than the parcels that fit into its response."""
MAX_PARCELS: Final = 128
MAX_PARCEL_ACCUSATIONS: Final = 4
"""Three independent accusers are all that a suspicion ever counts."""


class Kind(enum.IntEnum):
    """The first element of a message. Requests are odd, the response to each is one more."""

    DIGEST_REQUEST = 1
    DIGEST_RESPONSE = 2
    ENTRIES_REQUEST = 3
    ENTRIES_RESPONSE = 4
    EXCHANGE_REQUEST = 5
    EXCHANGE_RESPONSE = 6


_CODE: Final = "sync.malformed"
_MAX_COUNT: Final = 2**32 - 1
_PARCEL_OVERHEAD: Final = 16
_FIXARRAY: Final = 0x90


@frozen
class Parcel:
    """A record with its chain and the accusations held against it, each as it was received."""

    chain: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    record: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    accusations: tuple[bytes, ...] = field(default=(), repr=lambda raws: f"<{len(raws)}>")

    @property
    def size(self) -> int:
        """At least as many bytes as it takes in a message."""
        raws = (self.chain, self.record, *self.accusations)
        return _PARCEL_OVERHEAD + sum(len(raw) + 3 for raw in raws)


@frozen
class DigestRequest:
    """Are we equal? ``root`` is the asker's, 16 bytes."""

    root: bytes


@frozen
class DigestResponse:
    """How many records the answerer holds, and its 256 bucket digests; none of them if the roots are equal."""

    members: int
    buckets: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")


@frozen
class EntriesRequest:
    """Which records are in these ``buckets`` (ascending), after this id (empty: from the start)?"""

    buckets: tuple[int, ...]
    after: bytes = b""


@frozen
class EntriesResponse:
    """The next entries, ascending by id, and whether ``more`` follow them."""

    more: bool
    entries: tuple[Entry, ...]


@frozen
class ExchangeRequest:
    """Records that the answerer lacks, and the ids of those that it is asked for."""

    wanted: tuple[NodeId, ...]
    parcels: tuple[Parcel, ...]


@frozen
class ExchangeResponse:
    """Records asked for. The first ``served`` ids are dealt with, sent or gone; the rest may be asked for again."""

    served: int
    parcels: tuple[Parcel, ...]


Request = DigestRequest | EntriesRequest | ExchangeRequest
Response = DigestResponse | EntriesResponse | ExchangeResponse


def is_registry_request(kind: int) -> bool:
    """Tell whether a message of this kind is a request for the registry, known to this release or not."""
    return 1 <= kind <= LAST_REGISTRY_KIND and kind % 2 == 1


def peek_kind_untrusted(data: bytes) -> int:
    """Give the kind of a sync message, the registry's or another's, without decoding the rest of it.

    Raises:
        RemoteProtocolError: ``sync.malformed``, if it does not begin as ``[kind, ...]`` with a kind of 1 to 127.
    """
    # A short array and a small integer are one byte each in msgpack; every sync message begins with these two.
    if len(data) < 2 or data[0] & 0xF0 != _FIXARRAY or data[0] == _FIXARRAY or not 1 <= data[1] <= 127:
        raise RemoteProtocolError(_CODE, "a sync message begins with its kind")
    return data[1]


def encode(message: Request | Response) -> bytes:
    """Encode one message.

    Raises:
        LocalProtocolError: ``sync.too-long``, over 60 KiB; whoever fills messages has to stop before.
    """
    data = wire.pack(_values(message))
    if len(data) > MAX_SYNC_MESSAGE:
        raise LocalProtocolError("sync.too-long", f"a sync message of {len(data)} bytes")
    return data


def _values(message: Request | Response) -> list[wire.Value]:
    match message:
        case DigestRequest(root):
            return [Kind.DIGEST_REQUEST, root]
        case DigestResponse(members, buckets):
            return [Kind.DIGEST_RESPONSE, members, buckets]
        case EntriesRequest(numbers, after):
            return [Kind.ENTRIES_REQUEST, bytes(numbers), after]
        case EntriesResponse(more, entries):
            return [Kind.ENTRIES_RESPONSE, int(more), b"".join(entry.packed for entry in entries)]
        case ExchangeRequest(wanted, parcels):
            return [Kind.EXCHANGE_REQUEST, b"".join(wanted), _parcel_values(parcels)]
        case ExchangeResponse(served, parcels):
            return [Kind.EXCHANGE_RESPONSE, served, _parcel_values(parcels)]


def _parcel_values(parcels: tuple[Parcel, ...]) -> wire.Value:
    return [[parcel.chain, parcel.record, list(parcel.accusations)] for parcel in parcels]


def decode_request_untrusted(data: bytes) -> Request:
    """Give the request that ``data`` holds.

    Raises:
        RemoteProtocolError: ``sync.malformed``, for any other bytes.
    """
    match _decode_untrusted(data):
        case DigestRequest() | EntriesRequest() | ExchangeRequest() as request:
            return request
        case _:
            raise RemoteProtocolError(_CODE, "a response where a request was expected")


def decode_response_untrusted(data: bytes) -> Response:
    """Give the response that ``data`` holds.

    Raises:
        RemoteProtocolError: ``sync.malformed``, for any other bytes.
    """
    match _decode_untrusted(data):
        case DigestResponse() | EntriesResponse() | ExchangeResponse() as response:
            return response
        case _:
            raise RemoteProtocolError(_CODE, "a request where a response was expected")


def _decode_untrusted(data: bytes) -> Request | Response:
    kind = peek_kind_untrusted(data)
    fields = wire.Fields(wire.unpack_untrusted(data, code=_CODE, max_bytes=MAX_SYNC_MESSAGE), code=_CODE)
    fields.integer(kind, kind)
    match kind:
        case Kind.DIGEST_REQUEST:
            return DigestRequest(fields.binary(DIGEST_BYTES, DIGEST_BYTES))
        case Kind.DIGEST_RESPONSE:
            return DigestResponse(
                fields.integer(0, _MAX_COUNT), _all_or_nothing(fields, BUCKETS * DIGEST_BYTES)
            )
        case Kind.ENTRIES_REQUEST:
            return EntriesRequest(_buckets(fields), _all_or_nothing(fields, ID_BYTES))
        case Kind.ENTRIES_RESPONSE:
            return EntriesResponse(fields.integer(0, 1) == 1, _entries(fields))
        case Kind.EXCHANGE_REQUEST:
            wanted = tuple(NodeId(node) for node in _slices(fields, ID_BYTES, MAX_WANTED))
            return ExchangeRequest(wanted, _parcels(fields))
        case Kind.EXCHANGE_RESPONSE:
            return ExchangeResponse(fields.integer(0, MAX_WANTED), _parcels(fields))
        case _:
            raise RemoteProtocolError(_CODE, f"no message of the registry is of kind {kind}")


def _all_or_nothing(fields: wire.Fields, size: int) -> bytes:
    value = fields.binary(0, size)
    if value and len(value) != size:
        raise RemoteProtocolError(_CODE, f"{size} bytes or none were expected")
    return value


def _slices(fields: wire.Fields, size: int, most: int) -> list[bytes]:
    run = fields.binary(0, size * most)
    if len(run) % size:
        raise RemoteProtocolError(_CODE, f"a multiple of {size} bytes was expected")
    return [run[start : start + size] for start in range(0, len(run), size)]


def _buckets(fields: wire.Fields) -> tuple[int, ...]:
    buckets = tuple(fields.binary(1, BUCKETS))
    if tuple(sorted(set(buckets))) != buckets:
        raise RemoteProtocolError(_CODE, "bucket numbers were expected in ascending order")
    return buckets


def _entries(fields: wire.Fields) -> tuple[Entry, ...]:
    entries = tuple(Entry.from_packed(packed) for packed in _slices(fields, ENTRY_BYTES, MAX_PAGE))
    ids = [entry.id for entry in entries]
    if sorted(set(ids)) != ids:
        raise RemoteProtocolError(_CODE, "entries were expected in ascending order")
    return entries


def _parcels(fields: wire.Fields) -> tuple[Parcel, ...]:
    return tuple(_parcel(wire.Fields(item, code=_CODE)) for item in fields.array(MAX_PARCELS))


def _parcel(fields: wire.Fields) -> Parcel:
    chain = fields.binary(1, MAX_CHAIN)
    record = fields.binary(1, MAX_RECORD)
    accusations = fields.fields(MAX_PARCEL_ACCUSATIONS)
    return Parcel(
        chain, record, tuple(accusations.binary(1, MAX_ACCUSATION) for _ in range(accusations.left))
    )

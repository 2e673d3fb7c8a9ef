"""Anti-entropy: how two registries become equal over a reliable channel.

The initiator asks, the other side answers; only the initiator has state, and only for one round:

1. *Digest.* Roots are compared. Equal ones end the round here: 20 bytes against 10, whatever N is. Otherwise the
   answer holds the 256 bucket digests.
2. *Entries.* The initiator asks for what is in the buckets that differ, 1,024 entries a page, and compares: what is
   newer there is wanted, what is newer here will be pushed.
3. *Exchange.* Wanted ids and pushed parcels go out, wanted parcels come back, until both lists are empty; then the
   next page. A record always travels with its chain and with the accusations held against it.

What arrives is handed out raw as :data:`Learned`: whoever owns the registry offers it there, at its own pace. The round
and the answers only read it.

Law: every request makes progress that the initiator can check itself, and a round ends after ``MAX_EXCHANGES``
requests. So the other side, whatever it answers, can neither keep a round alive nor make it grow beyond one page.
What a round left undone is found by the next one, which starts with a smaller difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final

from attrs import field, frozen

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.model import ID_BYTES, NodeId
from gossipmesh.registry.digest import Entry, bucket_of, differing_buckets
from gossipmesh.registry.store import MAX_MEMBERS, Registry
from gossipmesh.registry.sync_messages import (
    MAX_PAGE,
    MAX_PARCEL_ACCUSATIONS,
    MAX_PARCELS,
    MAX_SYNC_MESSAGE,
    MAX_WANTED,
    DigestRequest,
    DigestResponse,
    EntriesRequest,
    EntriesResponse,
    ExchangeRequest,
    ExchangeResponse,
    Parcel,
    Request,
    Response,
    decode_request_untrusted,
    decode_response_untrusted,
    encode,
)

MAX_EXCHANGES: Final = 64
"""Requests in one round: 3.8 MB each way, enough for 1,000 records of the greatest length."""

_ENVELOPE: Final = 32
"""More than the bytes of an exchange around its ids and parcels."""


@frozen
class ChainLearned:
    """A chain as it was received, unverified."""

    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")


@frozen
class RecordLearned:
    """A record as it was received, unverified; its chain came just before it."""

    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")


@frozen
class AccusationLearned:
    """An accusation as it was received, unverified; the record that it is about came before it."""

    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")


Learned = ChainLearned | RecordLearned | AccusationLearned
Accusations = Callable[[NodeId], Sequence[bytes]]
"""Gives the accusations currently held against a member, each as it was received."""


class SyncRound:
    """The initiator's side of one round: alternately ``next_request`` and ``receive_response_untrusted``.

    Args:
        registry: what to compare and to take pushed records from; it may change between two exchanges.
        accusations: what to send along with a record.
    """

    def __init__(self, registry: Registry, accusations: Accusations) -> None:
        self._registry = registry
        self._accusations = accusations
        self._asked: Request | None = None
        self._next: DigestRequest | EntriesRequest | None = DigestRequest(registry.digest.root)
        self._wanted: list[Entry] = []
        self._to_push: list[NodeId] = []
        self.exchanges = 0
        """How many requests were made."""
        self.remote_members = 0
        """How many records the other side said that it holds; never more than a registry may hold."""

    def next_request(self) -> bytes | None:
        """Give the next request to send, or None when the round is over.

        Raises:
            LocalProtocolError: ``sync.busy``, while the last request has no response.
        """
        if self._asked is not None:
            raise LocalProtocolError("sync.busy", "the last request has no response yet")
        request = self._plan() if self.exchanges < MAX_EXCHANGES else None
        if request is None:
            return None
        self._asked = request
        self.exchanges += 1
        return encode(request)

    def _plan(self) -> Request | None:
        # Gossip may have brought some of them since the page was compared.
        self._wanted = [entry for entry in self._wanted if self._registry.wants(entry)]
        if not self._wanted and not self._to_push:
            return self._next
        wanted = tuple(entry.id for entry in self._wanted[:MAX_WANTED])
        room = MAX_SYNC_MESSAGE - _ENVELOPE - ID_BYTES * len(wanted)
        pushed, parcels = _fill(self._to_push, room, self._registry, self._accusations)
        self._to_push = self._to_push[pushed:]
        return ExchangeRequest(wanted, parcels)

    def receive_response_untrusted(self, data: bytes) -> list[Learned]:
        """Take the response to the last request; give what it brought.

        Raises:
            RemoteProtocolError: ``sync.malformed``, ``sync.unexpected`` (the response to another question) or
                ``sync.no-progress`` (one that would have the same thing asked again). The round is unchanged, but
                there is no sense in going on with it.
            LocalProtocolError: ``sync.idle``, if nothing was asked.
        """
        if self._asked is None:
            raise LocalProtocolError("sync.idle", "nothing was asked")
        learned = self._apply(self._asked, decode_response_untrusted(data))
        self._asked = None
        return learned

    def _apply(self, asked: Request, response: Response) -> list[Learned]:
        match asked, response:
            case DigestRequest(), DigestResponse():
                self._compare_digests(response)
                return []
            case EntriesRequest(), EntriesResponse():
                self._compare_entries(asked, response)
                return []
            case ExchangeRequest(wanted), ExchangeResponse(served, parcels):
                if served > len(wanted) or len(parcels) > served:
                    raise RemoteProtocolError("sync.unexpected", "more was answered than asked for")
                if wanted and not served:
                    raise RemoteProtocolError("sync.no-progress", "none of the wanted records was dealt with")
                self._wanted = self._wanted[served:]
                return _unpack(parcels)
            case _:
                raise RemoteProtocolError("sync.unexpected", "the response to another question")

    def _compare_digests(self, response: DigestResponse) -> None:
        self.remote_members = min(response.members, MAX_MEMBERS)
        self._next = None
        if response.buckets:
            differing = differing_buckets(self._registry.digest.buckets, response.buckets)
            self._next = EntriesRequest(tuple(differing)) if differing else None

    def _compare_entries(self, asked: EntriesRequest, response: EntriesResponse) -> None:
        theirs = {entry.id: entry for entry in response.entries}
        if any(node <= asked.after for node in theirs) or not set(map(bucket_of, theirs)) <= set(
            asked.buckets
        ):
            raise RemoteProtocolError("sync.unexpected", "entries that were not asked for")
        if response.more and not theirs:
            raise RemoteProtocolError("sync.no-progress", "an empty page that says more will follow")
        ours, _ = self._registry.digest.page(asked.buckets, asked.after, len(self._registry))
        self._next = None
        if response.more:
            last = response.entries[-1].id
            # What follows the page's last id is compared with the next page.
            ours = list(takewhile(lambda entry: entry.id <= last, ours))
            self._next = EntriesRequest(asked.buckets, last)
        self._wanted = [entry for entry in response.entries if self._registry.wants(entry)]
        self._to_push = [entry.id for entry in ours if _is_news(entry, theirs.get(entry.id))]


def _is_news(ours: Entry, theirs: Entry | None) -> bool:
    """Tell whether the other side should get our record. Two of one version prove a clone: both sides should see it."""
    if theirs is None or ours.version > theirs.version:
        return True
    return ours.version == theirs.version and ours.body_hash != theirs.body_hash


def answer_untrusted(
    request: bytes, registry: Registry, accusations: Accusations
) -> tuple[bytes, list[Learned]]:
    """Give the response to one request of the registry's kinds, and what the request brought.

    Raises:
        RemoteProtocolError: ``sync.malformed``, for anything else.
    """
    match decode_request_untrusted(request):
        case DigestRequest(root):
            equal = root == registry.digest.root
            return encode(DigestResponse(len(registry), b"" if equal else registry.digest.buckets)), []
        case EntriesRequest(buckets, after):
            entries, more = registry.digest.page(buckets, after, MAX_PAGE)
            return encode(EntriesResponse(more, tuple(entries))), []
        case ExchangeRequest(wanted, parcels):
            served, found = _fill(wanted, MAX_SYNC_MESSAGE - _ENVELOPE, registry, accusations)
            return encode(ExchangeResponse(served, found)), _unpack(parcels)


def _fill(
    ids: Sequence[NodeId], room: int, registry: Registry, accusations: Accusations
) -> tuple[int, tuple[Parcel, ...]]:
    """Make parcels of the first of ``ids`` that fit into ``room`` bytes; say how many of the ids that settles.

    An id that is held no more is settled without a parcel.
    """
    parcels: list[Parcel] = []
    for settled, node in enumerate(ids):
        record, chain = registry.lookup(node), registry.chain_of(node)
        if record is None or chain is None:
            continue
        against = tuple(accusations(node)[:MAX_PARCEL_ACCUSATIONS])
        parcel = Parcel(chain.raw, record.signed.raw, against)
        room -= parcel.size
        if room < 0 or len(parcels) == MAX_PARCELS:
            return settled, tuple(parcels)
        parcels.append(parcel)
    return len(ids), tuple(parcels)


def _unpack(parcels: Sequence[Parcel]) -> list[Learned]:
    learned: list[Learned] = []
    for parcel in parcels:
        learned.append(ChainLearned(parcel.chain))
        learned.append(RecordLearned(parcel.record))
        learned.extend(AccusationLearned(raw) for raw in parcel.accusations)
    return learned

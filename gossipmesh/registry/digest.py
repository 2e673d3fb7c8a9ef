"""What a set of records hashes to, so that two nodes compare their registries in one small message.

An id belongs to the bucket of its first byte. A bucket's digest is a hash of the sorted hashes of its records'
signed bodies, and the root is a hash of the 256 bucket digests: equal sets have equal roots, whatever the order in
which they came. A change costs one bucket (N / 256 hashes in a row) and one hash of 4 KiB, both put off until
somebody asks.

Two rejected alternatives: XOR or sums of hashes would be cheaper to maintain, but whoever owns a few hundred ids can
solve for a set that hides a difference. And hashing signatures along with bodies would let an owner who signs one body
twice keep two nodes unequal for ever, though both hold the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from gossipmesh.crypto import blake2b
from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.signed import BODY_HASH_BYTES
from gossipmesh.model import ID_BYTES, NodeId

BUCKETS: Final = 256
DIGEST_BYTES: Final = BODY_HASH_BYTES
ENTRY_BYTES: Final = ID_BYTES + 4 + 4 + DIGEST_BYTES
EMPTY_BUCKET: Final = bytes(DIGEST_BYTES)


@frozen(weakref_slot=False)
class Entry:
    """One record as a digest sees it: 56 bytes when packed."""

    id: NodeId
    boot: int
    incarnation: int
    body_hash: bytes
    """BLAKE2b-128 of the signed body."""

    @property
    def version(self) -> tuple[int, int]:
        """What its owner raises with every change."""
        return (self.boot, self.incarnation)

    @property
    def packed(self) -> bytes:
        """Id, boot and incarnation (both u32, big-endian), hash."""
        return self.id + self.boot.to_bytes(4, "big") + self.incarnation.to_bytes(4, "big") + self.body_hash

    @classmethod
    def from_packed(cls, packed: bytes) -> Entry:
        """Give the entry that 56 bytes hold; any 56 bytes are one."""
        boot, incarnation = int.from_bytes(packed[32:36], "big"), int.from_bytes(packed[36:40], "big")
        return cls(NodeId(packed[:ID_BYTES]), boot, incarnation, packed[40:])


def entry_of(record: MemberRecord) -> Entry:
    """Give the entry of a record."""
    return Entry(record.id, record.boot, record.incarnation, record.signed.body_hash)


def bucket_of(node: NodeId) -> int:
    """Give the bucket, 0 to 255, that an id belongs to."""
    return node[0]


class Digest:
    """Entries by id, and the hashes over them."""

    def __init__(self) -> None:
        self._buckets: list[dict[NodeId, Entry]] = [{} for _ in range(BUCKETS)]
        self._hashes = [EMPTY_BUCKET] * BUCKETS
        self._stale: set[int] = set()
        self._root: bytes | None = None

    def get(self, node: NodeId) -> Entry | None:
        """Give the entry of an id."""
        return self._buckets[bucket_of(node)].get(node)

    def put(self, entry: Entry) -> None:
        """Add an entry, in the place of the one with its id."""
        self._buckets[bucket_of(entry.id)][entry.id] = entry
        self._touch(bucket_of(entry.id))

    def remove(self, node: NodeId) -> None:
        """Take the entry of an id out; nothing happens where there is none."""
        if self._buckets[bucket_of(node)].pop(node, None) is not None:
            self._touch(bucket_of(node))

    def _touch(self, bucket: int) -> None:
        self._stale.add(bucket)
        self._root = None

    @property
    def buckets(self) -> bytes:
        """The 256 bucket digests in a row: 4,096 bytes. An empty bucket's is all zeros."""
        for bucket in self._stale:
            hashes = sorted(entry.body_hash for entry in self._buckets[bucket].values())
            self._hashes[bucket] = blake2b(b"".join(hashes), DIGEST_BYTES) if hashes else EMPTY_BUCKET
        self._stale.clear()
        return b"".join(self._hashes)

    @property
    def root(self) -> bytes:
        """The hash over all buckets: 16 bytes."""
        if self._root is None:
            self._root = blake2b(self.buckets, DIGEST_BYTES)
        return self._root

    def page(self, buckets: Iterable[int], after: bytes, most: int) -> tuple[list[Entry], bool]:
        """Give the next entries of some buckets in ascending order of id, and whether there are more.

        Args:
            buckets: which ones, ascending.
            after: the id after which to start; empty: at the beginning.
            most: how many entries at most.
        """
        found: list[Entry] = []
        for bucket in buckets:
            if after and bucket < after[0]:
                continue
            entries = self._buckets[bucket]
            for node in sorted(node for node in entries if node > after):
                if len(found) == most:
                    return found, True
                found.append(entries[node])
        return found, False


def differing_buckets(ours: bytes, theirs: bytes) -> list[int]:
    """Give the numbers of the buckets whose digests differ, ascending; both arguments as ``Digest.buckets``."""
    size = DIGEST_BYTES
    return [n for n in range(BUCKETS) if ours[n * size : (n + 1) * size] != theirs[n * size : (n + 1) * size]]

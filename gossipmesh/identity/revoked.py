"""The set of revocations that one node holds, and what it takes effect on.

Law: the set is a function of what was offered, whatever the order, as long as the offers had not expired. Per origin
(all that was made of one token) and in all, the first entries by :attr:`Revocation.order` stay; since both limits use
one order, dropping before or after a merge leaves the same.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from gossipmesh import crypto
from gossipmesh.errors import TrustError
from gossipmesh.identity.authority import Signer, is_current
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.revocation import Revocation

MAX_REVOCATIONS: Final = 1_024
MAX_PER_ORIGIN: Final = 64
"""Entries of all holders of what was made of one token; a root has all the room there is."""
DIGEST_BYTES: Final = 16


class Revocations:
    """Entries by their key; offers of verified ones only."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Revocation] = {}
        self._by_target: dict[bytes, tuple[Revocation, ...]] = {}
        self._raws: set[bytes] = set()
        self._digest: bytes | None = None

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    @property
    def entries(self) -> tuple[Revocation, ...]:
        """Every entry, the first to stay first."""
        return tuple(sorted(self._entries.values(), key=lambda entry: entry.order))

    @property
    def digest(self) -> bytes:
        """What tells two sets apart, 16 bytes: their keys, and which of them can still be proved to a newcomer."""
        if self._digest is None:
            # Made when it is asked for: a page of a full set brings hundreds of entries at once.
            keys = sorted(key + bytes([entry.authorised.current]) for key, entry in self._entries.items())
            self._digest = crypto.blake2b(b"".join(keys), DIGEST_BYTES)
        return self._digest

    def get(self, key: bytes) -> Revocation | None:
        """Give the entry of this key."""
        return self._entries.get(key)

    def holds(self, raw: bytes) -> bool:
        """Tell whether these very bytes were verified and are held: then they need not be looked at."""
        return raw in self._raws

    def offer(self, entry: Revocation) -> bool:
        """Take a verified entry; tell whether the set is another one now.

        Raises:
            TrustError: ``revocation.full``, where it or its signer's share of the set is full of what goes first.
        """
        held = self._entries.get(entry.key)
        if held is not None and (held.authorised.current or not entry.authorised.current):
            return False
        if held is None:
            self._make_room(entry)
        self._take_out(entry.key)
        self._entries[entry.key] = entry
        self._raws.add(entry.raw)
        self._by_target[entry.target] = (*self._by_target.get(entry.target, ()), entry)
        self._digest = None
        return True

    def _take_out(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._raws.discard(entry.raw)
        left = tuple(each for each in self._by_target[entry.target] if each.key != key)
        if left:
            self._by_target[entry.target] = left
        else:
            del self._by_target[entry.target]
        self._digest = None

    def _make_room(self, entry: Revocation) -> None:
        if not entry.signer.is_root:
            share = [each for each in self._entries.values() if each.signer.origin == entry.signer.origin]
            if len(share) >= MAX_PER_ORIGIN:
                self._replace(max(share, key=lambda each: each.order), entry)
        if len(self._entries) >= MAX_REVOCATIONS:
            self._replace(max(self._entries.values(), key=lambda each: each.order), entry)

    def _replace(self, last: Revocation, entry: Revocation) -> None:
        if entry.order >= last.order:
            raise TrustError(
                "revocation.full",
                f"no room for more revocations by {entry.signer}: revoke the token instead, or let a root sign",
            )
        self._take_out(last.key)

    def expire(self, *, wall: float) -> bool:
        """Drop what has expired by itself; tell whether there was any."""
        gone = [key for key, entry in self._entries.items() if entry.expired(wall)]
        for key in gone:
            self._take_out(key)
        return bool(gone)

    def recheck(self, trust: TrustStore) -> None:
        """Take that the roots were replaced: mark what can no longer be proved to a newcomer. Nothing is dropped."""
        for key, entry in list(self._entries.items()):
            current = is_current(entry.authorised, trust)
            if current != entry.authorised.current:
                self._take_out(key)
                self.offer(evolve(entry, authorised=evolve(entry.authorised, current=current)))

    def find(self, subject: VerifiedChain | Signer) -> Revocation | None:
        """Give an entry that revokes ``subject``, if one does."""
        if not self._by_target:
            return None
        names: tuple[bytes, ...] = (*subject.token_ids, *subject.issuers)
        for name in names if subject.id is None else (subject.id, *names):
            for entry in self._by_target.get(name, ()):
                if entry.names(subject) and not self.is_void(entry):
                    return entry
        return None

    def is_void(self, entry: Revocation) -> bool:
        """Tell whether a root has taken the effect from an entry: it stays in the set, and revokes nobody."""
        signer = entry.signer
        if signer.is_root:
            return False
        names: tuple[bytes, ...] = (*signer.token_ids, *signer.issuers, signer.key)
        voiding = (each for name in names for each in self._by_target.get(name, ()) if each.voids)
        return any(each.names(signer) for each in voiding)

"""A policy document with the proof of who signed it, and which of two of them counts."""

from __future__ import annotations

from attrs import frozen

from gossipmesh.identity.authority import Authorised
from gossipmesh.policy.document import PolicyDocument


@frozen
class HeldPolicy:
    """A policy document, and the proof of who signed it."""

    document: PolicyDocument
    authorised: Authorised

    @property
    def raw(self) -> bytes:
        """The exact bytes, to be stored and relayed."""
        return self.authorised.raw

    @property
    def order(self) -> tuple[int, bytes]:
        """What sorts documents: the last one is in force."""
        return order_of(self.document.version, self.document.hash)


def order_of(version: int, hash_: bytes) -> tuple[int, bytes]:
    """Give what sorts documents by version, and those of one version by their hash, the lowest last."""
    return version, bytes(255 - byte for byte in hash_)

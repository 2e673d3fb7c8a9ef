"""The document that holds where the newest one does not: outside a rollout's stages, and again if it is returned.

It is named by its hash, and the signature over the newest document covers that hash. So whoever brings it proves it by
its bytes alone, even where its own signer has expired since, or hung on a root that was replaced: the newest document's
signer answers for it, and both fall together.

Law: one is enough. What is returned to holds whole, whatever stages it once had, so nobody needs what *it* would have
returned to. It is kept for as long as the newest document names it, however many versions came in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.policy.document import (
    NO_DOCUMENT,
    PolicyDocument,
    decode_document_untrusted,
    document_hash,
)

UNWANTED: Final = "policy.unwanted"


class Returning:
    """Holds that document.

    Args:
        check: reads a document's text; raises ConfigError for one that this node could not follow.
    """

    def __init__(self, check: Callable[[str], object]) -> None:
        self._check = check
        self._unfit = NO_DOCUMENT
        self.hash = NO_DOCUMENT
        """Of the document that the newest one names; zeros: it names none, or the mesh's default."""
        self.document: PolicyDocument | None = None

    @property
    def wanted(self) -> bytes:
        """The hash of what is lacking here, to be asked for; empty: nothing is, or nothing that could be followed."""
        lacking = self.hash != NO_DOCUMENT and self.document is None and self.hash != self._unfit
        return self.hash if lacking else b""

    @property
    def kept(self) -> tuple[bytes, ...]:
        """Its body, to be kept on disk; none where there is none."""
        return () if self.document is None else (self.document.body,)

    def settle(self, newest: PolicyDocument | None, find: Callable[[bytes], PolicyDocument | None]) -> None:
        """Take the newest document.

        Args:
            newest: None: there is none.
            find: gives a document that is remembered, by its hash.
        """
        self.hash = NO_DOCUMENT if newest is None else newest.return_to
        if self.document is None or self.document.hash != self.hash:
            self.document = None if self.hash == NO_DOCUMENT else find(self.hash)

    def take_untrusted(self, body: bytes) -> None:
        """Take the body that is wanted.

        Raises:
            RemoteProtocolError: ``policy.unwanted`` for any other; ``policy.malformed``.
            ConfigError: this release cannot follow it. It is asked for no more.
        """
        if document_hash(body) != self.wanted:
            raise RemoteProtocolError(UNWANTED, "a policy document that nobody here asked for")
        try:
            document = decode_document_untrusted(body)
            self._check(document.text)
        except (ConfigError, RemoteProtocolError):
            self._unfit = self.hash
            raise
        self.document = document

"""The policy document as it is signed: its version, what it follows, its text, and how it is rolled out.

Body: ``[1, version, previous hash, signed at, text, [[share, hold, gate]...], return to]``. The text is the very TOML
that the operator wrote, so that every node reads it with one reader, and ``show`` shows it.

Law: versions only rise. Of two documents of one version the one with the lower hash wins everywhere. The hash of the
one before is history, never a condition.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError

POLICY_LABEL: Final = b"gossipmesh/policy\0"
DOCUMENT_VERSION: Final = 1
MAX_TEXT: Final = 32 * 1024
MAX_STAGES: Final = 8
MAX_BODY: Final = MAX_TEXT + 1_024
MAX_VERSION: Final = 2**32 - 1
HASH_BYTES: Final = 32
MAX_UNIX: Final = 253_402_300_799
"""The last second of the year 9999."""
MALFORMED: Final = "policy.malformed"


@frozen
class PolicyDocument:
    """A document. ``signed_at`` is in Unix seconds; ``hash`` is the BLAKE2b-256 of ``body``, 32 bytes."""

    version: int
    prev_hash: bytes
    signed_at: int
    text: bytes = field(repr=lambda text: f"<{len(text)} bytes>")
    stages: tuple[tuple[int, int, int], ...]
    return_to: bytes
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")

    @property
    def hash(self) -> bytes:
        """What the next document names as the one before."""
        return crypto.blake2b(self.body, HASH_BYTES)


def encode_document(
    version: int,
    prev_hash: bytes,
    signed_at: int,
    text: bytes,
    *,
    stages: tuple[tuple[int, int, int], ...] = (),
    return_to: bytes = b"",
) -> bytes:
    """Give the body to be signed."""
    return wire.pack(
        [
            DOCUMENT_VERSION,
            version,
            prev_hash,
            signed_at,
            text,
            [list(stage) for stage in stages],
            return_to,
        ]
    )


def decode_document_untrusted(body: bytes) -> PolicyDocument:
    """Give the document that ``body`` holds; its text is not read.

    Raises:
        RemoteProtocolError: ``policy.malformed``, for any other bytes.
    """
    fields = wire.Fields(wire.unpack_untrusted(body, code=MALFORMED, max_bytes=MAX_BODY), code=MALFORMED)
    fields.integer(DOCUMENT_VERSION, DOCUMENT_VERSION)
    version = fields.integer(1, MAX_VERSION)
    prev_hash = fields.binary(0, HASH_BYTES)
    signed_at = fields.integer(0, MAX_UNIX)
    text = fields.binary(0, MAX_TEXT)
    rows = fields.fields(MAX_STAGES)
    stages = tuple(_decode_stage(rows.fields(3)) for _ in range(rows.left))
    return_to = fields.binary(0, HASH_BYTES)
    if len(prev_hash) not in (0, HASH_BYTES) or len(return_to) not in (0, HASH_BYTES):
        raise RemoteProtocolError(MALFORMED, "a hash is 32 bytes")
    return PolicyDocument(version, prev_hash, signed_at, text, stages, return_to, body)


def _decode_stage(stage: wire.Fields) -> tuple[int, int, int]:
    return stage.integer(), stage.integer(), stage.integer()

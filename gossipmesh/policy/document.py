"""The policy document: what the mesh's authority signs, whole, with its version.

Body: ``[1, version, previous hash, signed at, text, [[share, hold, rise, requests]...], return to]``. ``text`` is the
very TOML that the operator wrote, so that every node reads it with one reader and can show it again. Stages say how
it is rolled out (:mod:`.rollout`), and ``return to`` which document holds until then, or again if it does harm.

Law: a document is its body; whoever signed it, and how often, it is the same one. The higher version counts; of two
with one version the lower hash does, at every node alike. The previous hash is history, never a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.signed import MAX_WALL

POLICY_LABEL: Final = b"gossipmesh/policy\0"
DOCUMENT_VERSION: Final = 1
MAX_TEXT: Final = 32 * 1024
"""Bytes of a policy's text."""
MAX_BODY: Final = MAX_TEXT + 1_024
"""Bytes of a body: the text, and what goes with it now or in later releases."""
MAX_VERSION: Final = 2**32 - 1
MAX_STAGES: Final = 8
MAX_HOLD_S: Final = 7 * 86_400
MAX_REQUESTS: Final = 1_000_000
WHOLE: Final = 1_000
"""All of something, in thousandths."""
HASH_BYTES: Final = 32
NO_DOCUMENT: Final = bytes(HASH_BYTES)
"""Stands for the policy of a mesh without a document: the default of its first trust bundle, version 0."""
MALFORMED: Final = "policy.malformed"


@frozen
class Stage:
    """One step of a rollout: to which share of the nodes, for how long, and what would stop it.

    ``share`` in thousandths of the nodes; ``hold_s`` seconds for which each of them watches; ``rise`` by how many
    thousandths the share of failed requests may rise there; ``requests`` how many it takes to say so.
    """

    share: int
    hold_s: int
    rise: int = 50
    requests: int = 20


@frozen
class PolicyDocument:
    """A decoded body. That its signer was entitled is for :mod:`gossipmesh.identity.authority` to say."""

    version: int
    prev_hash: bytes
    signed_at: int
    """Unix seconds."""
    text: str = field(repr=lambda text: f"<{len(text)} characters>")
    stages: tuple[Stage, ...]
    """None: it holds at every node at once."""
    return_to: bytes
    """The hash of the document that holds where this one does not (yet, or any more)."""
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")

    @cached_property
    def hash(self) -> bytes:
        """Which document this is: the BLAKE2b-256 of its body, 32 bytes."""
        return document_hash(self.body)


def document_hash(body: bytes) -> bytes:
    """Give the BLAKE2b-256 of a body, 32 bytes; no signature is in it, so two signers sign one document."""
    return crypto.blake2b(body, HASH_BYTES)


def new_document(
    version: int,
    text: str,
    *,
    signed_at: int,
    before: PolicyDocument | None = None,
    stages: Sequence[Stage] = (),
    return_to: bytes = NO_DOCUMENT,
) -> PolicyDocument:
    """Give a document that is still to be signed.

    Args:
        version: above that of any document of the mesh.
        text: a policy that :func:`~gossipmesh.config.policy_text.read_policy` takes.
        signed_at: Unix seconds.
        before: the newest document, for history.
        stages: shares that rise; none: everywhere at once.
        return_to: the hash of the document that holds at the other nodes meanwhile; with stages only.

    Raises:
        ConfigError: ``policy.invalid``, for a value out of its range.
    """
    rows = [(stage.share, stage.hold_s, stage.rise, stage.requests) for stage in stages]
    shown: list[wire.Value] = list(rows)
    prev_hash = NO_DOCUMENT if before is None else before.hash
    numbers = (version, signed_at, *(number for row in rows for number in row))
    if min(numbers) < 0 or max(numbers) > wire.MAX_INT:
        raise ConfigError("policy.invalid", "a number of this policy document is negative or far too large")
    body = wire.pack([DOCUMENT_VERSION, version, prev_hash, signed_at, text.encode(), shown, return_to])
    try:
        return decode_document_untrusted(body)
    except RemoteProtocolError as error:
        raise ConfigError("policy.invalid", f"this cannot be a policy document: {error}") from None


def decode_document_untrusted(body: bytes) -> PolicyDocument:
    """Give the document that ``body`` holds; what a later release appended is ignored.

    Raises:
        RemoteProtocolError: ``policy.malformed``, for any other bytes.
    """
    fields = wire.Fields(wire.unpack_untrusted(body, code=MALFORMED, max_bytes=MAX_BODY), code=MALFORMED)
    fields.integer(DOCUMENT_VERSION, DOCUMENT_VERSION)
    version = fields.integer(1, MAX_VERSION)
    prev_hash = fields.binary(HASH_BYTES, HASH_BYTES)
    signed_at = fields.integer(0, MAX_WALL)
    try:
        text = fields.binary(0, MAX_TEXT).decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(MALFORMED, "a policy whose text is not UTF-8") from None
    stages = _stages(fields.fields(MAX_STAGES))
    return_to = fields.binary(HASH_BYTES, HASH_BYTES)
    if not stages and return_to != NO_DOCUMENT:
        raise RemoteProtocolError(MALFORMED, "a policy without stages that would return")
    return PolicyDocument(version, prev_hash, signed_at, text, stages, return_to, body)


def _stages(rows: wire.Fields) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    for _ in range(rows.left):
        row = rows.fields(wire.MAX_ARRAY)
        lowest = stages[-1].share + 1 if stages else 1
        if lowest > WHOLE:
            raise RemoteProtocolError(MALFORMED, "a stage after the one that has all nodes")
        share = row.integer(lowest, WHOLE)
        stages.append(
            Stage(share, row.integer(1, MAX_HOLD_S), row.integer(0, WHOLE), row.integer(1, MAX_REQUESTS))
        )
    return tuple(stages)

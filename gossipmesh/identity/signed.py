"""Signed bytes: what every object that proves something has in common.

On the wire a signed object is ``msgpack([bin body, bin signature])``, and the signature covers
``label || mesh_id || link || body``. The label keeps one kind of object from passing for another, the mesh id keeps
one mesh's objects out of the next, and the link (chain blocks only) keeps a block in its place.

Law: the exact bytes received are kept and relayed. Nothing here re-encodes what somebody else signed, so elements
that a newer release appended to a body survive a journey through older nodes.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError

MESH_ID_BYTES: Final = 32
BODY_HASH_BYTES: Final = 16

SKEW_S: Final = 120
"""How far two honest clocks may be apart, in seconds: validity ends this much later and begins this much sooner."""

MAX_WALL: Final = 253_402_300_799
"""The last second of the year 9999: no time on the wire lies beyond what a date can show."""


def _hidden(value: bytes) -> str:
    return f"<{len(value)} bytes>"


@frozen
class Signed:
    """A body with its signature, and the very bytes in which they came.

    ``signature`` is empty only in trust bundle 0, which is trusted for its hash.
    """

    raw: bytes = field(repr=_hidden)
    body: bytes = field(repr=_hidden)
    signature: bytes = field(repr=_hidden)

    @cached_property
    def body_hash(self) -> bytes:
        """The BLAKE2b-128 of the body, 16 bytes: the same for two signatures of one thing."""
        return crypto.blake2b(self.body, BODY_HASH_BYTES)

    def verify(self, label: bytes, mesh_id: bytes, public: bytes, *, link: bytes = b"") -> bool:
        """Tell whether the key ``public`` signed this body for this purpose, in this mesh, at this place."""
        return crypto.verify(public, label + mesh_id + link + self.body, self.signature)


def envelope(body: bytes, signature: bytes) -> Signed:
    """Put a body and a signature made elsewhere into their wire form."""
    return Signed(wire.pack([body, signature]), body, signature)


def seal(label: bytes, mesh_id: bytes, body: bytes, seed: bytes, *, link: bytes = b"") -> Signed:
    """Sign ``body`` with the Ed25519 key of ``seed`` (32 bytes)."""
    return envelope(body, crypto.sign(seed, label + mesh_id + link + body))


def decode_signed_untrusted(raw: bytes, max_bytes: int, *, code: str = "signed.malformed") -> Signed:
    """Give body and signature that ``raw`` holds, the signature not yet verified.

    Raises:
        RemoteProtocolError: ``code``, for more than ``max_bytes`` or for any other bytes.
    """
    fields = wire.Fields(wire.unpack_untrusted(raw, code=code, max_bytes=max_bytes), code=code)
    signed = envelope(fields.binary(0, max_bytes), fields.binary(0, crypto.SIGNATURE))
    # Only one spelling of the envelope counts. Were a longer length prefix or a third element let through, a
    # stranger could make a second "different" object of a member's own signature and raise a false clone alarm.
    if signed.raw != raw:
        raise RemoteProtocolError(code, "a signed object in another encoding than its own")
    return signed

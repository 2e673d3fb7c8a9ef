"""How two nodes tell each other what they hold of the charter: two message kinds over a sync channel.

    31 charter   [31, bundle n, policy version, policy hash + current,
                  [refused policy hash...], [revocation key + current...], wanted policy hash]
    32 answer    [32, more, bundle n, bundle hash, policy version, policy hash,
                  [bundle...], [policy document?], [revocation...], [body of another policy?]]

The request says what the asker holds, so that the answer brings what it lacks and nothing else; whoever answers keeps
no state. An answer that has no room for all says ``more``, and what the asker holds by then is the place to go on.
The last element of each came later than the others: earlier releases send none, and ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.authority import BODY_HASH_BYTES, OVERHEAD
from gossipmesh.identity.bundle import MAX_BUNDLE, MAX_N, MAX_PATH
from gossipmesh.identity.revocation import KEY_BYTES, MAX_REVOCATION
from gossipmesh.identity.revoked import MAX_REVOCATIONS
from gossipmesh.identity.signed import MESH_ID_BYTES
from gossipmesh.mesh.exchanges import Kind, open_untrusted
from gossipmesh.policy.document import MAX_BODY, MAX_VERSION

MAX_POLICY: Final = MAX_BODY + OVERHEAD
"""Bytes of a policy document on the wire."""
MAX_ANSWER: Final = 60 * 1024
"""Bytes of one answer: bundles and a policy document of the greatest length, and room for revocations."""
MAX_REFUSED_NAMED: Final = 8
MAX_BUNDLES: Final = MAX_PATH // 128
MAX_IN_ONE: Final = 512
"""Revocations of one answer: more than fit, as none is that small."""


@frozen
class Holding:
    """What a node says that it holds.

    ``policy_current`` says whether its proof hangs on a root of the newest bundle; ``revocations`` are keys, each with
    a byte that says the same of it. ``wanted`` is the hash of the document that the policy returns to, where it is
    lacking; else empty.
    """

    bundle_n: int
    policy_version: int
    policy_hash: bytes
    policy_current: bool = True
    refused: tuple[bytes, ...] = ()
    revocations: frozenset[bytes] = frozenset()
    wanted: bytes = b""


@frozen
class Brought:
    """What an answer brings, unverified, and what whoever answered holds.

    ``returned`` is the body of the document that the policy returns to: a hash that is signed already is its proof.
    """

    more: bool
    bundle_n: int
    bundle_hash: bytes
    policy_version: int
    policy_hash: bytes
    bundles: tuple[bytes, ...] = field(default=(), repr=lambda raws: f"<{len(raws)} of them>")
    policy: bytes = field(default=b"", repr=lambda raw: f"<{len(raw)} bytes>")
    revocations: tuple[bytes, ...] = field(default=(), repr=lambda raws: f"<{len(raws)} of them>")
    returned: bytes = field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


def encode_holding(holding: Holding) -> bytes:
    """Encode a request."""
    return wire.pack(
        [
            Kind.CHARTER,
            holding.bundle_n,
            holding.policy_version,
            holding.policy_hash + bytes([holding.policy_current]),
            list(holding.refused[-MAX_REFUSED_NAMED:]),
            sorted(holding.revocations),
            holding.wanted,
        ]
    )


def decode_holding_untrusted(data: bytes) -> Holding:
    """Give what the asker holds.

    Raises:
        RemoteProtocolError: ``exchange.malformed``.
    """
    fields = open_untrusted(data, Kind.CHARTER)
    n, version = fields.integer(high=MAX_N), fields.integer(high=MAX_VERSION)
    marked = fields.binary(1, BODY_HASH_BYTES + 1)
    hashes = fields.fields(MAX_REFUSED_NAMED)
    refused = tuple(hashes.binary(BODY_HASH_BYTES, BODY_HASH_BYTES) for _ in range(hashes.left))
    keys = fields.fields(MAX_REVOCATIONS)
    held = frozenset(keys.binary(KEY_BYTES + 1, KEY_BYTES + 1) for _ in range(keys.left))
    wanted = fields.binary(0, BODY_HASH_BYTES) if fields.left else b""
    return Holding(n, version, marked[:-1], marked[-1] != 0, refused, held, wanted)


def encode_brought(brought: Brought) -> bytes:
    """Encode an answer."""
    return wire.pack(
        [
            Kind.CHARTERED,
            int(brought.more),
            brought.bundle_n,
            brought.bundle_hash,
            brought.policy_version,
            brought.policy_hash,
            list(brought.bundles),
            [brought.policy] if brought.policy else [],
            list(brought.revocations),
            [brought.returned] if brought.returned else [],
        ]
    )


def decode_brought_untrusted(data: bytes) -> Brought:
    """Give what an answer brings.

    Raises:
        RemoteProtocolError: ``exchange.malformed``; ``exchange.refused`` for a refusal.
    """
    fields = open_untrusted(data, Kind.CHARTERED)
    more, n = fields.integer(high=1) == 1, fields.integer(high=MAX_N)
    bundle_hash = fields.binary(MESH_ID_BYTES, MESH_ID_BYTES)
    version, policy_hash = fields.integer(high=MAX_VERSION), fields.binary(0, BODY_HASH_BYTES)
    bundles = _raws(fields, MAX_BUNDLES, MAX_BUNDLE)
    policy = _raws(fields, 1, MAX_POLICY)
    revocations = _raws(fields, MAX_IN_ONE, MAX_REVOCATION)
    returned = _raws(fields, 1, MAX_BODY) if fields.left else ()
    if more and not revocations:
        raise RemoteProtocolError(
            "exchange.malformed", "an answer that says more will follow, and brings nothing"
        )
    return Brought(
        more,
        n,
        bundle_hash,
        version,
        policy_hash,
        bundles,
        b"".join(policy),
        revocations,
        b"".join(returned),
    )


def fitting(raws: Sequence[bytes], room: int) -> tuple[bytes, ...]:
    """Give the first of ``raws`` that fit into ``room`` bytes of an answer together."""
    taken: list[bytes] = []
    for raw in raws[:MAX_IN_ONE]:
        room -= len(raw) + 3
        if room < 0:
            break
        taken.append(raw)
    return tuple(taken)


def _raws(fields: wire.Fields, most: int, max_bytes: int) -> tuple[bytes, ...]:
    each = fields.fields(most)
    return tuple(each.binary(1, max_bytes) for _ in range(each.left))

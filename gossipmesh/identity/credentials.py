"""What the two sides of a channel show each other in its handshake: bundle number, chain and record.

The record binds the channel's X25519 key to the node's Ed25519 id: it names the key and the id signs it. Neither key
is ever made from the other.

It also says what time it is. A clock that is far off makes good chains look expired or not yet begun, and whoever
runs that machine should read about the clock, not about chains.

And it says what this release can do that an earlier one could not: a bit for each such feature, so that neighbouring
releases speak as well as both of them can. One that says nothing has none.

Wire: ``msgpack([bundle n, bin chain, bin record, unix seconds, features])``; the last element may be missing, and
elements that a later release appends are ignored.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from gossipmesh import wire
from gossipmesh.errors import TrustError
from gossipmesh.identity.bundle import MAX_N, TrustStore
from gossipmesh.identity.chain import MAX_CHAIN, VerifiedChain
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.record import MAX_RECORD, MemberRecord
from gossipmesh.identity.signed import MAX_WALL, SKEW_S
from gossipmesh.model import NodeId

MAX_CREDENTIALS: Final = MAX_CHAIN + MAX_RECORD + 32
MALFORMED: Final = "credentials.malformed"
WHOLE_MESSAGES: Final = 1
"""Feature: understands whole requests and answers in one frame (:mod:`gossipmesh.channel.hop_whole`)."""
FEATURES: Final = WHOLE_MESSAGES
"""What this release can do."""
MAX_FEATURES: Final = 2**32 - 1


@frozen
class Peer:
    """The proved other side of a channel. ``bundle_n`` is its newest trust bundle's number.

    ``features`` are bits, those among them that we do not know too.
    """

    id: NodeId
    chain: VerifiedChain
    record: MemberRecord
    bundle_n: int
    features: int = 0


def encode_credentials(
    bundle_n: int, chain: bytes, record: bytes, *, wall: float, features: int = FEATURES
) -> bytes:
    """Give the payload that shows a node's newest bundle number, raw chain, raw record, clock and features."""
    return wire.pack([bundle_n, chain, record, int(wall), features])


def verify_credentials_untrusted(
    payload: bytes, remote_static: bytes, trust: TrustStore, *, wall: float, checks: Checks = CHECKS
) -> Peer:
    """Give who the holder of the X25519 key ``remote_static`` proves to be.

    What costs no signature check comes first, so that the cheapest lie is also the cheapest to refuse.

    Raises:
        RemoteProtocolError: ``credentials.malformed``, ``chain.malformed`` or ``record.malformed``.
        TrustError: ``credentials.dh`` where the record names another key; ``credentials.clock`` where the two
            clocks are more than two minutes apart; ``credentials.bundle`` where the chain
            hangs on a root that we do not know but the peer's bundle is newer or older than ours; else the codes
            of :attr:`Checks.verify_chain` and :attr:`Checks.verify_record`.
    """
    fields = wire.Fields(
        wire.unpack_untrusted(payload, code=MALFORMED, max_bytes=MAX_CREDENTIALS), code=MALFORMED
    )
    bundle_n = fields.integer(0, MAX_N)
    raw_chain = fields.binary(1, MAX_CHAIN)
    record = checks.decode_record(fields.binary(1, MAX_RECORD))
    _check_clock(fields.integer(0, MAX_WALL), wall)
    features = fields.integer(0, MAX_FEATURES) if fields.left else 0
    if record.dh_key != remote_static:
        raise TrustError("credentials.dh", "a peer's record names another channel key than the one it uses")
    chain = _verify_chain(raw_chain, bundle_n, trust, wall, checks)
    checks.verify_record(record, chain, trust.mesh_id, wall=wall)
    return Peer(record.id, chain, record, bundle_n, features)


def _check_clock(theirs: int, ours: float) -> None:
    apart_s = int(ours) - theirs
    if abs(apart_s) > SKEW_S:
        text = (
            f"this machine's clock is {abs(apart_s)} s {'ahead of' if apart_s > 0 else 'behind'} the peer's, "
            f"and {SKEW_S} s are allowed: set the one that is wrong"
        )
        raise TrustError("credentials.clock", text)


def _verify_chain(raw: bytes, bundle_n: int, trust: TrustStore, wall: float, checks: Checks) -> VerifiedChain:
    try:
        return checks.verify_chain(raw, trust, wall=wall)
    except TrustError as error:
        if error.code == "chain.root" and bundle_n != trust.n:
            raise TrustError(
                "credentials.bundle", f"a peer trusts the roots of bundle {bundle_n}, we those of {trust.n}"
            ) from None
        raise

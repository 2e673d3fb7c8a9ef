"""What the two sides of a channel show each other in its handshake: bundle number, chain and record.

The record binds the channel's X25519 key to the node's Ed25519 id: it names the key and the id signs it. Neither key
is ever made from the other.

It also says what time it is. A clock that is far off makes good chains look expired or not yet begun, and whoever
runs that machine should read about the clock, not about chains.

And it says what this release can do that an earlier one could not: a bit for each such feature, so that neighbouring
releases speak as well as both of them can. One that says nothing has none.

**Who slept through a replacement of the mesh's roots** would not believe a chain that hangs on a new one. So each side
first hears which bundle is the other's newest (the initiator's *hello* says it, and the responder's credentials do),
and adds those that the other lacks to what it shows, as many as fit; who slept through more than fit catches up
handshake by handshake. They are signed by roots that the sleeper trusts, or they count for nothing. Verifying changes
no state: the peer's chain is looked at with a copy of our trust, and the verified bundles are handed out.

Wire: ``msgpack([bundle n, bin chain, bin record, unix seconds, features, newest bundle's hash, [bundle...]])``; those
after the fourth may be missing, and elements that a later release appends are ignored. The hello is ``msgpack([n])``,
likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import TrustError
from gossipmesh.identity.bundle import MAX_BUNDLE, MAX_N, MAX_PATH, TrustStore
from gossipmesh.identity.chain import MAX_CHAIN, VerifiedChain
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.record import MAX_RECORD, MemberRecord
from gossipmesh.identity.signed import MAX_WALL, SKEW_S
from gossipmesh.model import NodeId

MAX_CREDENTIALS: Final = 3_900
"""Bytes that fit a handshake (:data:`gossipmesh.channel.secure.MAX_CREDENTIALS`): chain, record, and some bundles."""
MAX_SHOWN: Final = MAX_PATH // 128
"""Bundles in one handshake: more than fit, as none is smaller than this."""
HASH_BYTES: Final = 16
"""Of the newest bundle's hash, so much is shown: it names a bundle and proves none."""
MALFORMED: Final = "credentials.malformed"
WHOLE_MESSAGES: Final = 1
"""Feature: understands whole requests and answers in one frame (:mod:`gossipmesh.channel.hop_whole`)."""
BUNDLES: Final = 2
"""Feature: reads on behind the features, where bundles are."""
AES_RECORDS: Final = 4
"""Feature: has a processor for AES-256-GCM, which seals the channel's records where both sides have one."""
LONG_MESSAGES: Final = 8
"""Feature: understands whole requests and answers whose bodies follow (:mod:`gossipmesh.channel.hop_long`)."""
FEATURES: Final = WHOLE_MESSAGES | BUNDLES | LONG_MESSAGES | (AES_RECORDS if crypto.HAS_AES else 0)
"""What this release can do, on this machine."""
MAX_FEATURES: Final = 2**32 - 1


@frozen
class Peer:
    """The proved other side of a channel. ``bundle_n`` is its newest trust bundle's number.

    ``features`` are bits, those among them that we do not know too. ``clock_s`` is how many seconds our clock was ahead
    of its clock at the handshake, which may have taken some of them.
    """

    id: NodeId
    chain: VerifiedChain
    record: MemberRecord
    bundle_n: int
    features: int = 0
    clock_s: int = 0


Learn = Callable[[tuple[bytes, ...]], None]
"""Is told raw trust bundles that are news to us and verified, in order, also where the peer itself is then refused."""


def encode_hello(bundle_n: int) -> bytes:
    """Give what an initiator says to everybody: the number of its newest bundle."""
    return wire.pack([bundle_n])


def decode_hello_untrusted(hello: bytes) -> int:
    """Give the number of the newest bundle of whoever knocks.

    Raises:
        RemoteProtocolError: ``credentials.malformed``.
    """
    fields = wire.Fields(wire.unpack_untrusted(hello, code=MALFORMED, max_bytes=64), code=MALFORMED)
    return fields.integer(0, MAX_N)


def encode_credentials(
    bundle_n: int,
    chain: bytes,
    record: bytes,
    *,
    wall: float,
    features: int = FEATURES,
    newest: bytes | None = b"",
    lacking: Sequence[bytes] = (),
) -> bytes:
    """Give the payload that shows who a node is.

    Args:
        bundle_n: the number of its newest bundle.
        chain: raw.
        record: raw.
        wall: its clock, Unix seconds.
        features: what its release can do.
        newest: the hash of its newest bundle; None: the other side's release wants nothing behind the features, and
            has no room for it.
        lacking: raw bundles that the other side lacks, in order; as many of them as fit are shown.
    """
    if newest is None:
        return wire.pack([bundle_n, chain, record, int(wall), features])
    shown: list[wire.Value] = []
    elements: list[wire.Value] = [bundle_n, chain, record, int(wall), features, newest[:HASH_BYTES], shown]
    left = MAX_CREDENTIALS - len(wire.pack(elements)) - 2  # an array of many has a longer head
    for raw in lacking:
        left -= len(raw) + 3
        if left < 0:
            break
        shown.append(raw)
    return wire.pack(elements)


def verify_credentials_untrusted(
    payload: bytes,
    remote_static: bytes,
    trust: TrustStore,
    *,
    wall: float,
    checks: Checks = CHECKS,
    learn: Learn | None = None,
) -> Peer:
    """Give who the holder of the X25519 key ``remote_static`` proves to be.

    What costs no signature check comes first, so that the cheapest lie is also the cheapest to refuse. ``trust`` is
    not changed.

    Raises:
        RemoteProtocolError: ``credentials.malformed``, ``chain.malformed`` or ``record.malformed``.
        TrustError: ``credentials.dh`` where the record names another key; ``credentials.clock`` where the two
            clocks are more than two minutes apart; where the chain hangs on a root that we do not know:
            ``credentials.bundle`` if the peer's bundle is newer or older than ours, ``bundle.conflict`` if it is
            another of the same number, or why its newer ones do not follow ours; else the codes of
            :attr:`Checks.verify_chain` and :attr:`Checks.verify_record`.
    """
    fields = wire.Fields(
        wire.unpack_untrusted(payload, code=MALFORMED, max_bytes=MAX_CREDENTIALS), code=MALFORMED
    )
    bundle_n = fields.integer(0, MAX_N)
    raw_chain = fields.binary(1, MAX_CHAIN)
    record = checks.decode_record(fields.binary(1, MAX_RECORD))
    clock_s = _clock_checked(fields.integer(0, MAX_WALL), wall)
    features = fields.integer(0, MAX_FEATURES) if fields.left else 0
    newest = fields.binary(0, HASH_BYTES) if fields.left else b""
    path = fields.fields(MAX_SHOWN) if fields.left else None
    shown = [] if path is None else [path.binary(1, MAX_BUNDLE) for _ in range(path.left)]
    if record.dh_key != remote_static:
        raise TrustError("credentials.dh", "a peer's record names another channel key than the one it uses")
    view, problem = _extended(trust, shown)
    if view is not trust and learn is not None:
        learn(tuple(bundle.raw for bundle in view.path[trust.n + 1 :]))
    try:
        chain = checks.verify_chain(raw_chain, view, wall=wall)
    except TrustError as error:
        if problem is not None and error.code == "chain.root":
            raise problem from None
        raise _about_roots(error, bundle_n, newest, view) from None
    checks.verify_record(record, chain, trust.mesh_id, wall=wall)
    return Peer(record.id, chain, record, bundle_n, features, clock_s)


def _extended(trust: TrustStore, shown: Sequence[bytes]) -> tuple[TrustStore, TrustError | None]:
    """Give ``trust`` with the bundles that follow it, in a copy, and why it ends where it does if it should not."""
    if not shown:
        return trust, None
    view = trust.copy()
    try:
        for raw in shown:
            view.offer_successor_untrusted(raw)
    except TrustError as error:
        return (view if view.n > trust.n else trust), error
    return (view if view.n > trust.n else trust), None


def _about_roots(error: TrustError, bundle_n: int, newest: bytes, trust: TrustStore) -> TrustError:
    """Give what is wrong where a chain hangs on an unknown root: one side has not heard of the newest roots."""
    if error.code != "chain.root":
        return error
    if bundle_n != trust.n:
        text = f"a peer trusts the roots of bundle {bundle_n}, we those of {trust.n}"
        return TrustError("credentials.bundle", text)
    if newest and newest != trust.latest.hash[:HASH_BYTES]:
        text = (
            f"a peer has another trust bundle number {bundle_n} than we have: a root signed two; ours is kept"
        )
        return TrustError("bundle.conflict", text)
    return error


def _clock_checked(theirs: int, ours: float) -> int:
    """Give how many seconds our clock is ahead, if that is not too much."""
    apart_s = int(ours) - theirs
    if abs(apart_s) > SKEW_S:
        text = (
            f"this machine's clock is {abs(apart_s)} s {'ahead of' if apart_s > 0 else 'behind'} the peer's, "
            f"and {SKEW_S} s are allowed: set the one that is wrong"
        )
        raise TrustError("credentials.clock", text)
    return apart_s

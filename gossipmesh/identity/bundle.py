"""The trust bundle: which root keys a mesh has, and how they are replaced.

Bundle 0 is signed by nobody: the mesh id is its hash, so whoever knows the mesh id knows the bundle. Each later one
is signed by a root of the one before. A node keeps the whole path from 0, which it can prove to anybody; a node that
slept trusts the roots it last knew until it has seen the path.

The roots of a bundle are in the order in which they were made. While an old and a new one are both listed, chains on
either are good, and those on an older one are renewed onto the last.

Law: ``n`` rises by one, never falls, and of two bundles with one ``n`` the first that was seen is kept.

Body: ``[1, n, [root...], previous hash, default allow]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.signed import MESH_ID_BYTES, Signed, decode_signed_untrusted, envelope, seal

BUNDLE_LABEL: Final = b"gossipmesh/bundle\0"
BUNDLE_VERSION: Final = 1
MAX_ROOTS: Final = 4
MAX_BUNDLE: Final = 512
MAX_PATH: Final = 16 * 1024
"""Bytes of all bundles of one mesh together: about seventy replacements of its roots."""
MAX_N: Final = 2**32 - 1
NO_HASH: Final = bytes(32)
MALFORMED: Final = "bundle.malformed"


@frozen
class TrustBundle:
    """The root keys (Ed25519, 1 to 4) of a mesh as of the ``n``-th replacement, and its default decision.

    ``prev_hash`` is the hash of bundle ``n - 1`` (zeros for bundle 0).
    """

    n: int
    roots: tuple[bytes, ...]
    prev_hash: bytes
    default_allow: bool
    signed: Signed = field(repr=False)

    @property
    def raw(self) -> bytes:
        """The exact bytes, to be stored and relayed."""
        return self.signed.raw

    @property
    def hash(self) -> bytes:
        """What the next bundle names, 32 bytes; it covers no signature, so two roots may sign one bundle."""
        return crypto.blake2b(BUNDLE_LABEL + self.signed.body, MESH_ID_BYTES)


def new_bundle(roots: Sequence[bytes], default_allow: bool) -> TrustBundle:
    """Give bundle 0 of a new mesh. Its hash is the mesh id, so it also fixes the default decision for ever.

    Raises:
        ConfigError: ``bundle.invalid``, for no root, more than four, or one twice.
    """
    return _own(envelope(_encode_body(0, roots, NO_HASH, default_allow), b""))


def successor(
    bundle: TrustBundle, roots: Sequence[bytes], root_seed: bytes, *, mesh_id: bytes | None = None
) -> TrustBundle:
    """Give the bundle that replaces the roots of ``bundle``, signed with one of its root keys.

    Args:
        bundle: the newest one.
        roots: the new root keys; list old and new ones together for a while, or every chain ends at once.
        root_seed: the secret of a root of ``bundle``.
        mesh_id: the mesh's id; may be left out where ``bundle`` is bundle 0.

    Raises:
        ConfigError: ``bundle.invalid``, also for a secret that is no root's.
    """
    if crypto.signing_public(root_seed) not in bundle.roots:
        raise ConfigError("bundle.invalid", "this root key is not in the mesh's newest trust bundle")
    if mesh_id is None:
        if bundle.n != 0:
            raise ConfigError("bundle.invalid", "the mesh id is needed to replace any bundle but the first")
        mesh_id = bundle.hash
    body = _encode_body(bundle.n + 1, roots, bundle.hash, bundle.default_allow)
    return _own(seal(BUNDLE_LABEL, mesh_id, body, root_seed))


def _own(signed: Signed) -> TrustBundle:
    try:
        return decode_bundle_untrusted(signed.raw)
    except RemoteProtocolError as error:
        raise ConfigError(
            "bundle.invalid", f"a mesh needs 1 to {MAX_ROOTS} different roots: {error}"
        ) from None


def _encode_body(n: int, roots: Sequence[bytes], prev_hash: bytes, default_allow: bool) -> bytes:
    return wire.pack([BUNDLE_VERSION, n, list(roots), prev_hash, int(default_allow)])


def decode_bundle_untrusted(raw: bytes) -> TrustBundle:
    """Give the bundle that ``raw`` claims to be: structure only, whose it is is not yet known.

    Raises:
        RemoteProtocolError: ``bundle.malformed``, for any other bytes.
    """
    signed = decode_signed_untrusted(raw, MAX_BUNDLE, code=MALFORMED)
    body = wire.unpack_untrusted(signed.body, code=MALFORMED, max_bytes=MAX_BUNDLE)
    fields = wire.Fields(body, code=MALFORMED)
    fields.integer(BUNDLE_VERSION, BUNDLE_VERSION)
    n = fields.integer(0, MAX_N)
    keys = fields.fields(MAX_ROOTS)
    roots = tuple(keys.binary(crypto.KEY, crypto.KEY) for _ in range(keys.left))
    prev_hash = fields.binary(len(NO_HASH), len(NO_HASH))
    default_allow = fields.integer(0, 1) == 1
    if not roots or len(set(roots)) < len(roots):
        raise RemoteProtocolError(MALFORMED, "a bundle without a root, or with one twice")
    if n == 0 and (signed.signature or prev_hash != NO_HASH):
        raise RemoteProtocolError(MALFORMED, "a first bundle that is signed or has one before it")
    return TrustBundle(n, roots, prev_hash, default_allow, signed)


class TrustStore:
    """The path of bundles that one node trusts, from the first; grows by offers, never changes otherwise.

    Args:
        bundle0: the mesh's first bundle, as the token carried it.
        successors: the raw bundles 1, 2 ... known so far, as the state directory kept them; verified again.

    Raises:
        TrustError: as :meth:`offer_successor_untrusted`; ``bundle.mesh`` where ``bundle0`` is no first bundle.
    """

    def __init__(self, bundle0: TrustBundle, successors: Iterable[bytes] = ()) -> None:
        if bundle0.n != 0:
            raise TrustError("bundle.mesh", f"bundle {bundle0.n} where a mesh's first one is needed")
        self._mesh_id: Final = bundle0.hash
        self._path: tuple[TrustBundle, ...] = (bundle0,)
        for raw in successors:
            self.offer_successor_untrusted(raw)

    @property
    def mesh_id(self) -> bytes:
        """The mesh's id, 32 bytes: the hash of its first bundle."""
        return self._mesh_id

    @property
    def path(self) -> tuple[TrustBundle, ...]:
        """Every bundle from the first to the newest."""
        return self._path

    @property
    def latest(self) -> TrustBundle:
        """The newest bundle."""
        return self._path[-1]

    @property
    def n(self) -> int:
        """The newest bundle's number: what peers compare."""
        return self.latest.n

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The root keys that are valid now."""
        return self.latest.roots

    @property
    def newest_root(self) -> bytes:
        """The root key that chains should hang on: the last of the newest bundle."""
        return self.latest.roots[-1]

    @property
    def default_allow(self) -> bool:
        """What is decided where no policy rule matches. The mesh id commits to it."""
        return self._path[0].default_allow

    def copy(self) -> TrustStore:
        """Give an equal store that grows by itself: to see what bundles would prove before anything changes."""
        twin = TrustStore(self._path[0])
        twin._path = self._path
        return twin

    def after(self, n: int) -> tuple[bytes, ...]:
        """Give the raw bundles after number ``n``, in order: what somebody lacks whose newest is that one."""
        return tuple(bundle.raw for bundle in self._path[n + 1 :])

    def offer_successor_untrusted(self, raw: bytes) -> bool:
        """Take the next bundle if it is one; tell whether it was news.

        Raises:
            RemoteProtocolError: ``bundle.malformed``.
            TrustError: ``bundle.mesh`` (another mesh's first bundle, or another default), ``bundle.gap``,
                ``bundle.link``, ``bundle.signature``, ``bundle.too-many``; ``bundle.conflict`` where a root signed
                two bundles with one number: ours is kept, and somebody should know.
        """
        if any(known.raw == raw for known in self._path):
            return False
        offered = decode_bundle_untrusted(raw)
        if offered.n == 0:
            raise TrustError("bundle.mesh", "the first trust bundle of another mesh")
        if offered.n > self.n + 1:
            raise TrustError("bundle.gap", f"bundle {offered.n} without those after {self.n}")
        self._check_follows(offered, self._path[offered.n - 1])
        if offered.n <= self.n:
            if offered.hash == self._path[offered.n].hash:
                return False
            raise TrustError(
                "bundle.conflict",
                f"two trust bundles number {offered.n} are signed by this mesh's roots; keeping the first seen",
            )
        if len(raw) + sum(len(known.raw) for known in self._path) > MAX_PATH:
            raise TrustError("bundle.too-many", "this mesh's trust bundles no longer fit 16 KiB")
        self._path = (*self._path, offered)
        return True

    def _check_follows(self, offered: TrustBundle, before: TrustBundle) -> None:
        if offered.prev_hash != before.hash:
            raise TrustError("bundle.link", f"bundle {offered.n} does not follow our bundle {before.n}")
        if offered.default_allow != self.default_allow:
            raise TrustError("bundle.mesh", "a trust bundle that would change the mesh's default decision")
        if not any(offered.signed.verify(BUNDLE_LABEL, self._mesh_id, root) for root in before.roots):
            raise TrustError("bundle.signature", f"no root of bundle {before.n} signed bundle {offered.n}")

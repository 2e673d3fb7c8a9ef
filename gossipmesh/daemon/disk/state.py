"""The state directory: what a node remembers between two starts.

===============  ============================================================================================
``version``      the layout's number
``lock``         held while a daemon runs; says its process id
``node.key``     the node's signing seed, 32 bytes: whoever has it is this node
``boot``         how often this identity was started; the upper half of every incarnation
``chain``        the proof of membership
``bundle0``      the mesh's first trust bundle, whose hash is the mesh id; ``bundles``: those that replaced it
``root.key``     only where this node started its mesh: the key that makes tokens
``peers``        the last known members' chains and records, to find the mesh again when no seed answers;
                 ``peers.damaged`` is one that could not be read
``charter``      revocations, and policy documents, the newest and those before it
``rollouts``     how far this node was with documents in stages, and what it said of them
``crash.trace``  what membership was told before the last bug that ended this daemon
===============  ============================================================================================

Law: the boot counter of a start is on the disk before anybody hears of it, so that no two starts ever share an
incarnation. One that had to rise above somebody else's use of this key goes to the disk at once, but is not waited
for: a node that ends in between meets that record again, and rises again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from gossipmesh import crypto, wire
from gossipmesh.config.places import ADMIN_SOCKET, admin_socket
from gossipmesh.daemon.disk.files import (
    PRIVATE,
    TEMPORARY,
    damaged,
    make_private_directory,
    read_bounded,
    write_atomically,
)
from gossipmesh.daemon.disk.root import BUNDLE0, ROOT_KEY, load_root_key, load_trust, save_trust
from gossipmesh.errors import RemoteProtocolError, StateError
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import MAX_CHAIN
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MAX_RECORD
from gossipmesh.identity.revocation import MAX_REVOCATION
from gossipmesh.identity.revoked import MAX_REVOCATIONS
from gossipmesh.mesh.charter import MAX_HISTORY
from gossipmesh.mesh.charter_messages import MAX_POLICY
from gossipmesh.policy.document import MAX_BODY
from gossipmesh.policy.rollout import Report, report_untrusted

VERSION: Final = 1
MAX_BOOT: Final = 2**32 - 1
MAX_PEERS: Final = 512
MAX_PEERS_FILE: Final = MAX_PEERS * (MAX_RECORD + 8)
MAX_CHARTER_FILE: Final = (
    MAX_REVOCATIONS * (MAX_REVOCATION + 8) + MAX_HISTORY * (MAX_POLICY + 8) + MAX_BODY + 64
)
MAX_ROLLOUTS_FILE: Final = MAX_HISTORY * 32 + 8
JOIN_AGAIN: Final = "restore it, or give a token again: --token-file FILE"

_VERSION, _LOCK, _NODE_KEY, _BOOT, _CHAIN, _PEERS = "version", "lock", "node.key", "boot", "chain", "peers"
_CHARTER: Final = "charter"
_ROLLOUTS: Final = "rollouts"
PEERS_DAMAGED: Final = "peers.damaged"
_NOT_OURS_TO_MIND: Final = frozenset({_LOCK, ADMIN_SOCKET, "lost+found"})
"""What a directory may hold and still be new: left by a start that failed early, or by the file system."""


def has_identity(state: Path) -> bool:
    """Tell whether a node that once joined a mesh lives here, so that it needs no token to start again."""
    return (state / _CHAIN).exists()


class StateDirectory:
    """One node's state, locked for this process until :meth:`close`; use it as a context manager.

    Args:
        path: the directory; made, with mode 0700, where it is not there.

    Raises:
        StateError: ``state.locked`` (names the process), ``state.version``, ``state.foreign`` (a directory with
            other things in it), ``state.directory``, ``state.path``.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.admin_socket: Final = admin_socket(path)
        make_private_directory(path)
        _check_not_foreign(path)
        self._lock: Final = _locked(path / _LOCK)
        try:
            self._check_version()
        except StateError:
            self.close()
            raise

    def __enter__(self) -> StateDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the directory. May be called twice."""
        self._lock.close()

    def _check_version(self) -> None:
        path = self.path / _VERSION
        text = read_bounded(path, most=16)
        if text is None:
            write_atomically(path, b"%d\n" % VERSION)
            return
        if not text.strip().isdigit():
            raise damaged(path, "it is not a number")
        if (found := int(text)) != VERSION:
            hint = "start the gossipmesh release that wrote it, or another --state"
            raise StateError(
                "state.version", f"{self.path} has layout {found}, this release has {VERSION}; {hint}"
            )

    def load_or_make_key(self, entropy: Callable[[int], bytes]) -> NodeKey:
        """Give the node's key; a new one, on the disk already, at the first start.

        Raises:
            StateError: ``state.permissions`` or ``state.damaged``.
        """
        path = self.path / _NODE_KEY
        seed = read_bounded(path, most=crypto.KEY, secret=True)
        if seed is None:
            # A key without its counter would be taken for damage, so the counter of a new key comes first.
            write_atomically(self.path / _BOOT, b"0\n")
            seed = NodeKey.generate(entropy).seed
            write_atomically(path, seed)
        if len(seed) != crypto.KEY:
            raise damaged(path, f"it has {len(seed)} bytes, not {crypto.KEY}")
        return NodeKey.from_seed(seed)

    def next_boot(self) -> int:
        """Count one more start, wait until that is on the disk, and give its number: 1 at the first.

        Raises:
            StateError: ``state.damaged``: a counter that fell back would make this node's news look old.
        """
        path = self.path / _BOOT
        text = read_bounded(path, most=16)
        if text is None:
            raise damaged(path, "it is missing beside a node.key")
        if not text.strip().isdigit() or int(text) >= MAX_BOOT:
            raise damaged(path, f"it is not a number below {MAX_BOOT}")
        boot = int(text) + 1
        write_atomically(path, b"%d\n" % boot)
        return boot

    def raise_boot(self, boot: int) -> None:
        """Count the next start from ``boot``, if that is higher than what is on the disk, and wait until it is there.

        Raises:
            StateError: ``state.write``; or ``state.read``, where what is there cannot be read.
        """
        path = self.path / _BOOT
        text = (read_bounded(path, most=16) or b"").strip()
        # One short of the last: a counter that is used up is the mesh's to complain of, and no reason not to start.
        boot = min(boot, MAX_BOOT - 1)
        if not text.isdigit() or int(text) < boot:
            write_atomically(path, b"%d\n" % boot)

    def load_trust(self) -> TrustStore | None:
        """Give the bundles of the mesh that this node belongs to, or None at its first start.

        Raises:
            StateError: ``state.damaged``.
        """
        return load_trust(self.path)

    def save_trust(self, trust: TrustStore) -> None:
        """Keep the mesh's bundles; only ever of the one mesh.

        Raises:
            StateError: ``state.other-mesh``, as :meth:`check_mesh`; nothing was written.
        """
        self.check_mesh(trust.mesh_id)
        save_trust(self.path, trust)

    def check_mesh(self, mesh_id: bytes) -> None:
        """Check that this directory belongs to the mesh ``mesh_id``, or to none yet.

        Raises:
            StateError: ``state.other-mesh``, naming both.
        """
        known = self.load_trust()
        if known is not None and known.mesh_id != mesh_id:
            ours, theirs = known.mesh_id[:4].hex(), mesh_id[:4].hex()
            hint = "use that mesh's token, or another --state DIR for this one"
            text = f"{self.path} belongs to the mesh {ours}, the token to the mesh {theirs}; {hint}"
            raise StateError("state.other-mesh", text)

    def load_chain(self) -> bytes | None:
        """Give the raw chain, or None before the node has joined. It is to be verified by the caller.

        Raises:
            StateError: ``state.damaged``.
        """
        path = self.path / _CHAIN
        chain = read_bounded(path, most=MAX_CHAIN, remedy=JOIN_AGAIN)
        if chain == b"":
            raise damaged(path, "it is empty", JOIN_AGAIN)
        return chain

    def damaged_chain(self, why: str | RemoteProtocolError) -> StateError:
        """Give the error for a chain that :meth:`load_chain` gave and that does not prove this node's membership."""
        return damaged(self.path / _CHAIN, why, JOIN_AGAIN)

    def damaged_trust(self, why: str) -> StateError:
        """Give the error for a directory whose first trust bundle is not there although its node has joined."""
        return damaged(self.path / BUNDLE0, why, JOIN_AGAIN)

    def save_chain(self, raw: bytes) -> None:
        """Keep a new chain in place of the one before."""
        write_atomically(self.path / _CHAIN, raw)

    def forget_mesh(self) -> None:
        """Let go of a mesh that did not take this node in, so that the next start may try another one; keep the key."""
        for name in (_CHAIN, BUNDLE0, _CHARTER, _ROLLOUTS):
            (self.path / name).unlink(missing_ok=True)

    def load_root_key(self) -> bytes | None:
        """Give the secret of the mesh's root key, where this node started the mesh; else None.

        Raises:
            StateError: ``state.permissions`` or ``state.damaged``.
        """
        return load_root_key(self.path)

    def save_root_key(self, seed: bytes) -> None:
        """Keep the root key (32 bytes) of a mesh that starts here."""
        write_atomically(self.path / ROOT_KEY, seed)

    def load_charter(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Give revocations, policy documents and what is returned to, as held last; to be verified by the caller.

        Raises:
            StateError: ``state.damaged``: a node must not take for admitted whom it knew to be revoked.
        """
        path = self.path / _CHARTER
        remedy = f"restore it; or remove it, and {path.parent.name} learns it again from the mesh"
        data = read_bounded(path, most=MAX_CHARTER_FILE, remedy=remedy)
        if data is None:
            return [], [], []
        code = "state.damaged"
        try:
            fields = wire.Fields(
                wire.unpack_untrusted(data, code=code, max_bytes=MAX_CHARTER_FILE), code=code
            )
            revocations, policies = fields.fields(MAX_REVOCATIONS), fields.fields(MAX_HISTORY)
            # Earlier releases wrote the first two.
            returned = fields.fields(1) if fields.left else wire.Fields([], code=code)
            return (
                [revocations.binary(1, MAX_REVOCATION) for _ in range(revocations.left)],
                [policies.binary(1, MAX_POLICY) for _ in range(policies.left)],
                [returned.binary(1, MAX_BODY) for _ in range(returned.left)],
            )
        except RemoteProtocolError as error:
            raise damaged(path, error, remedy) from None

    def save_charter(
        self, revocations: Iterable[bytes], policies: Iterable[bytes], returned: Iterable[bytes] = ()
    ) -> None:
        """Keep revocations, policy documents and the body of what is returned to, in place of those before.

        Raises:
            StateError: ``state.write``.
        """
        write_atomically(self.path / _CHARTER, wire.pack([list(revocations), list(policies), list(returned)]))

    def load_rollouts(self) -> list[Report]:
        """Give what this node last said of documents in stages, the oldest first.

        Raises:
            StateError: ``state.damaged``: a node must not try again what the mesh returned from.
        """
        path, code = self.path / _ROLLOUTS, "state.damaged"
        remedy = "restore it; or remove it, and the node follows what the others say"
        data = read_bounded(path, most=MAX_ROLLOUTS_FILE, remedy=remedy)
        if data is None:
            return []
        try:
            rows = wire.Fields(wire.unpack_untrusted(data, code=code, max_bytes=MAX_ROLLOUTS_FILE), code=code)
            return [report_untrusted(rows.fields(wire.MAX_ARRAY)) for _ in range(min(rows.left, MAX_HISTORY))]
        except RemoteProtocolError as error:
            raise damaged(path, error, remedy) from None

    def save_rollouts(self, reports: Iterable[Report]) -> None:
        """Keep the last 32 of ``reports``, in place of those before.

        Raises:
            StateError: ``state.write``.
        """
        rows: list[wire.Value] = [report.value for report in reports]
        write_atomically(self.path / _ROLLOUTS, wire.pack(rows[-MAX_HISTORY:]))

    def load_peers(self) -> list[bytes]:
        """Give the raw chains and records that were last known, in turn; to be verified by the caller.

        They only help to find the mesh again, so a file that cannot be read stops nobody: it gives nothing, and is
        put aside as ``peers.damaged``.
        """
        path = self.path / _PEERS
        code = "state.damaged"
        try:
            data = read_bounded(path, most=MAX_PEERS_FILE)
            if data is None:
                return []
            fields = wire.Fields(wire.unpack_untrusted(data, code=code, max_bytes=MAX_PEERS_FILE), code=code)
            return [fields.binary(1, MAX_RECORD) for _ in range(min(fields.left, MAX_PEERS))]
        except (StateError, RemoteProtocolError):
            with suppress(OSError):
                path.replace(self.path / PEERS_DAMAGED)
            return []

    def save_peers(self, records: Iterable[bytes]) -> None:
        """Keep the first 512 of ``records``: chains and records in turn, each at most as long as either may be."""
        kept: list[wire.Value] = []
        for raw in records:
            if len(kept) == MAX_PEERS:
                break
            kept.append(raw)
        write_atomically(self.path / _PEERS, wire.pack(kept))


def _check_not_foreign(path: Path) -> None:
    """Refuse a directory that has no version but other things in it, before anything is written there."""
    try:
        if (path / _VERSION).exists():
            return
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        # It is another user's: a volume that was mounted for root, say.
        text = f"{path} cannot be read: {error.strerror}; give it to the daemon's user, or name another --state DIR"
        raise StateError("state.directory", text) from None
    others = [name for name in names if name not in _NOT_OURS_TO_MIND and not name.endswith(TEMPORARY)]
    if others:
        hint = "name an empty directory with --state DIR"
        raise StateError("state.foreign", f"{path} holds other things ({others[0]}); {hint}")


class _Lock:
    """An exclusive lock on a file, held by an open descriptor: it ends with the process, however that ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Release the lock. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _locked(path: Path) -> _Lock:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise StateError("state.directory", f"{path} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        holder = os.pread(descriptor, 16, 0).strip().decode("ascii", "replace") or "unknown"
        os.close(descriptor)
        hint = "stop it, or name another --state DIR"
        raise StateError("state.locked", f"{path.parent} is in use by process {holder}; {hint}") from None
    return _Lock(descriptor)

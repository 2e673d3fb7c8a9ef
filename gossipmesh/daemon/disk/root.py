"""The root of a mesh on disk: the key that signs tokens, and the trust bundles that name it.

It lies in the directory that ``gossipmesh init`` made, or in the state directory of a node that started a mesh of
its own; both have the same files, so that both serve as ``--root DIR``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.daemon.disk.files import damaged, make_private_directory, read_bounded, write_atomically
from gossipmesh.errors import RemoteProtocolError, StateError, TrustError
from gossipmesh.identity.authority import Authority
from gossipmesh.identity.bundle import (
    MAX_BUNDLE,
    MAX_PATH,
    TrustStore,
    decode_bundle_untrusted,
    new_bundle,
    successor,
)
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.token import MALFORMED, MAX_TEXT, PREFIX, Token, new_token, parse_token

ROOT_KEY: Final = "root.key"
BUNDLE0: Final = "bundle0"
SUCCESSORS: Final = "bundles"
OLD_KEY: Final = "root.key.old"
"""The root key before the present one, from a rotation until the old one is dropped."""
MAX_SUCCESSORS_FILE: Final = MAX_PATH + 1024


@frozen
class MeshRoot:
    """What signs for a mesh: the secret of a root key, and the bundles up to the one that names it."""

    seed: bytes = field(repr=False)
    trust: TrustStore

    def mint(self, caveats: Caveats, entropy: Callable[[int], bytes]) -> Token:
        """Make a token of this mesh.

        Raises:
            ConfigError: the caveats are too many or malformed, or the root was replaced.
        """
        first, *later = self.trust.path
        return new_token(first, self.seed, caveats, entropy, successors=later)


def token_of_text(text: str) -> Token:
    """Give the token that ``text`` is, whoever pasted it: an error says what to do, not where decoding stopped.

    Raises:
        TrustError: ``token.malformed`` or ``token.signature``.
    """
    try:
        return parse_token(text)
    except TrustError as error:
        if error.code != MALFORMED or not text.strip().startswith(PREFIX):
            raise
        hint = f"copy it again, the whole line from {PREFIX} to its end"
        raise TrustError(MALFORMED, f"this join token is damaged or cut short; {hint}") from None


def make_root(entropy: Callable[[int], bytes], *, default_allow: bool) -> MeshRoot:
    """Make a new mesh: a root key and the first trust bundle."""
    seed = entropy(crypto.KEY)
    return MeshRoot(seed, TrustStore(new_bundle([crypto.signing_public(seed)], default_allow)))


def create_root(directory: Path, root: MeshRoot) -> None:
    """Keep a new mesh's root in a directory of its own.

    Raises:
        StateError: ``state.exists`` where a mesh is there already; nothing is overwritten.
    """
    for name in (ROOT_KEY, BUNDLE0):
        if (directory / name).exists():
            text = f"{directory} already holds a mesh ({name}); make tokens with: "
            raise StateError("state.exists", f"{text}gossipmesh token new --root {directory}")
    make_private_directory(directory)
    save_trust(directory, root.trust)
    write_atomically(directory / ROOT_KEY, root.seed)


def rotate_root(directory: Path, entropy: Callable[[int], bytes]) -> MeshRoot:
    """Make a new root key beside the present one, and the bundle that lists both, signed with the present one.

    Chains on either are good until :func:`drop_root`. The former key stays in ``root.key.old``; of a rotation that
    was interrupted nothing is lost, and it can be done again.

    Raises:
        StateError: as :func:`load_root`; ``state.rotating`` where the last rotation is not finished.
        ConfigError: ``bundle.invalid``, for more than four roots.
    """
    root = load_root(directory)
    former = read_bounded(directory / OLD_KEY, most=crypto.KEY, secret=True)
    if former is not None and former != root.seed:
        hint = f"finish it first: gossipmesh root drop --root {directory}"
        raise StateError("state.rotating", f"{directory} holds the root before the present one still; {hint}")
    seed, latest = entropy(crypto.KEY), root.trust.latest
    roots = [*latest.roots, crypto.signing_public(seed)]
    root.trust.offer_successor_untrusted(successor(latest, roots, root.seed, mesh_id=root.trust.mesh_id).raw)
    # In this order: until the last step the present key, which is good before and after, is the one in use.
    write_atomically(directory / OLD_KEY, root.seed)
    save_trust(directory, root.trust)
    write_atomically(directory / ROOT_KEY, seed)
    return MeshRoot(seed, root.trust)


def drop_root(directory: Path) -> MeshRoot:
    """Make the bundle that lists the present root alone: what hangs on any other is worth nothing once it is known.

    Raises:
        StateError: as :func:`load_root`; ``state.one-root`` where there is no other.
        ConfigError: ``bundle.invalid``, where the key is not in the newest bundle.
    """
    root = load_root(directory)
    latest, public = root.trust.latest, crypto.signing_public(root.seed)
    if latest.roots == (public,):
        text = (
            f"the mesh of {directory} has one root; to replace it: gossipmesh root rotate --root {directory}"
        )
        raise StateError("state.one-root", text)
    root.trust.offer_successor_untrusted(
        successor(latest, [public], root.seed, mesh_id=root.trust.mesh_id).raw
    )
    save_trust(directory, root.trust)
    (directory / OLD_KEY).unlink(missing_ok=True)
    return root


def load_root(directory: Path) -> MeshRoot:
    """Give the root that a directory holds.

    Raises:
        StateError: ``state.no-root`` where there is none; ``state.permissions``, ``state.damaged``.
    """
    seed, trust = load_root_key(directory), load_trust(directory)
    if seed is None or trust is None:
        missing = ROOT_KEY if seed is None else BUNDLE0
        hint = (
            "name the directory that `gossipmesh init` made, or the state of the node that started the mesh"
        )
        raise StateError("state.no-root", f"{directory} has no {missing}, so it is no mesh's root; {hint}")
    return MeshRoot(seed, trust)


def load_authority(place: Path) -> tuple[Authority, TrustStore]:
    """Give what signs for a mesh: the root that a directory holds, or the token that a file holds.

    Whether the token has the capability is for :func:`~gossipmesh.identity.authority.check_authority`.

    Raises:
        StateError: as :func:`load_root`; ``state.read`` for a file that cannot be read.
        TrustError: the file holds no token.
    """
    if place.is_dir() or not place.exists():
        root = load_root(place)
        return Authority(root.seed), root.trust
    token = token_of_text((read_bounded(place, most=MAX_TEXT + 1_024) or b"").decode("ascii", "replace"))
    return Authority.of_token(token), token.trust()


def load_root_key(directory: Path) -> bytes | None:
    """Give the secret of a root key (32 bytes), or None where the directory has none.

    Raises:
        StateError: ``state.permissions`` or ``state.damaged``.
    """
    path = directory / ROOT_KEY
    seed = read_bounded(path, most=crypto.KEY, secret=True)
    if seed is not None and len(seed) != crypto.KEY:
        raise damaged(path, f"it has {len(seed)} bytes, not {crypto.KEY}")
    return seed


def save_trust(directory: Path, trust: TrustStore) -> None:
    """Write a mesh's bundles: the first on its own, for the mesh id is its hash, and those that replaced it."""
    first, *later = trust.path
    write_atomically(directory / BUNDLE0, first.raw)
    if later:
        write_atomically(directory / SUCCESSORS, wire.pack([bundle.raw for bundle in later]))


def load_trust(directory: Path) -> TrustStore | None:
    """Give the bundles that a directory holds, every signature verified again, or None where there are none.

    Raises:
        StateError: ``state.damaged``.
    """
    path = directory / BUNDLE0
    first = read_bounded(path, most=MAX_BUNDLE)
    if first is None:
        return None
    try:
        bundle0 = decode_bundle_untrusted(first)
        path = directory / SUCCESSORS
        later = read_bounded(path, most=MAX_SUCCESSORS_FILE)
        return TrustStore(bundle0, () if later is None else _unpacked(later))
    except RemoteProtocolError as error:
        raise damaged(path, error) from None


def _unpacked(data: bytes) -> list[bytes]:
    code = "state.damaged"
    fields = wire.Fields(wire.unpack_untrusted(data, code=code, max_bytes=MAX_SUCCESSORS_FILE), code=code)
    return [fields.binary(1, MAX_BUNDLE) for _ in range(fields.left)]

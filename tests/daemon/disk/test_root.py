from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gossipmesh import crypto
from gossipmesh.daemon.disk.root import (
    MeshRoot,
    create_root,
    drop_root,
    load_root,
    load_trust,
    make_root,
    rotate_root,
    save_trust,
    token_of_text,
)
from gossipmesh.errors import StateError, TrustError
from gossipmesh.identity.bundle import successor
from gossipmesh.identity.grants import Caveats


def root_of(letter: bytes, *, default_allow: bool = True) -> MeshRoot:
    return make_root(lambda size: letter * size, default_allow=default_allow)


def test_a_root_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    root = root_of(b"r", default_allow=False)
    create_root(tmp_path / "mesh", root)
    found = load_root(tmp_path / "mesh")
    assert (found.seed, found.trust.mesh_id) == (root.seed, root.trust.mesh_id)
    assert found.trust.default_allow is False
    assert (tmp_path / "mesh" / "root.key").stat().st_mode & 0o777 == 0o600


def test_a_roots_secret_is_not_in_its_repr() -> None:
    assert "rrrr" not in repr(root_of(b"r"))


def test_a_mesh_is_never_written_over(tmp_path: Path) -> None:
    create_root(tmp_path, root_of(b"r"))
    with pytest.raises(StateError, match=r"already holds a mesh.*gossipmesh token new --root"):
        create_root(tmp_path, root_of(b"s"))
    assert load_root(tmp_path).seed == b"r" * 32


def letters(text: bytes) -> Callable[[int], bytes]:
    left = [bytes([letter]) for letter in reversed(text)]
    return lambda size: left.pop() * size


def test_a_root_is_replaced_in_two_steps_and_both_are_good_between_them(tmp_path: Path) -> None:
    create_root(tmp_path, root_of(b"r"))
    old, new = (crypto.signing_public(letter * 32) for letter in (b"r", b"n"))
    rotated = rotate_root(tmp_path, letters(b"n"))
    assert (rotated.seed, rotated.trust.roots) == (b"n" * 32, (old, new))
    found = load_root(tmp_path)
    assert (found.seed, found.trust.path) == (rotated.seed, rotated.trust.path)
    assert (tmp_path / "root.key.old").read_bytes() == b"r" * 32
    assert (tmp_path / "root.key.old").stat().st_mode & 0o777 == 0o600
    assert found.mint(Caveats(1, 2), lambda size: b"t" * size).root == new
    with pytest.raises(StateError, match=r"finish it first: gossipmesh root drop"):
        rotate_root(tmp_path, letters(b"x"))
    dropped = drop_root(tmp_path)
    assert (dropped.trust.n, dropped.trust.roots) == (2, (new,))
    assert load_root(tmp_path).trust.path == dropped.trust.path
    assert not (tmp_path / "root.key.old").exists()
    with pytest.raises(StateError, match="has one root"):
        drop_root(tmp_path)
    assert rotate_root(tmp_path, letters(b"m")).trust.n == 3


def test_a_rotation_that_stopped_before_its_last_step_lost_nothing(tmp_path: Path) -> None:
    create_root(tmp_path, root_of(b"r"))
    rotate_root(tmp_path, letters(b"n"))
    (tmp_path / "root.key").write_bytes(b"r" * 32)
    again = rotate_root(tmp_path, letters(b"m"))
    assert again.trust.newest_root == crypto.signing_public(b"m" * 32)
    assert drop_root(tmp_path).trust.roots == (crypto.signing_public(b"m" * 32),)


def test_a_directory_without_a_root_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"has no root\.key"):
        load_root(tmp_path)
    create_root(tmp_path, root_of(b"r"))
    (tmp_path / "bundle0").unlink()
    with pytest.raises(StateError, match="has no bundle0"):
        load_root(tmp_path)


def test_later_bundles_are_kept_and_verified_again(tmp_path: Path) -> None:
    root = root_of(b"r")
    first = root.trust.path[0]
    root.trust.offer_successor_untrusted(successor(first, [crypto.signing_public(b"n" * 32)], root.seed).raw)
    save_trust(tmp_path, root.trust)
    found = load_trust(tmp_path)
    assert found is not None
    assert (found.n, found.roots) == (1, (crypto.signing_public(b"n" * 32),))


@pytest.mark.parametrize("name", ["bundle0", "bundles", "root.key"])
@pytest.mark.parametrize("content", [b"", b"\x00", b"junk" * 5, b"x" * 40_000])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    create_root(tmp_path, root_of(b"r"))
    (tmp_path / name).write_bytes(content)
    (tmp_path / name).chmod(0o600)
    with pytest.raises(StateError, match=f"{tmp_path / name} is damaged") as caught:
        load_root(tmp_path)
    assert caught.value.code == "state.damaged"
    assert "Error" not in str(caught.value)


def test_every_cut_of_a_token_is_refused_in_words_for_people() -> None:
    text = str(root_of(b"r").mint(Caveats(1_900_000_000, 2_000_000_000), lambda size: b"t" * size))
    assert str(token_of_text(f" {text}\n")) == text
    for end in range(len(text)):
        with pytest.raises(TrustError, match="join token") as caught:
            token_of_text(text[:end])
        assert "Error" not in str(caught.value)

"""Who a daemon is: from its disk, from a token, or from nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gossipmesh.config.model import NodeConfig
from gossipmesh.daemon.disk.root import MeshRoot, create_root, drop_root, make_root, rotate_root
from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.enrol import YEAR_S, Enrolment, enrol
from gossipmesh.errors import ConfigError, MeshError, StateError, TrustError
from gossipmesh.identity.grants import Capability, Caveats

NOW = 1_900_000_000.0


def token(
    root: MeshRoot, *, begins: float = NOW, ttl_s: int = YEAR_S, names: tuple[str, ...] | None = None
) -> str:
    return str(root.mint(Caveats(int(begins), int(begins) + ttl_s, names=names), os.urandom))


def start(
    path: Path,
    *,
    name: str = "web",
    given: str | None = None,
    join: tuple[str, ...] = (),
    named: bool = True,
    wall: float = NOW,
) -> Enrolment:
    with StateDirectory(path) as state:
        config = NodeConfig(name=name, state=path, join=join)
        return enrol(state, config, given, os.urandom, named=named, wall=wall)


def refused(path: Path, kind: type[MeshError], **how: object) -> str:
    with pytest.raises(kind) as caught:
        start(path, **how)  # type: ignore[arg-type]
    return caught.value.code


def test_with_nothing_a_node_founds_a_mesh_keeps_its_root_and_may_issue(tmp_path: Path) -> None:
    founder = start(tmp_path)
    assert founder.founded
    assert founder.root_seed is not None
    assert founder.chain.grants.caps == frozenset(Capability)
    assert (tmp_path / "root.key").stat().st_mode & 0o777 == 0o600


def test_a_second_start_is_the_same_node_in_the_same_mesh_with_a_higher_boot(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    assert (first.key.id, first.trust.mesh_id) == (second.key.id, second.trust.mesh_id)
    assert second.boot == first.boot + 1
    assert not second.founded


def test_a_token_admits_once_and_is_not_kept(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=False)
    text = token(root)
    joined = start(tmp_path, given=text, join=("127.0.0.1:1",))
    assert joined.trust.mesh_id == root.trust.mesh_id
    assert joined.root_seed is None
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert text.encode() not in kept
    again = start(tmp_path, join=("127.0.0.1:1",))
    assert again.chain.raw == joined.chain.raw


def test_joining_needs_a_token(tmp_path: Path) -> None:
    assert refused(tmp_path, ConfigError, join=("127.0.0.1:1",)) == "up.token"


def test_a_token_of_another_mesh_does_not_take_over_a_state_directory(tmp_path: Path) -> None:
    start(tmp_path)
    other = token(make_root(os.urandom, default_allow=True))
    assert refused(tmp_path, StateError, given=other) == "state.other-mesh"


def test_an_expired_token_and_one_of_tomorrow_are_refused_and_leave_no_identity(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    assert refused(tmp_path, TrustError, given=token(root, begins=NOW - 7200, ttl_s=3600)) == "token.expired"
    assert refused(tmp_path, TrustError, given=token(root, begins=NOW + 86_400)) == "token.not-yet-valid"
    assert not (tmp_path / "chain").exists()


def test_a_name_outside_the_token_is_refused(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    assert refused(tmp_path, TrustError, name="db", given=token(root, names=("web-*",))) == "chain.name"


def test_an_expired_chain_is_replaced_by_a_new_token_under_the_same_key(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    first = start(tmp_path, given=token(root, ttl_s=3600))
    later = NOW + 86_400
    assert refused(tmp_path, TrustError, wall=later) == "chain.expired"
    second = start(tmp_path, given=token(root, begins=later), wall=later)
    assert second.key.id == first.key.id
    assert second.chain.grants.expires_at > later


def test_a_founder_outlives_its_first_chain_without_a_token(tmp_path: Path) -> None:
    first = start(tmp_path)
    much_later = NOW + 3 * YEAR_S
    assert start(tmp_path, wall=much_later).key.id == first.key.id


def test_a_clock_before_our_chain_is_told_apart_so_that_the_daemon_can_wait(tmp_path: Path) -> None:
    start(tmp_path)
    assert refused(tmp_path, TrustError, wall=NOW - 86_400) == "chain.not-yet-valid"


def test_a_chosen_name_must_be_the_chains_but_a_host_name_gives_way(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    start(tmp_path, name="web", given=token(root))
    assert refused(tmp_path, ConfigError, name="api") == "up.name"
    assert start(tmp_path, name="c0ffee", named=False).chain.name == "web"
    assert start(tmp_path, name="api", given=token(root)).chain.name == "api"


def damage(path: Path) -> list[bytes]:
    """Give what may have become of the chain in ``path``."""
    good = (path / "chain").read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    return [b"", b"junk", b"\x90", good[:-1], good + b"x", bytes(flipped), b"x" * 2_000]


def test_a_damaged_chain_is_named_with_what_to_do_and_replaced_by_a_token_under_the_same_key(
    tmp_path: Path,
) -> None:
    root = make_root(os.urandom, default_allow=True)
    key = start(tmp_path, given=token(root)).key
    for content in damage(tmp_path):
        (tmp_path / "chain").write_bytes(content)
        for named in (True, False):
            with pytest.raises(StateError) as caught:
                start(tmp_path, named=named)
            assert caught.value.code == "state.damaged"
            assert f"{tmp_path / 'chain'} is damaged: " in str(caught.value)
            assert "give a token again" in str(caught.value)
            assert "Error" not in str(caught.value)
        mended = start(tmp_path, given=token(root))
        assert (mended.key, mended.chain.name, mended.fresh) == (key, "web", False)
        assert start(tmp_path).chain == mended.chain


def test_a_founder_mends_its_own_chain(tmp_path: Path) -> None:
    mesh_id = start(tmp_path).trust.mesh_id
    (tmp_path / "chain").write_bytes(b"junk")
    assert start(tmp_path).trust.mesh_id == mesh_id


def test_the_chain_of_another_key_is_damage(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    start(tmp_path / "one", given=token(root))
    start(tmp_path / "two", given=token(root))
    (tmp_path / "one" / "chain").write_bytes((tmp_path / "two" / "chain").read_bytes())
    assert refused(tmp_path / "one", StateError) == "state.damaged"
    start(tmp_path / "one", given=token(root))


def test_a_node_that_lost_its_bundle_founds_no_mesh_over_its_chain(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    mesh_id = start(tmp_path, given=token(root)).trust.mesh_id
    (tmp_path / "bundle0").unlink()
    with pytest.raises(StateError, match=r"bundle0 is damaged: it is missing beside a chain"):
        start(tmp_path)
    assert not (tmp_path / "root.key").exists()
    assert start(tmp_path, given=token(root)).trust.mesh_id == mesh_id


def test_only_who_never_had_a_chain_is_fresh(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    assert start(tmp_path, given=token(root)).fresh
    assert not start(tmp_path, given=token(root)).fresh


# After the mesh's root was replaced.


def rotated(path: Path) -> tuple[str, MeshRoot]:
    """Give a token of the first root of a new mesh in ``path``, and its root after that was replaced."""
    root = make_root(os.urandom, default_allow=True)
    create_root(path, root)
    old = token(root)
    return old, rotate_root(path, os.urandom)


def test_a_node_that_slept_hears_of_a_new_root_from_a_new_token_and_moves_onto_it(tmp_path: Path) -> None:
    old, root = rotated(tmp_path / "root")
    before = start(tmp_path / "node", given=old)
    assert (before.trust.n, before.chain.root) == (0, root.trust.roots[0])
    after = start(tmp_path / "node", given=token(root))
    assert after.key.id == before.key.id
    assert (after.trust.n, after.chain.root) == (1, root.trust.newest_root)
    # It is on the disk, and the old token, which is still good, does not bring the node back.
    assert start(tmp_path / "node", given=old).chain.raw == after.chain.raw


def test_with_its_root_dropped_a_node_is_told_to_get_a_new_token_and_an_old_one_does_not_help(
    tmp_path: Path,
) -> None:
    old, root = rotated(tmp_path / "root")
    slept = start(tmp_path / "node", given=old)
    dropped = drop_root(tmp_path / "root")
    with StateDirectory(tmp_path / "node") as state:
        state.save_trust(dropped.trust)
    with pytest.raises(TrustError, match=r"hangs on a root that the mesh has replaced; give a new token"):
        start(tmp_path / "node")
    with pytest.raises(TrustError, match="this token hangs on a root that the mesh has replaced"):
        start(tmp_path / "node", given=old)
    assert start(tmp_path / "node", given=token(dropped)).key.id == slept.key.id
    assert root.seed == dropped.seed


def test_whoever_keeps_the_root_moves_at_its_next_start(tmp_path: Path) -> None:
    founder = start(tmp_path)
    root = rotate_root(tmp_path, os.urandom)
    again = start(tmp_path)
    assert again.chain.root == root.trust.newest_root != founder.chain.root
    assert again.root_seed == root.seed


def test_a_chain_near_its_end_gives_way_to_a_token_that_lasts_longer(tmp_path: Path) -> None:
    root = make_root(os.urandom, default_allow=True)
    first = start(tmp_path, given=token(root, ttl_s=1_000))
    longer = token(root, ttl_s=9_000)
    assert start(tmp_path, given=longer, wall=NOW + 100).chain.raw == first.chain.raw
    assert start(tmp_path, given=longer, wall=NOW + 900).chain.grants.expires_at == int(NOW) + 9_000


def test_a_token_that_a_good_chain_leaves_no_use_for_is_told_of_with_what_would_use_it(
    tmp_path: Path,
) -> None:
    root = make_root(os.urandom, default_allow=True)
    used, other = token(root), token(root, names=("web",))
    first = start(tmp_path, given=used)
    # The same one at every start is how a unit file has it.
    assert (first.unused, start(tmp_path, given=used).unused) == ("", "")
    again = start(tmp_path, given=other)
    assert again.chain.raw == first.chain.raw
    assert "is not used: this node has a chain that is good until 2031" in again.unused
    assert f"remove the file `chain` from {tmp_path}" in again.unused
    (tmp_path / "chain").unlink()
    moved = start(tmp_path, given=other)
    assert (moved.unused, moved.key.id) == ("", first.key.id)
    assert moved.chain.grants.names == (("web",),)

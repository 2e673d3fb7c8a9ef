from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gossipmesh import wire
from gossipmesh.daemon.disk.root import make_root
from gossipmesh.daemon.disk.state import MAX_BOOT, MAX_PEERS, PEERS_DAMAGED, StateDirectory, has_identity
from gossipmesh.errors import StateError
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.mesh.charter import MAX_HISTORY
from gossipmesh.policy.rollout import Report, Verdict


def entropy(letter: bytes = b"k") -> Callable[[int], bytes]:
    return lambda size: letter * size


def mesh(letter: bytes) -> TrustStore:
    return make_root(entropy(letter), default_allow=True).trust


def test_a_new_directory_is_the_owners_only_and_says_its_layout(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        assert state.path.stat().st_mode & 0o777 == 0o700
        assert (state.path / "version").read_text() == "1\n"
        assert state.admin_socket == state.path / "admin.sock"


def test_the_key_is_made_once_and_stays(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        key = state.load_or_make_key(entropy())
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_or_make_key(entropy(b"x")) == key
    assert (tmp_path / "state" / "node.key").stat().st_mode & 0o777 == 0o600


def test_every_start_has_a_boot_number_that_is_on_disk_before_it_is_known(tmp_path: Path) -> None:
    for boot in (1, 2, 3):
        with StateDirectory(tmp_path / "state") as state:
            state.load_or_make_key(entropy())
            assert state.next_boot() == boot
            assert int((state.path / "boot").read_text()) == boot


def test_a_key_whose_boot_counter_is_gone_is_not_started_again_from_one(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        state.load_or_make_key(entropy())
        state.next_boot()
        (state.path / "boot").unlink()
        with pytest.raises(StateError, match="boot is damaged: it is missing"):
            state.next_boot()


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"1.5", b"%d" % MAX_BOOT, b"9" * 17])
def test_a_damaged_boot_counter_is_named(tmp_path: Path, content: bytes) -> None:
    with StateDirectory(tmp_path / "state") as state:
        state.load_or_make_key(entropy())
        (state.path / "boot").write_bytes(content)
        with pytest.raises(StateError, match="boot is damaged"):
            state.next_boot()


def test_a_key_that_others_may_read_is_refused_with_the_command_that_closes_it(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        state.load_or_make_key(entropy())
        (state.path / "node.key").chmod(0o644)
        with pytest.raises(StateError, match="chmod 600"):
            state.load_or_make_key(entropy())


def test_a_short_key_is_damage(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        state.load_or_make_key(entropy())
        (state.path / "node.key").write_bytes(b"x" * 31)
        with pytest.raises(StateError, match=r"node\.key is damaged: it has 31 bytes"):
            state.load_or_make_key(entropy())


def test_a_directory_in_use_names_the_process_and_is_free_again_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "state"
    program = (
        "import sys, pathlib; from gossipmesh.daemon.disk.state import StateDirectory\n"
        "StateDirectory(pathlib.Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, os.fspath(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(StateError, match=f"in use by process {other.pid};"):
            StateDirectory(path)
        other.kill()
    StateDirectory(path).close()


def test_a_directory_of_another_layout_is_refused(tmp_path: Path) -> None:
    StateDirectory(tmp_path / "state").close()
    (tmp_path / "state" / "version").write_text("2\n")
    with pytest.raises(StateError, match="has layout 2, this release has 1"):
        StateDirectory(tmp_path / "state")
    (tmp_path / "state" / "version").write_text("two")
    with pytest.raises(StateError, match="version is damaged"):
        StateDirectory(tmp_path / "state")


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "passwd").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(StateError, match="holds other things"):
        StateDirectory(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["passwd"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_fresh_volume_with_lost_and_found_is_taken(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    tmp_path.chmod(0o755)
    StateDirectory(tmp_path).close()


def test_the_state_of_one_mesh_does_not_take_another(tmp_path: Path) -> None:
    ours, theirs = mesh(b"a"), mesh(b"b")
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_trust() is None
        state.check_mesh(theirs.mesh_id)
        state.save_trust(ours)
        state.save_trust(ours)
        with pytest.raises(StateError) as caught:
            state.save_trust(theirs)
        kept = state.load_trust()
    assert ours.mesh_id[:4].hex() in str(caught.value)
    assert theirs.mesh_id[:4].hex() in str(caught.value)
    assert kept is not None
    assert kept.mesh_id == ours.mesh_id


def test_a_chain_says_that_a_node_has_an_identity(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_chain() is None
        assert not has_identity(state.path)
        state.save_chain(b"chain")
        assert state.load_chain() == b"chain"
        assert has_identity(state.path)
        for content in (b"", b"x" * 1_101):
            (state.path / "chain").write_bytes(content)
            with pytest.raises(StateError, match=r"chain is damaged: .*; restore it, or give a token again"):
                state.load_chain()


def test_a_mesh_that_starts_here_leaves_its_root_key_here(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_root_key() is None
        state.save_root_key(b"r" * 32)
        assert state.load_root_key() == b"r" * 32


def test_the_last_known_records_come_back_at_most_256_of_them(tmp_path: Path) -> None:
    records = [b"r" * 1_095 + b"%05d" % n for n in range(MAX_PEERS + 9)]
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_peers() == []
        state.save_peers(records)
        assert state.load_peers() == records[:MAX_PEERS]


@pytest.mark.parametrize("content", [b"", b"\x91", b"\xc1", b"\x91\x01", b"x" * 400_000])
def test_damaged_records_stop_nobody_and_are_put_aside(tmp_path: Path, content: bytes) -> None:
    with StateDirectory(tmp_path / "state") as state:
        (state.path / "peers").write_bytes(content)
        assert state.load_peers() == []
        assert (state.path / PEERS_DAMAGED).read_bytes() == content
        assert state.load_peers() == []
        state.save_peers([b"record"])
        assert state.load_peers() == [b"record"]


def test_a_directory_in_the_place_of_the_records_is_put_aside_too(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        (state.path / "peers").mkdir()
        assert state.load_peers() == []
        state.save_peers([b"record"])
        assert state.load_peers() == [b"record"]


def test_a_raised_boot_count_is_where_the_next_start_counts_on_and_it_never_falls(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        state.load_or_make_key(os.urandom)
        assert state.next_boot() == 1
        state.raise_boot(9)
        state.raise_boot(4)
        assert state.next_boot() == 10


def test_a_boot_count_at_its_end_still_lets_the_node_start_and_say_so(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        state.load_or_make_key(os.urandom)
        state.raise_boot(MAX_BOOT)
        assert state.next_boot() == MAX_BOOT


def test_revocations_and_policies_are_kept_and_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_charter() == ([], [], [])
        state.save_charter([b"one", b"other"], [b"policy"], [b"returned"])
        assert state.load_charter() == ([b"one", b"other"], [b"policy"], [b"returned"])
        # As an earlier release wrote it.
        (state.path / "charter").write_bytes(wire.pack([[b"one"], [b"policy"]]))
        assert state.load_charter() == ([b"one"], [b"policy"], [])
        path = state.path / "charter"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StateError, match="charter is damaged: it was cut short or altered; restore it"):
            state.load_charter()


def test_what_was_said_of_rollouts_is_kept_and_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    reports = [Report(n, bytes(8), 1, Verdict.RETURNED) for n in range(1, MAX_HISTORY + 3)]
    with StateDirectory(tmp_path / "state") as state:
        assert state.load_rollouts() == []
        state.save_rollouts(reports)
        assert state.load_rollouts() == reports[2:]
        path = state.path / "rollouts"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StateError, match="rollouts is damaged"):
            state.load_rollouts()
        state.forget_mesh()
        assert state.load_rollouts() == []

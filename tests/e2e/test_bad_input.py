"""What a user can get wrong: each is one clear line on standard error and an exit status that means it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from typing import Final

import pytest

from gossipmesh import crypto
from gossipmesh.identity.bundle import new_bundle
from gossipmesh.identity.grants import Capability, Caveats
from gossipmesh.identity.token import new_token
from harness import Mesh, Node, eventually, gossipmesh, said, unused_port

REFUSED: Final = 1
WRONG_USAGE: Final = 2


def run_up(node: Node) -> subprocess.CompletedProcess[str]:
    """Run ``up`` to its end; it must end by itself."""
    return gossipmesh("up", "--name", node.name, "--state", str(node.state), *node.arguments)


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Check the exit status and that the one line on standard error has all ``words``."""
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("text", ["garbage", "gmt1.", "gmt1.AAAA", "gmt1.!!!", "gmt2.AAAA"])
def test_what_is_not_a_token_is_refused(mesh: Mesh, text: str) -> None:
    mesh.write("token", text)
    assert_one_line(run_up(mesh.node("web")), REFUSED, "token")


def test_an_empty_token_file_is_named(mesh: Mesh) -> None:
    mesh.write("token", "\n")
    assert_one_line(run_up(mesh.node("web")), WRONG_USAGE, str(mesh.token_file))


def test_a_token_that_was_cut_or_changed_is_refused(mesh: Mesh, token: str) -> None:
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    for text in (token[:-10], token[:middle] + other + token[middle + 1 :]):
        mesh.write("token", text)
        assert_one_line(run_up(mesh.node("web")), REFUSED, "token")


def test_a_token_file_that_is_not_there_is_named(mesh: Mesh) -> None:
    node = mesh.node("web", "--token-file", str(mesh.home / "nowhere"), token=False)
    assert_one_line(run_up(node), WRONG_USAGE, "nowhere")


def test_a_token_on_the_command_line_that_is_none_is_one_line(mesh: Mesh) -> None:
    assert_one_line(run_up(mesh.node("web", "--token", "gmt1.AAAA", token=False)), REFUSED, "token")


def test_a_directory_in_the_admin_sockets_place_is_named(mesh: Mesh) -> None:
    node = mesh.node("web")
    (node.state / "admin.sock").mkdir(parents=True)
    node.state.chmod(0o700)
    done = run_up(node)
    assert done.returncode == REFUSED
    assert "Traceback" not in done.stderr
    assert f"{node.state / 'admin.sock'} cannot be made" in done.stderr.splitlines()[-1]


def test_a_damaged_chain_is_named_and_a_token_mends_it_and_damaged_peers_stop_nobody(mesh: Mesh) -> None:
    node = mesh.node("web").start().ready()
    own_id = node.id
    assert node.terminate() == 0
    for name in ("chain", "peers"):
        (node.state / name).write_bytes(b"junk")
    without = Node(node.name, mesh.home, [word for word in node.arguments if "token" not in word])
    assert_one_line(run_up(without), REFUSED, str(node.state / "chain"), "give a token again")
    assert node.start().ready().id == own_id
    assert (node.state / "peers.damaged").read_bytes() == b"junk"


def test_a_key_that_does_not_exist_is_answered_with_the_nearest_that_does(mesh: Mesh) -> None:
    mesh.config.write_text('[node]\nzoen = "eu-1a"\n')
    assert_one_line(run_up(mesh.node("web")), WRONG_USAGE, "zoen", "zone")


def test_a_duration_without_a_unit_is_answered_with_one(mesh: Mesh) -> None:
    mesh.config.write_text("[gossip]\nprobe_period = 3\n")
    assert_one_line(run_up(mesh.node("web")), WRONG_USAGE, "3s")


@pytest.mark.parametrize(
    ("flag", "value", "named"),
    [
        ("--service", "Not_A_Name=80", "Not_A_Name"),
        ("--service", "hello", "hello"),
        ("--service", "hello=123456", "123456"),
        ("--bind", "nonsense", "nonsense"),
        ("--name", "UPPER", "UPPER"),
        ("--join", "host:123456", "host:123456"),
        ("--upstream", "world", "world"),
        ("--nonsense", "x", "--nonsense"),
    ],
)
def test_a_flag_with_a_wrong_value_is_wrong_usage(mesh: Mesh, flag: str, value: str, named: str) -> None:
    assert_one_line(run_up(mesh.node("web", flag, value)), WRONG_USAGE, flag, named)


def test_a_port_that_is_taken_is_named(mesh: Mesh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_one_line(run_up(mesh.node("web", "--bind", address)), WRONG_USAGE, address, "--bind")
        assert_one_line(run_up(mesh.node("web", "--proxy", address)), WRONG_USAGE, address, "--proxy")


def test_a_second_daemon_on_one_state_directory_is_refused_and_the_first_goes_on(mesh: Mesh) -> None:
    node = mesh.node("web").start().ready()
    assert_one_line(run_up(node), REFUSED, str(node.state))
    assert node.is_ready()


def test_a_state_directory_of_another_mesh_is_refused_and_unchanged(mesh: Mesh) -> None:
    node = mesh.node("web").start().ready()
    own_id = node.id
    assert node.terminate() == 0
    keep = mesh.token_file.read_text()
    mesh.token_file.write_text(said("init", str(mesh.home / "other")))
    assert_one_line(run_up(node), REFUSED, str(node.state), "mesh")
    mesh.token_file.write_text(keep)
    assert node.start().ready().id == own_id


def test_a_seed_of_another_mesh_is_never_joined_and_both_go_on(mesh: Mesh) -> None:
    seed = mesh.node("seed").start().ready()
    stranger_token = mesh.write("other-token", said("init", str(mesh.home / "other")))
    stranger = mesh.node("stranger", "--token-file", str(stranger_token), token=False, join=seed).start()
    eventually(lambda: seed.listen("mesh") in stranger.log())
    assert not stranger.is_ready()
    assert seed.members().keys() - {"seed"} == set()
    assert seed.is_ready()


def test_a_seed_that_does_not_answer_is_tried_on_and_named_and_ctrl_c_is_quiet(mesh: Mesh) -> None:
    address = f"127.0.0.1:{unused_port()}"
    node = mesh.node("web", "--join", address).start()
    eventually(lambda: address in node.log())
    assert not node.is_ready()
    assert node.command("wait", "--timeout", "200ms").returncode == 1
    # It goes on trying: a seed that comes up later is joined.
    seed = mesh.node("seed", "--bind", address).start().ready()
    node.ready()
    eventually(lambda: seed.members().get("web") == "alive")
    assert node.terminate(signal.SIGINT) == 0
    assert "Traceback" not in node.log()
    assert "KeyboardInterrupt" not in node.log()


def test_a_token_that_has_expired_is_refused(mesh: Mesh) -> None:
    mesh.write("token", token_valid(-7200, -3600))
    assert_one_line(run_up(mesh.node("web")), REFUSED, "expired")


def test_a_clock_that_is_far_behind_is_named(mesh: Mesh) -> None:
    mesh.write("token", token_valid(3600, 7200))
    node = mesh.node("web")
    done = run_up(node)
    assert_one_line(done, REFUSED, "clock")


def token_valid(start_s: int, end_s: int) -> str:
    """Make a token of a new mesh that is valid from ``start_s`` to ``end_s`` seconds from now.

    The command would not make one, so this calls what it calls.
    """
    now_s = time.time_ns() // 10**9
    root_seed = os.urandom(32)
    bundle = new_bundle([crypto.signing_public(root_seed)], default_allow=True)
    caveats = Caveats(
        not_before=now_s + start_s,
        expires_at=now_s + end_s,
        services=("*",),
        names=("*",),
        groups=(),
        caps=frozenset({Capability.JOIN}),
    )
    return str(new_token(bundle, root_seed, caveats, os.urandom))

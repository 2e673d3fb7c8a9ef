"""A mesh that begins with one node and the line that it prints."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from harness import COMMAND, COMMAND_S, Mesh, Node, environment, eventually, gossipmesh
from webapp import WebApp
from webclient import request

PORTS: Final = ["--bind", "127.0.0.1:0", "--proxy", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--dns", "off"]
WIDE: Final = {"COLUMNS": "2000", "TERM": "dumb", "NO_COLOR": "1"}


class OnTerminal(Node):
    """A node whose standard output and error are a terminal."""

    def start(self) -> OnTerminal:
        self.reader, terminal = pty.openpty()
        os.set_blocking(self.reader, False)
        self.shown = ""
        self.process = subprocess.Popen(
            [COMMAND, "up", "--name", self.name, "--state", str(self.state), *self.arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment() | WIDE,
            start_new_session=True,
        )
        os.close(terminal)
        return self

    def join_line(self) -> str:
        """Give the command that adds a node, once its whole line was printed."""
        with contextlib.suppress(OSError):
            self.shown += os.read(self.reader, 65_536).decode()
        found = re.search(r"gossipmesh up --join \S+ --token gmt1\.\S+(?=\r?\n)", self.shown)
        return found[0] if found else ""

    def kill(self) -> None:
        super().kill()
        os.close(self.reader)

    def log(self) -> str:
        return self.shown


@pytest.fixture
def first(mesh: Mesh) -> Iterator[OnTerminal]:
    node = OnTerminal("first", mesh.home, [*PORTS, "-c", str(mesh.config)])
    node.start()
    yield node
    print(node.log())
    node.kill()


def test_up_without_a_token_starts_a_mesh_and_prints_a_line_that_adds_a_node(
    mesh: Mesh, first: OnTerminal
) -> None:
    first.ready()
    pasted = shlex.split(eventually(first.join_line))
    assert pasted[:2] == ["gossipmesh", "up"]
    with WebApp("hello-1") as app:
        own = [*PORTS, "-c", str(mesh.config), "--service", f"hello={app.port}"]
        second = mesh.node("second", token=False)
        second.arguments = [*pasted[2:], *own]
        second.start().ready()
        eventually(lambda: second.members().get("first") == "alive")
        eventually(lambda: first.healthy("hello") == 1)
        assert request(first.listen("proxy"), "http://hello/").body == b"hello-1\n"


def test_a_node_of_its_own_mesh_is_ready_alone_and_serves_itself(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        node = mesh.node("alone", token=False, services={"hello": app.port}).start().ready()
        assert request(node.listen("proxy"), "http://hello/").instance == "hello-1"
        assert node.command("status").returncode == 0


def test_a_node_does_not_revoke_itself_unasked_nor_lose_the_root_key_with_it(mesh: Mesh) -> None:
    node = mesh.node("alone", token=False).start().ready()
    own = node.id
    refused = node.command("revoke", "alone", "--root", str(node.state))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "this host's own node" in refused.stderr
    assert "keeps the root key of the mesh" in refused.stderr
    assert node.is_ready()
    assert "--spare" not in refused.stderr
    done = node.command("revoke", "alone", "--root", str(node.state), "--force")
    assert (done.returncode, done.stdout) == (0, f"revoked node {own} (alone)\n"), done.stderr
    assert "would let it in again" in done.stderr
    assert node.process is not None
    assert node.process.wait(20.0) == 1
    assert (node.state / "root.key").exists()


def test_the_join_line_is_not_written_where_no_terminal_is_but_token_show_gives_it(mesh: Mesh) -> None:
    node = mesh.node("alone", token=False).start().ready()
    assert "gmt1." not in node.log() + node.out.read_text()
    shown = node.command("token", "show", "--join")
    assert shown.returncode == 0
    assert "gmt1." in shown.stdout
    assert node.listen("mesh") in shown.stdout


def test_the_state_directory_keeps_its_secrets_to_its_owner(mesh: Mesh) -> None:
    node = mesh.node("alone", token=False).start().ready()
    assert node.state.stat().st_mode & 0o077 == 0
    assert [path.name for path in node.state.rglob("*key*") if path.stat().st_mode & 0o077] == []


def test_a_command_without_a_daemon_says_so_with_exit_status_3(mesh: Mesh) -> None:
    done = gossipmesh("status", "--state", str(mesh.home / "nobody"), timeout_s=COMMAND_S)
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""

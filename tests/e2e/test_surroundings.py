"""What happens around a daemon (its log's reader, its disk, its limits) ends no daemon."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess

import pytest

from harness import COMMAND, COMMAND_S, Mesh, Node, environment, eventually
from webapp import WebApp
from webclient import request


class WithoutReader(Node):
    """A node whose standard error and output are pipes that nobody reads any more."""

    def start(self) -> WithoutReader:
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [COMMAND, "up", "--name", self.name, "--state", str(self.state), *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env=environment(),
            start_new_session=True,
        )
        os.close(writer)
        os.close(reader)
        return self

    def log(self) -> str:
        return ""


class WithFewFiles(Node):
    """A node that may open 96 files."""

    def start(self) -> WithFewFiles:
        up = [COMMAND, "up", "--name", self.name, "--state", str(self.state), *self.arguments]
        with self.err.open("ab") as err, self.out.open("ab") as out:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", 'ulimit -n 96; exec "$@"', "sh", *up],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(),
                start_new_session=True,
            )
        return self


def as_kind(kind: type[Node], mesh: Mesh, node: Node) -> Node:
    """Give a node of ``mesh`` that stands for ``node`` and starts as ``kind`` does."""
    other = kind(node.name, node.state.parent, node.arguments)
    mesh.nodes[mesh.nodes.index(node)] = other
    return other


def test_a_daemon_outlives_the_reader_of_its_log(mesh: Mesh) -> None:
    first = as_kind(WithoutReader, mesh, mesh.node("first"))
    first.start().ready()
    second = mesh.node("second", join=first).start().ready()
    eventually(lambda: first.members().get("second") == "alive")
    second.terminate()
    eventually(lambda: first.members().get("second") == "left")
    assert first.terminate() == 0


class OnATerminal(Node):
    """A daemon whose standard input is a terminal of its own."""

    terminal = -1

    def start(self) -> OnATerminal:
        self.terminal, theirs = pty.openpty()
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--name", self.name, "--state", str(self.state), *self.arguments],
                stdin=theirs,
                stdout=out,
                stderr=err,
                env=environment() | self.variables,
                start_new_session=True,
            )
        os.close(theirs)
        return self


def test_a_closed_terminal_is_a_goodbye_and_no_crash(mesh: Mesh) -> None:
    first = mesh.node("first").start().ready()
    second = as_kind(OnATerminal, mesh, mesh.node("second", join=first))
    second.start().ready()
    os.close(second.terminal)
    assert second.terminate(signal.SIGHUP) == 0
    eventually(lambda: first.members().get("second") == "left")


def test_a_disk_that_takes_nothing_costs_a_warning_and_no_daemon(mesh: Mesh) -> None:
    first = mesh.node("first").start().ready()
    # The directory goes away under the daemon; what listens in it still does.
    home = first.state
    first.state = home.with_name("moved")
    home.rename(first.state)
    second = mesh.node("second", join=first).start().ready()
    eventually(lambda: "state.write" in first.log())
    assert first.terminate() == 0
    eventually(lambda: second.members().get("first") == "left")


def test_a_daemon_without_a_file_descriptor_left_goes_on(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        server = as_kind(WithFewFiles, mesh, mesh.node("server", services={"hello": app.port}))
        server.start().ready()
        client = mesh.node("client", join=server).start().ready()
        eventually(lambda: client.healthy("hello") == 1)
        host, _, port = server.listen("proxy").rpartition(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(120)]
        for _ in range(3):
            request(client.listen("proxy"), "http://hello/")
        for each in idle:
            each.close()
        eventually(lambda: request(client.listen("proxy"), "http://hello/").status == 200)
        assert server.terminate() == 0


SHIFTED_CLOCK = """import os, time
true_time, offset = time.time, float(os.environ["CLOCK_OFFSET_S"])
time.time = lambda: true_time() + offset
"""


@pytest.mark.parametrize(("offset_s", "words"), [(3_600, "s ahead of"), (-250, "s behind")])
def test_a_clock_that_is_far_off_is_named_and_a_right_one_gets_in_at_the_next_start(
    mesh: Mesh, offset_s: int, words: str
) -> None:
    seed = mesh.node("seed").start().ready()
    late = mesh.node("late", join=seed)
    mesh.write("sitecustomize.py", SHIFTED_CLOCK)
    clock = {"PYTHONPATH": str(mesh.home), "CLOCK_OFFSET_S": str(offset_s)}
    done = subprocess.run(
        [COMMAND, "up", "--name", late.name, "--state", str(late.state), *late.arguments],
        capture_output=True,
        text=True,
        env=environment() | clock,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.splitlines() if "clock" in each]
    assert words in line
    late.start().ready()
    eventually(lambda: seed.members().get("late") == "alive")

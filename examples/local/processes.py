"""The processes of the local mesh: daemons and apps as a user would start them, all stopped again by their ids."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
STOP_S: Final = 8.0
"""How long a process may take to end after SIGTERM before it is killed."""
COMMAND_S: Final = 20.0
"""How long one command may take."""


class Failure(Exception):
    """The demo cannot go on; the text says what went wrong."""


def gossipmesh_path() -> str:
    """Find the installed command: beside this Python, else on the PATH."""
    beside = Path(sys.executable).with_name("gossipmesh")
    found = str(beside) if beside.exists() else shutil.which("gossipmesh")
    if found is None:
        raise Failure("the gossipmesh command is not installed; run this with `make demo`")
    return found


class Node:
    """One daemon with a state directory of its own, and the apps behind it."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.log = home / f"{name}.log"
        self.daemon: subprocess.Popen[bytes] | None = None
        self.apps: list[subprocess.Popen[bytes]] = []
        self.app_port = 0

    @property
    def state(self) -> Path:
        """Its state directory; the admin socket is in it."""
        return self.home / self.name

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """All that runs here, the daemon first: it must not lose its app before it has said goodbye."""
        return [*([self.daemon] if self.daemon else []), *self.apps]


class LocalMesh:
    """All nodes of the demo, in one temporary directory that goes away with it."""

    def __init__(self) -> None:
        self.command = gossipmesh_path()
        self._directory = tempfile.TemporaryDirectory(prefix="gossipmesh-")
        self.home = Path(self._directory.name)
        self.nodes: dict[str, Node] = {}
        # Tables that go through a pipe would be folded at 80 columns.
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith("GOSSIPMESH_")
        }
        self._environ |= {"COLUMNS": "110", "NO_COLOR": "1"}

    def run(self, *arguments: str, node: Node | None = None, timeout_s: float = COMMAND_S) -> str:
        """Run one gossipmesh command and give its standard output.

        Raises:
            Failure: if it takes longer or its exit status is not 0.
        """
        state = ["--state", str(node.state)] if node else []
        try:
            done = subprocess.run(
                [self.command, *arguments, *state],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env=self._environ,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"`gossipmesh {' '.join(arguments)}` took longer than {timeout_s:.0f} s") from None
        if done.returncode:
            why = done.stderr.strip() or done.stdout.strip() or "it said nothing"
            raise Failure(f"`gossipmesh {' '.join(arguments)}` gave exit status {done.returncode}: {why}")
        return done.stdout

    def ask(self, node: Node, *arguments: str) -> dict[str, Any]:
        """Give the document that a reading command prints with ``--json``."""
        document: dict[str, Any] = json.loads(self.run(*arguments, "--json", node=node))
        return document

    def start(self, name: str, service: str | None, *, token_file: Path, join: str | None) -> Node:
        """Start an app if there is a service to offer, then the daemon beside it."""
        node = self.nodes[name] = Node(name, self.home)
        arguments = ["up", "-c", str(HERE / "mesh.toml"), "--name", name]
        arguments += ["--state", str(node.state), "--token-file", str(token_file)]
        # Port 0: the system chooses one, and `gossipmesh status` tells which.
        arguments += ["--bind", "127.0.0.1:0", "--proxy", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        arguments += ["--dns", "127.0.0.1:0"]
        if join:
            arguments += ["--join", join]
        if service:
            arguments += ["--service", f"{service}={self._start_app(node)}"]
        with node.log.open("wb") as log:
            node.daemon = self._spawn([self.command, *arguments], stdout=log, stderr=log)
        return node

    def _start_app(self, node: Node) -> int:
        app = self._spawn([sys.executable, str(HERE / "app.py"), node.name], stdout=subprocess.PIPE)
        node.apps.append(app)
        assert app.stdout is not None
        with app.stdout:
            line = app.stdout.readline()
        if not line.strip().isdigit():
            raise Failure(f"the app of {node.name} did not start")
        node.app_port = int(line)
        return node.app_port

    def _spawn(self, command: list[str], **streams: Any) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches this script alone, which then stops everything in order.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=self._environ, start_new_session=True, **streams
        )

    def wait_for_status(self, node: Node, timeout_s: float) -> dict[str, Any]:
        """Ask a daemon that was just started for its status until it answers.

        Raises:
            Failure: if it ended, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.must_run(node)
            if (node.state / "admin.sock").exists():
                try:
                    return self.ask(node, "status")
                except Failure:
                    if time.monotonic() > deadline:
                        raise
            elif time.monotonic() > deadline:
                raise Failure(f"{node.name} does not answer after {timeout_s:.0f} s{self.tail(node)}")
            time.sleep(0.05)

    def must_run(self, node: Node) -> None:
        """Raise :class:`Failure` if a daemon ended by itself."""
        if node.daemon is not None and (status := node.daemon.poll()) is not None:
            raise Failure(f"the daemon {node.name} ended with exit status {status}{self.tail(node)}")

    def tail(self, node: Node, lines: int = 12) -> str:
        """Give the end of a daemon's log, indented for people."""
        return "".join(f"\n    {node.name}: {line}" for line in self.log_lines(node)[-lines:])

    def log_lines(self, node: Node) -> list[str]:
        """Give all that a daemon wrote: what it said at first, then events and requests, one JSON object a line."""
        try:
            return node.log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return []

    def kill(self, node: Node) -> None:
        """End a node without a warning, its apps too, as when a machine loses its power."""
        for process in node.processes:
            process.kill()
        for process in node.processes:
            process.wait()
        node.daemon = None
        node.apps.clear()

    def stop(self) -> list[str]:
        """Ask every daemon to leave, wait, kill what is left, and give the names of those that had to be killed."""
        stubborn = []
        daemons = [(node.name, node.daemon) for node in self.nodes.values() if node.daemon]
        apps = [(node.name, app) for node in self.nodes.values() for app in node.apps]
        for group in (daemons, apps):
            for _, process in group:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_S
            for name, process in group:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    stubborn.append(name)
        self._directory.cleanup()
        return stubborn

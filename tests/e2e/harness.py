"""Real daemons for tests: each a process of the installed command, with a state directory and ports of its own.

Nothing here sleeps for a fixed time: :func:`eventually` asks until a condition holds or a deadline has passed. All
processes are ended by their ids when the mesh is closed, whatever became of the test.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

COMMAND: Final = str(Path(sys.executable).with_name("gossipmesh"))
COMMAND_S: Final = 20.0
PATIENCE_S: Final = 25.0
"""How long a condition may take to hold: generous, since other tests share the machine."""
POLL_S: Final = 0.05
LOCAL_PROFILE: Final = '[gossip]\nprofile = "local"\n'

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within_s: float = PATIENCE_S) -> T:
    """Give the first true value of ``condition()``; the one place that waits.

    Raises:
        AssertionError: with the last value, when ``within_s`` seconds have passed.
    """
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {value!r}"
        time.sleep(POLL_S)
    return value


def environment() -> dict[str, str]:
    """Give this process's environment without what would configure a daemon or a client."""
    unwanted = re.compile(r"GOSSIPMESH_.*|.*_proxy|NO_COLOR|FORCE_COLOR", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if not unwanted.fullmatch(name)}


def gossipmesh(
    *arguments: str, stdin: str = "", timeout_s: float = COMMAND_S
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, whatever its exit status."""
    return subprocess.run(
        [COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )


def said(*arguments: str) -> str:
    """Run one command that must succeed and give its standard output, stripped."""
    done = gossipmesh(*arguments)
    assert done.returncode == 0, f"{arguments}: exit status {done.returncode}: {done.stderr}"
    return done.stdout.strip()


def unused_port() -> int:
    """Give a port of 127.0.0.1 at which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Node:
    """One daemon; :meth:`start` it, ask it, end it, start it again with the same state directory."""

    def __init__(self, name: str, home: Path, arguments: list[str], *, program: str = COMMAND) -> None:
        self.name = name
        self.program = program
        self.state = home / name
        self.out = home / f"{name}.out"
        self.err = home / f"{name}.err"
        self.arguments = arguments
        self.variables: dict[str, str] = {}
        """What its environment says beside ours."""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the daemon; its output is appended to two files."""
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [self.program, "up", "--name", self.name, "--state", str(self.state), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment() | self.variables,
                start_new_session=True,
            )
        return self

    def fetch(self, path: str) -> tuple[int, bytes]:
        """Get ``path`` from the admin socket; status 0 while the daemon does not answer there."""
        connection = UnixConnection(self.state / "admin.sock")
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            assert self.process is None or self.process.poll() is None, f"{self.name} ended:\n{self.log()}"
            return 0, b""
        finally:
            connection.close()

    def over_tcp(self, method: str, path: str) -> tuple[int, bytes]:
        """Give what the read-only admin port answers, which is there for any program of this host."""
        host, _, port = self.listen("admin").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10.0)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, path: str) -> dict[str, Any]:
        """Give the document at ``/v1/PATH``, as soon as the daemon answers."""

        def document() -> bytes:
            status, body = self.fetch(f"/v1/{path}")
            return body if status == http.client.OK else b""

        parsed: dict[str, Any] = json.loads(eventually(document))
        return parsed

    def ready(self) -> Self:
        """Wait until the daemon says that it is ready."""
        eventually(self.is_ready)
        return self

    def is_ready(self) -> bool:
        """Tell whether ``/readyz`` gives 200."""
        return self.fetch("/readyz")[0] == http.client.OK

    def listen(self, what: str) -> str:
        """Give the address of ``mesh``, ``proxy``, ``admin`` or ``dns`` as ``host:port``."""
        return str(self.ask("status")["listen"][what])

    @property
    def id(self) -> str:
        """Its id, as it says it itself."""
        return str(self.ask("status")["id"])

    def members(self) -> dict[str, str]:
        """Give the state of every member that this node knows, by name."""
        return {member["name"]: member["state"] for member in self.ask("members")["members"]}

    def healthy(self, service: str) -> int:
        """Give how many healthy endpoints this node knows for a service."""
        return sum(each["healthy"] for each in self.ask("services")["services"] if each["name"] == service)

    def metric(self, name: str) -> float:
        """Give the sum over all label values of one metric."""
        status, body = self.fetch("/metrics")
        assert status == http.client.OK
        samples = re.findall(rf"^{name}(?:\{{[^\n]*\}})? ([-+.0-9e]+)$", body.decode(), re.MULTILINE)
        return sum(map(float, samples))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command against this daemon."""
        return gossipmesh(*arguments, "--state", str(self.state))

    def kill(self) -> None:
        """End the daemon with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def terminate(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Ask the daemon to end; give its exit status."""
        assert self.process is not None
        self.process.send_signal(signum)
        status = self.process.wait(PATIENCE_S)
        self.process = None
        return status

    def log(self) -> str:
        """Give all that the daemon said on standard error."""
        return self.err.read_text("utf-8", "replace")


class Mesh:
    """The daemons of one test, in a directory with a short name: the path of a unix socket has 107 bytes at most."""

    def __init__(self, token: str, *, program: str = COMMAND) -> None:
        self.program = program
        self._directory = tempfile.TemporaryDirectory(prefix="gm")
        self.home = Path(self._directory.name)
        self.nodes: list[Node] = []
        self.token_file = self.write("token", token)
        self.config = self.write("mesh.toml", LOCAL_PROFILE)

    def write(self, name: str, text: str) -> Path:
        """Write a file that only we can read."""
        path = self.home / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def node(
        self,
        name: str,
        *extra: str,
        join: Node | None = None,
        token: bool = True,
        services: dict[str, int] | None = None,
        variables: dict[str, str] | None = None,
    ) -> Node:
        """Make a node on loopback, every port chosen by the system; it is not started yet."""
        arguments = ["-c", str(self.config), "--bind", "127.0.0.1:0", "--proxy", "127.0.0.1:0"]
        arguments += ["--admin", "127.0.0.1:0", "--dns", "127.0.0.1:0"]
        if token:
            arguments += ["--token-file", str(self.token_file)]
        if join is not None:
            arguments += ["--join", join.listen("mesh")]
        for service, port in (services or {}).items():
            arguments += ["--service", f"{service}={port}"]
        node = Node(name, self.home, [*arguments, *extra], program=self.program)
        node.variables |= variables or {}
        self.nodes.append(node)
        return node

    def close(self) -> None:
        """End every daemon."""
        for node in self.nodes:
            node.kill()
        self._directory.cleanup()

    def show_logs(self) -> None:
        """Print what every daemon said; pytest shows that where a test failed."""
        for node in self.nodes:
            if node.err.exists():
                print(f"--- {node.name}\n{node.log()[-4000:]}")

"""Five hosts on one machine: a network namespace each, and a bridge in one more. Faults are rules of nftables in them.

Every address is in the namespaces that are made here. They are removed at the end, whatever became of the test, and
those that a run left behind that was broken off, at the next beginning.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from harness import COMMAND, Mesh, Node, environment, eventually

ROOT: Final = Path(__file__).parents[2]
ASKED: Final = "MESH_LAB"
"""Set: these tests are wanted."""
REQUIRED: Final = "MESH_LAB_REQUIRED"
"""Set: what is missing is a failure."""
BRIDGE: Final = "gm-bridge"
SERVICES: Final = {"h1": None, "h2": "hello", "h3": "world", "h4": "hello", "h5": "world"}
"""The service on each host; who has none only asks."""
PORT: Final = 7946
COMMAND_S: Final = 20.0
ASKING: Final = ROOT / "tests" / "containers" / "asking.py"


def what_is_missing() -> str | None:
    """Say what keeps this machine from having hosts; None: nothing."""
    if os.geteuid() != 0:
        return "it takes root, to make network namespaces"
    missing = [name for name in ("ip", "nft", "nsenter") if shutil.which(name) is None]
    return f"{', '.join(missing)} is not installed" if missing else None


def run(*command: str, text: str | None = None) -> str:
    """Run a command that must succeed; give what it said."""
    done = subprocess.run(
        command, input=text or "", capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}: {done.stderr}"
    return done.stdout


def namespace(name: str) -> str:
    """Give the name of a host's network namespace."""
    return f"gm-{name}"


def address(name: str) -> str:
    """Give a host's address."""
    return f"10.77.0.{name.removeprefix('h')}"


class HostNode(Node):
    """A daemon on one of the hosts."""

    def start(self) -> Self:
        """Start the daemon; its output is appended to two files."""
        command = [*entered(self.name.partition("-")[0]), COMMAND, "up"]
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [*command, "--name", self.name, "--state", str(self.state), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment() | self.variables,
                start_new_session=True,
            )
        return self


def entered(host: str) -> list[str]:
    """Give what a command begins with that runs on a host."""
    return ["nsenter", f"--net=/run/netns/{namespace(host)}"]


class Five:
    """The hosts, their apps and daemons; use it as a context manager.

    Args:
        mesh: token, directory and daemons.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.nodes: dict[str, HostNode] = {}
        self._apps: list[subprocess.Popen[bytes]] = []
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self._lock = (Path(tempfile.gettempdir()) / "gossipmesh-netns.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._remove()
        try:
            self._wire()
            for host, service in SERVICES.items():
                self._serve(host, service)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for node in self.mesh.nodes:
            node.kill()
        for app in self._apps:
            app.kill()
            app.wait()
        self._remove()
        assert self._lock is not None
        self._lock.close()

    def _remove(self) -> None:
        for name in (*map(namespace, SERVICES), BRIDGE):
            if Path("/run/netns", name).exists():
                with suppress(AssertionError):
                    run("ip", "netns", "del", name)

    def _wire(self) -> None:
        run("ip", "netns", "add", BRIDGE)
        run("ip", "-n", BRIDGE, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", BRIDGE, "link", "set", "bridge", "up")
        for host in SERVICES:
            there = namespace(host)
            run("ip", "netns", "add", there)
            # Both ends are made where they stay: this machine's own namespace never has either.
            ends = ["link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", there]
            run("ip", "-n", BRIDGE, *ends)
            run("ip", "-n", BRIDGE, "link", "set", host, "master", "bridge", "up")
            run("ip", "-n", there, "address", "add", f"{address(host)}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                run("ip", "-n", there, "link", "set", link, "up")

    def _serve(self, host: str, service: str | None) -> None:
        arguments = ["-c", str(self.mesh.config), "--token-file", str(self.mesh.token_file)]
        # All at once, whoever comes first; one seed is never there.
        arguments += ["--join", "10.77.0.99", *(f"--join={address(each)}" for each in SERVICES)]
        if service is not None:
            app = [*entered(host), sys.executable, str(ROOT / "examples" / "apps" / "app.py")]
            told = environment() | {"APP": service, "INSTANCE": host}
            self._apps.append(subprocess.Popen(app, stdin=subprocess.DEVNULL, env=told))
            arguments += ["--service", f"{service}=8080,health=/healthz"]
        self.nodes[host] = self.add(host, *arguments)

    def add(self, name: str, *arguments: str) -> HostNode:
        """Start a daemon on the host with whose name its own begins."""
        node = HostNode(name, self.mesh.home, list(arguments))
        self.mesh.nodes.append(node)
        return node.start()

    # --- faults ----------------------------------------------------------------------------------------------------

    def drop(self, host: str, *rules: str) -> None:
        """Drop what comes in at a host and matches any of the rules."""
        lines = ["add table inet gm", "flush table inet gm"]
        lines += ["add chain inet gm in { type filter hook input priority 0; }"]
        lines += [f"add rule inet gm in iifname eth0 {rule} drop" for rule in rules]
        run(*entered(host), "nft", "-f", "-", text="\n".join(lines) + "\n")

    def partition(self, *sides: tuple[str, ...]) -> None:
        """Let the hosts of each side hear only each other."""
        for side in sides:
            for host in side:
                others = ", ".join(address(each) for each in SERVICES if each not in side)
                self.drop(host, f"ip saddr {{ {others} }}")

    def heal(self) -> None:
        """Let everybody hear everybody."""
        for host in SERVICES:
            run(*entered(host), "nft", "flush", "ruleset")

    # --- what is seen ----------------------------------------------------------------------------------------------

    def sees(self, host: str) -> dict[str, str]:
        """Give the states of the five as one of them sees them."""
        return {name: state for name, state in self.nodes[host].members().items() if name in SERVICES}

    def all_alive(self, *hosts: str, within_s: float = 60.0) -> None:
        """Wait until those hosts, or all, see everybody alive."""
        wanted = dict.fromkeys(SERVICES, "alive")
        for host in hosts or tuple(SERVICES):
            eventually(lambda host=host: self.sees(host) == wanted, within_s=within_s)

    def asking(self, host: str, *urls: str) -> Asking:
        """Ask from a host, by way of its own daemon."""
        return Asking(host, urls)


class Asking:
    """Requests from one host, one after the other, until it is left; use it as a context manager.

    Args:
        host: where.
        urls: what is asked for, in turn.
    """

    def __init__(self, host: str, urls: tuple[str, ...]) -> None:
        self._command = [*entered(host), sys.executable, str(ASKING), *urls]
        self.failed: dict[str, int] = {}
        self.answers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        told = environment() | {"http_proxy": "http://127.0.0.1:4140"}
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=told
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "asking\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        out, _ = self._process.communicate(timeout=30)
        told = json.loads(out)
        self.failed, self.answers = told["failed"], told["answers"]

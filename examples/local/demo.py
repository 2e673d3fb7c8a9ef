"""A mesh of five on one machine: two services, a client, and a node that dies while it is being asked.

    python demo.py           show it all, then stop
    python demo.py --keep    start it and leave it running until Ctrl-C

Standard library only. It runs the ``gossipmesh`` command as a user would, and ``curl``.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from load import Load
from processes import Failure, LocalMesh, Node
from screen import Screen

NODES: Final = (
    ("hello-1", "hello"),
    ("hello-2", "hello"),
    ("world-1", "world"),
    ("world-2", "world"),
    ("client", None),
)
VICTIM: Final = "hello-2"
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_S: Final = 20.0
DEAD_S: Final = 20.0


class Demo:
    """The steps, in order."""

    def __init__(self, mesh: LocalMesh, screen: Screen) -> None:
        self.mesh = mesh
        self.screen = screen
        self.listen: dict[str, dict[str, str]] = {}

    @property
    def client(self) -> Node:
        """The node that offers nothing and asks the others."""
        return self.mesh.nodes["client"]

    @property
    def proxy(self) -> str:
        """Where the client's daemon takes requests: ``host:port``."""
        return self.listen["client"]["proxy"]

    def poll(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        """Wait until ``condition()`` holds, or raise :class:`Failure` with ``complaint``."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(f"{complaint} after {timeout_s:.0f} s{self.mesh.tail(self.client)}")
            for node in self.mesh.nodes.values():
                self.mesh.must_run(node)
            time.sleep(0.1)

    def make_mesh(self) -> Path:
        """Make a mesh; the token that lets nodes in is what the command prints."""
        self.screen.step("Make a mesh, and with it a token for its nodes")
        self.screen.command("gossipmesh init root > token")
        token_file = self.mesh.home / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(self.mesh.run("init", str(self.mesh.home / "root")))
        return token_file

    def start_nodes(self, token_file: Path) -> None:
        """Start five daemons; all but the first join at the first one's address."""
        self.screen.step("Start five nodes: two offer hello, two offer world, one only asks")
        seed: str | None = None
        for name, service in NODES:
            offer = f" --service {service}=PORT" if service else ""
            at = f" --join {seed}" if seed else ""
            self.screen.command(f"gossipmesh up --name {name} --token-file token{at}{offer}")
            node = self.mesh.start(name, service, token_file=token_file, join=seed)
            if seed is None:
                seed = str(self.mesh.wait_for_status(node, READY_S)["listen"]["mesh"])
        self.screen.command("gossipmesh wait --service hello --service world")
        services = ("--service", "hello", "--service", "world")
        for node in self.mesh.nodes.values():
            self.listen[node.name] = self.mesh.wait_for_status(node, READY_S)["listen"]
            self.mesh.run("wait", *services, "--timeout", f"{READY_S:.0f}s", node=node, timeout_s=2 * READY_S)
        self.poll(self._client_sees_all, READY_S, "the client does not see two instances of each service")
        self.screen.good("all five are ready, and each knows both services")

    def _client_sees_all(self) -> bool:
        services = self.mesh.ask(self.client, "services")["services"]
        return {service["name"]: service["healthy"] for service in services} == {"hello": 2, "world": 2}

    def show_tables(self) -> None:
        """Show what the client knows."""
        self.screen.step("What the client knows, without any central place to ask")
        for what in ("members", "services"):
            self.screen.command(f"gossipmesh {what}")
            self.screen.show(self.mesh.run(what, node=self.client))

    def ask_services(self) -> None:
        """Ask both services through the client's proxy; both instances of each must answer."""
        self.screen.step("Ask both services through the client's own daemon")
        for service in ("hello", "world"):
            self.screen.command(f"curl --proxy http://{self.proxy} http://{service}/")
            answers = [self._curl(service) for _ in range(8)]
            self.screen.show("".join(answers[:2]))
            seen = sorted({answer.split()[0] for answer in answers})
            if len(seen) < 2:
                raise Failure(f"8 requests to {service} all went to {seen[0]}: they should be shared out")
            self.screen.good(f"8 requests to {service} were answered by {' and '.join(seen)}")

    def _curl(self, service: str, *options: str) -> str:
        command = ["curl", "--silent", "--show-error", "--max-time", "10", *options]
        command += ["--noproxy", "", "--proxy", f"http://{self.proxy}", f"http://{service}/"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise Failure("curl is not installed") from None
        if done.returncode or not re.search(rf"^{service}-\d answers", done.stdout, re.MULTILINE):
            said = f"{done.stderr.strip()} {done.stdout.strip()}".strip()
            raise Failure(f"curl http://{service}/ gave exit status {done.returncode}: {said}")
        return done.stdout

    def show_path(self) -> None:
        """Show that a request passes two daemons and a sealed hop, and that the app is on loopback only."""
        self.screen.step("The way of one request: curl, daemon, sealed hop, daemon, app")
        self.screen.command(
            f"curl --include --header 'X-Request-Id: demo-1' --proxy http://{self.proxy} http://hello/"
        )
        answer = self._curl("hello", "--include", "--header", "X-Request-Id: demo-1").replace("\r", "")
        self.screen.show("\n".join(line for line in answer.splitlines() if line))
        answered = re.search(r"^(hello-\d) answers (\S+)$", answer, re.MULTILINE)
        if answered is None or answered[2] != "client":
            raise Failure("the app was not told who asks it: no x-gossipmesh-node header from the mesh")
        node = self.mesh.nodes[answered[1]]
        for passed, direction in ((self.client, "outbound"), (node, "inbound")):
            self.poll(partial(self._logged, passed, direction), 5.0, f"{passed.name} did not log the request")
            self.screen.good(f"the access log of {passed.name} has it as {direction}")
        self.screen.good(
            f"{node.name} told its app that node {answered[2]} asks: proved by the channel's keys"
        )
        where = listening_hosts(node.app_port)
        if where - {"127.0.0.1"}:
            raise Failure(f"the app of {node.name} listens on {where}, not on loopback only")
        self.screen.good(f"its app listens on 127.0.0.1:{node.app_port} only, so that others need its daemon")
        mesh_address = self.listen[node.name]["mesh"]
        if plain := plain_http_answer(mesh_address):
            raise Failure(f"the mesh port {mesh_address} answered plain HTTP: {plain!r}")
        self.screen.good(
            f"its mesh port {mesh_address} answers plain HTTP with no byte: there is only the Noise channel"
        )

    def _logged(self, node: Node, direction: str) -> bool:
        lines = (line for line in self.mesh.log_lines(node) if '"demo-1"' in line)
        return any(json.loads(line).get("direction") == direction for line in lines)

    def lose_a_node(self) -> None:
        """Kill one node of hello while hello is asked twenty times a second."""
        self.screen.step(f"Kill {VICTIM} (SIGKILL, its app too) while hello is asked 20 times a second")
        load = Load(self.proxy, "http://hello/")
        load.start()
        self.poll(lambda: load.answers[VICTIM] >= 5, 10.0, f"{VICTIM} gets no requests")
        victim = self.mesh.nodes.pop(VICTIM)
        self.screen.command(f"kill -9 {' '.join(str(process.pid) for process in victim.processes)}")
        before = load.sent
        self.mesh.kill(victim)
        killed = time.monotonic()
        for node in self.mesh.nodes.values():
            self.poll(partial(self._shows_death, node), DEAD_S, f"{node.name} does not show {VICTIM} as dead")
        took = time.monotonic() - killed
        load.finish()
        for instance, count in sorted(load.answers.items()):
            self.screen.show(f"{count:5} answers by {instance}")
        if load.failures:
            raise Failure(
                f"{len(load.failures)} of {load.sent} requests failed; the first: {load.failures[0]}"
            )
        self.screen.good(
            f"{load.sent} requests, {load.sent - before} of them after the kill: all were answered"
        )
        self.screen.good(f"all four that are left show {VICTIM} as dead, {took:.1f} s after the kill")
        self.screen.command("gossipmesh members")
        self.screen.show(self.mesh.run("members", node=self.client))

    def _shows_death(self, node: Node) -> bool:
        members: list[dict[str, Any]] = self.mesh.ask(node, "members")["members"]
        return any(member["name"] == VICTIM and member["state"] == "dead" for member in members)

    def keep(self) -> NoReturn:
        """Say how to use the mesh, then wait for Ctrl-C."""
        self.screen.step("It runs until Ctrl-C. Try in another terminal:")
        for line in (f"export http_proxy=http://{self.proxy}", "curl http://hello/", "curl http://world/"):
            self.screen.command(line)
        for what in ("members", "services", "endpoints hello", "status"):
            self.screen.command(f"{self.mesh.command} {what} --state {self.client.state}")
        self.screen.show("\nThe nodes, with what to kill and where they log:")
        for node in self.mesh.nodes.values():
            ids = " ".join(str(process.pid) for process in node.processes)
            self.screen.show(f"  {node.name:8} kill -9 {ids:16} {node.log}")
        while True:
            time.sleep(3600.0)


def listening_hosts(port: int) -> set[str]:
    """Give the IPv4 addresses on which this machine listens at ``port``; empty where it cannot be told (no /proc)."""
    try:
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return set()
    hosts = set()
    for row in rows:
        local, state = row.split()[1], row.split()[3]
        packed, _, number = local.partition(":")
        if state == "0A" and int(number, 16) == port:
            hosts.add(socket.inet_ntoa(int(packed, 16).to_bytes(4, sys.byteorder)))
    return hosts


def plain_http_answer(address: str) -> bytes:
    """Send a plain HTTP request to a mesh port and give what comes back before it is closed or 2 s have passed."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2.0) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def stop_on_signal(signum: int, frame: object) -> NoReturn:
    """Take a signal as Ctrl-C, so that what was started is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; give the exit status."""
    parser = argparse.ArgumentParser(description="A gossipmesh of five on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    keep = parser.parse_args().keep
    # SIGINT too: a shell without job control has background processes ignore it.
    for signum in STOPPING:
        signal.signal(signum, stop_on_signal)
    screen = Screen()
    try:
        mesh = LocalMesh()
    except Failure as failure:
        screen.bad(str(failure))
        return 1
    try:
        demo = Demo(mesh, screen)
        demo.start_nodes(demo.make_mesh())
        demo.show_tables()
        demo.ask_services()
        if keep:
            demo.keep()
        demo.show_path()
        demo.lose_a_node()
        screen.step("Stop everything: SIGTERM, and every node says goodbye")
    except Failure as failure:
        screen.bad(str(failure))
        return 1
    except KeyboardInterrupt:
        screen.step("Stopping")
        return 0 if keep else 130
    finally:
        # A second one must not leave processes behind.
        for signum in STOPPING:
            signal.signal(signum, signal.SIG_IGN)
        stubborn = mesh.stop()
    if stubborn:
        screen.bad(f"{', '.join(stubborn)} did not end after SIGTERM and had to be killed")
        return 1
    screen.good(f"done in {screen.elapsed_s:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

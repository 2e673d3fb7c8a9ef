"""Three endpoints behind what is measured: our mesh, or HAProxy beside its caller, each with real apps to be hurt."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from attrs import define, field, frozen

from forwarders import HERE, answers, child, said_version, until
from harness import Mesh, Node, gossipmesh, said
from loopback import unused_ports

ENDPOINTS: Final = 3
ENDS_WITHIN_S: Final = 40.0


@define
class AppProcess:
    """One app: the same port and journal in all its lives."""

    name: str
    port: int
    journal: Path
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            str(HERE / "failover_app.py"),
            self.name,
            str(self.port),
            str(self.journal),
        ]
        self.process = subprocess.Popen(
            [*command, *self.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it, and wait until it has ended."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(ENDS_WITHIN_S)
            self.process = None

    @property
    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@define
class Endpoint:
    """One of the three: its app and, in a mesh, the daemon beside it."""

    app: AppProcess
    node: Node | None = None

    def signal_daemon(self, number: signal.Signals) -> None:
        assert self.node is not None
        assert self.node.process is not None
        self.node.process.send_signal(number)

    def kill(self) -> None:
        """Kill both, the daemon first."""
        if self.node is not None and self.node.process is not None:
            self.node.process.kill()
        self.app.end(signal.SIGKILL)
        if self.node is not None:
            self.node.kill()

    def start(self) -> None:
        self.app.start()
        if self.node is not None:
            self.node.start()

    def terminate(self) -> None:
        """Ask both to end as an orchestrator does with a sidecar: the daemon first, its app once that has gone."""
        if self.node is not None and self.node.process is not None:
            self.node.process.send_signal(signal.SIGTERM)
            self.node.process.wait(ENDS_WITHIN_S)
            self.node.process = None
        self.app.end(signal.SIGTERM)

    def is_ready(self) -> bool:
        return self.app.listens and (self.node is None or self.node.is_ready())


@frozen
class Site:
    """What a round is about: where the load goes, and whom the events hit."""

    address: str
    endpoints: tuple[Endpoint, ...]
    said: Callable[[], str] = field(repr=False)
    """The logs' ends, for when something went wrong."""

    def processed(self) -> list[str]:
        """Give the lines of all journals."""
        return [line for each in self.endpoints for line in each.app.journal.read_text().splitlines()]


class Contender(Protocol):
    """One way to reach three endpoints; ``version`` is None where it cannot be measured here."""

    @property
    def name(self) -> str: ...

    @property
    def has_daemons(self) -> bool: ...

    def version(self) -> str | None: ...

    def site(self) -> AbstractContextManager[Site]: ...


def apps(folder: Path, count: int = ENDPOINTS, *arguments: str, name: str = "app") -> list[AppProcess]:
    found = []
    for number, port in enumerate(unused_ports(count), 1):
        app = AppProcess(f"{name}-{number}", port, folder / f"{name}-{number}.journal", arguments)
        app.journal.touch()
        app.start()
        found.append(app)
    # From here on these ports are seen to be in use.
    until(lambda: all(each.listens for each in found), "an app does not listen")
    return found


@contextmanager
def ended(processes: list[AppProcess]) -> Iterator[None]:
    try:
        yield
    finally:
        for each in processes:
            with suppress(ProcessLookupError):
                each.end(signal.SIGKILL)


@frozen
class OurMesh:
    """A client's daemon and one beside each app, in their default configuration; ports and state apart."""

    name: str = "gossipmesh"
    has_daemons: bool = True

    def version(self) -> str | None:
        return gossipmesh("--version").stdout.strip()

    @contextmanager
    def site(self) -> Iterator[Site]:
        with tempfile.TemporaryDirectory() as home:
            mesh = Mesh(said("init", f"{home}/root"))
            processes = apps(Path(home))
            with ended(processes):
                try:
                    yield self._started(mesh, processes)
                finally:
                    mesh.close()

    def _started(self, mesh: Mesh, processes: list[AppProcess]) -> Site:
        mesh.config.write_text("")
        client = mesh.node("client").start().ready()
        endpoints = []
        for app in processes:
            (port,) = unused_ports(1)
            node = mesh.node(
                app.name, "--bind", f"127.0.0.1:{port}", join=client, services={"hello": app.port}
            )
            node.start().ready()  # so that its port is taken before the next one is chosen
            endpoints.append(Endpoint(app, node))
        until(lambda: client.healthy("hello") == len(endpoints), "not all endpoints are known")

        def tails() -> str:
            return "\n".join(f"--- {node.name}\n{node.log()[-3000:]}" for node in mesh.nodes)

        return Site(client.listen("proxy"), tuple(endpoints), tails)


HAPROXY: Final = """
global
  maxconn 4096
defaults
  mode http
  no log
  timeout connect 1s
  timeout client 60s
  timeout server 2s
  timeout check 500ms
  timeout queue 5s
  option redispatch 1
  retries 3
  retry-on all-retryable-errors
frontend in
  bind 127.0.0.1:{port}
  default_backend apps
backend apps
  balance roundrobin
  option httpchk GET /health
  http-request disable-l7-retry if METH_POST
  default-server check inter 250ms fall 2 rise 1 observe layer7 error-limit 3 on-error mark-down
{servers}
"""
"""As its documentation recommends for retries (``retry-on``, ``redispatch``), with checks four times a second.

``retry-on all-retryable-errors`` needs ``disable-l7-retry`` for POST, or a POST could be sent twice. A request has 2 s:
with less, an app that takes its time would fail; with more, a frozen one would hold its callers longer.
"""


@frozen
class HAProxy:
    """One HAProxy beside the caller, the apps directly behind it; it has no daemons that could be hurt."""

    name: str = "haproxy"
    has_daemons: bool = False

    def version(self) -> str | None:
        return said_version("haproxy", "-v")

    @contextmanager
    def site(self) -> Iterator[Site]:
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home)
            processes = apps(folder)
            with ended(processes):
                (port,) = unused_ports(1)
                servers = "\n".join(f"  server {each.name} 127.0.0.1:{each.port}" for each in processes)
                config = folder / "haproxy.cfg"
                config.write_text(HAPROXY.format(port=port, servers=servers))
                with child(["haproxy", "-db", "-f", str(config)], dict(os.environ), folder):
                    address = f"127.0.0.1:{port}"
                    log = folder / "haproxy.out"
                    until(lambda: answers(address), f"no answer\n{log.read_text('utf-8', 'replace')[-1000:]}")
                    yield Site(address, tuple(map(Endpoint, processes)), lambda: log.read_text()[-3000:])


CONTENDERS: Final[tuple[Contender, ...]] = (OurMesh(), HAProxy())

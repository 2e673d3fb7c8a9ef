"""hello and world as the example for Compose has them, and what becomes of requests while containers come and go."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import lab
from harness import eventually

pytestmark = pytest.mark.timeout(420)
HELLO = "http://127.0.0.1:8080/hello"
WORLD = "http://127.0.0.1:8080/world"
NODES = ("hello-1", "hello-2", "world-1", "world-2")
STARTED_S = 3.0
MOST_MEMORY_MB = 60.0


def name_of(service: str) -> str:
    return f"hello-world_{service}_1"


@pytest.fixture
def compose(host: lab.Host, token: str) -> lab.Host:
    """The example, up, with both replicas of both services in the gateway's answers."""
    folder = host.home / "compose"
    shutil.copytree(lab.EXAMPLES / "compose", folder)
    secret = folder / "mesh-token"
    secret.write_text(token)
    secret.chmod(0o644)
    # A network that is there already, in place of one that Compose would make and name itself.
    host.network()
    file = folder / "compose.yaml"
    text = file.read_text()
    assert text.count("networks:\n  default: {}\n") == 1
    network = f"networks:\n  default: {{name: {lab.NAMESPACE}, external: true}}\n"
    file.write_text(text.replace("networks:\n  default: {}\n", network))
    host.compose(file, "up", "-d", "--no-build")
    host.answers(HELLO, "hello from hello-1", "hello from hello-2")
    host.answers(WORLD, "world from world-1", "world from world-2")
    return host


@contextmanager
def load(host: lab.Host, *urls: str) -> Iterator[dict[str, Any]]:
    """Ask all the while (``asking.py``); what came of it is in what this gives, once it is over."""
    result: dict[str, Any] = {}
    script = str(Path(__file__).with_name("asking.py"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with host.start(sys.executable, script, *urls, **pipes) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "asking\n"
            yield result
        finally:
            out, _ = process.communicate(timeout=60)
            result |= json.loads(out)


def started_at(host: lab.Host, container: str) -> float:
    """Give when a container was started, in Unix seconds."""
    text = host.podman("inspect", "-f", "{{.State.StartedAt}}", container)
    match = re.fullmatch(r"(\S+) (\S+?)(\.\d+)? \+0000 UTC", text)
    assert match is not None, text
    moment = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    return moment.timestamp() + float(match[3] or 0)


def memory_mb(host: lab.Host, container: str) -> float:
    """Give what the first process of a container has in memory."""
    status = host.podman("exec", container, "cat", "/proc/1/status")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1_024 / 1e6


def beside(name: str, app: str, token: Path) -> tuple[list[str], list[str]]:
    """Give the options with which a daemon runs beside the app ``name``."""
    variables = {
        "GOSSIPMESH_NAME": name,
        "GOSSIPMESH_JOIN": "mesh:7946",
        "GOSSIPMESH_SERVICE": f"{app}=8080,health=/healthz",
        "GOSSIPMESH_TOKEN_FILE": "/run/secrets/mesh-token",
    }
    options = [f"--network=container:{name}", "--tmpfs=/var/lib/gossipmesh"]
    options += [f"--volume={token}:/run/secrets/mesh-token:ro"]
    return [*options, *(f"--env={key}={value}" for key, value in variables.items())], ["up"]


def added(host: lab.Host, name: str) -> float:
    """Add a replica of hello; give the seconds from its daemon's start to the first answer that is its own."""
    app = f"--network={lab.NAMESPACE}:alias=mesh"
    host.container(name, lab.APP, app, "--env=APP=hello", f"--env=INSTANCE={name}")
    options, command = beside(name, "hello", host.home / "compose" / "mesh-token")
    own = f"hello from {name}"
    with load(host, f"--for={own}", HELLO) as result:
        host.container(f"{name}-mesh", lab.DAEMON, *options, command=command)
    assert result["failed"] == {}
    first_at = float(result["answers"][own][1])
    return round(first_at - started_at(host, f"{name}-mesh"), 2)


def test_containers_come_and_go_and_no_request_fails(compose: lab.Host) -> None:
    host = compose
    answer = eventually(lambda: host.ask(f"{HELLO}/world"), within_s=30)
    assert re.fullmatch(r"hello from hello-[12], and world from world-[12]", answer)
    memory = max(memory_mb(host, name_of(f"{node}-mesh")) for node in NODES)
    lab.FIGURES["memory of an idle daemon, MB"] = round(memory, 1)
    assert memory < MOST_MEMORY_MB
    assert host.ask("http://127.0.0.1:8080/other") == ""

    # One is killed, app and daemon; nobody is told.
    with load(host, HELLO, WORLD) as result:
        host.podman("kill", name_of("hello-1"), name_of("hello-1-mesh"))
        states = eventually(lambda: states_seen(host, "hello-1") == {"dead"}, within_s=60)
        assert states
    assert result["failed"] == {}
    assert set(result["answers"]) >= {"hello from hello-2", "world from world-1", "world from world-2"}

    # Some are added, one after the other.
    took = [added(host, name) for name in ("hello-3", "hello-4")]
    lab.FIGURES["from a replica's start to its first answer, s"] = took
    if not lab.busy():
        assert min(took) < STARTED_S

    # All that were there from the beginning are restarted, one after the other.
    with load(host, HELLO, WORLD) as result:
        for node in NODES[1:]:
            app, mesh = name_of(node), name_of(f"{node}-mesh")
            host.podman("stop", "-t", "25", mesh)
            assert host.podman("inspect", "-f", "{{.State.ExitCode}}", mesh) == "0"
            host.podman("stop", "-t", "5", app)
            host.podman("start", app)
            host.podman("start", mesh)
            service = node.partition("-")[0]
            host.answers(HELLO if service == "hello" else WORLD, f"{service} from {node}")
    assert result["failed"] == {}
    lab.FIGURES["requests while three were restarted"] = sum(n for n, _, _ in result["answers"].values())


def crash(host: lab.Host, container: str) -> None:
    """Kill a container's first process, as a fault of its own would; the container runs again when this returns."""
    pid = int(host.podman("inspect", "-f", "{{.State.Pid}}", container))
    os.kill(pid, signal.SIGKILL)

    def runs_again() -> bool:
        state, now = host.podman("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", container).split()
        if state == "exited":
            # Docker sees to `restart` in any case; podman does so where its own clean-up is run.
            host.podman("start", container)
        return state == "running" and int(now) != pid

    eventually(runs_again)


def test_an_app_or_a_daemon_that_crashes_comes_back_alone_and_serves_again(compose: lab.Host) -> None:
    host = compose
    app, mesh, namespace = name_of("hello-1"), name_of("hello-1-mesh"), name_of("hello-1-net")
    for crashed, other in ((app, mesh), (mesh, app)):
        began = started_at(host, other)
        with load(host, HELLO) as result:
            crash(host, crashed)
            host.answers(HELLO, "hello from hello-1")
        assert result["failed"] == {}
        assert started_at(host, other) == began

    # What only holds the namespace goes as soon as it is told.
    host.podman("stop", "-t", "25", mesh)
    host.podman("stop", "-t", "5", app)
    before = time.monotonic()
    host.podman("stop", "-t", "25", namespace)
    assert time.monotonic() - before < 5
    assert host.podman("inspect", "-f", "{{.State.ExitCode}}", namespace) == "0"


def states_seen(host: lab.Host, name: str) -> set[str]:
    """Give the states in which the gateway's daemon sees a member."""
    members = json.loads(host.gossipmesh(name_of("gateway"), "members", "--json"))["members"]
    return {member["state"] for member in members if member["name"] == name}

"""What is in the image, and what it does with little around it."""

from __future__ import annotations

import json
import time

import pytest

import lab
from harness import eventually

pytestmark = pytest.mark.timeout(180)
UNWANTED = ("gcc", "cc", "make", "pip", "pip3", "git", "rustc")
MOST_ADDED_MB = 70.0


def size_mb(host: lab.Host, image: str) -> float:
    (found,) = json.loads(host.podman("image", "inspect", image))
    return float(found["Size"]) / 1e6


def test_it_is_small_and_holds_neither_a_compiler_nor_root(host: lab.Host, images: lab.Images) -> None:
    whole, base = size_mb(host, lab.DAEMON), size_mb(host, images.base)
    lab.FIGURES["image, MB"] = round(whole, 1)
    lab.FIGURES["image without its base, MB"] = round(whole - base, 1)
    assert whole - base < MOST_ADDED_MB
    (found,) = json.loads(host.podman("image", "inspect", lab.DAEMON))
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Entrypoint"] == ["gossipmesh"]
    assert "gossipmesh" in found["Healthcheck"]["Test"]
    script = (
        f"id -u; id -un; for each in {' '.join(UNWANTED)}; do command -v $each; done; ls /opt /src 2>&1; true"
    )
    said = host.podman("run", "--rm", "--no-healthcheck", "--entrypoint", "sh", lab.DAEMON, "-c", script)
    assert said.splitlines() == [
        "10001",
        "gossipmesh",
        "ls: cannot access '/src': No such file or directory",
        "/opt:",
        "gossipmesh",
    ]


def test_it_runs_on_a_read_only_root_and_is_soon_ready(host: lab.Host) -> None:
    host.network()
    began = time.monotonic()
    host.container("alone", lab.DAEMON, "--tmpfs=/var/lib/gossipmesh", f"--network={lab.NAMESPACE}")
    host.gossipmesh("alone", "wait", "--timeout", "30s")
    lab.FIGURES["from `podman run` to ready, s"] = round(time.monotonic() - began, 2)
    # What health checks ask.
    assert json.loads(host.gossipmesh("alone", "status", "--json"))["members"]["alive"] == 1
    assert host.podman("exec", "alone", "stat", "-c", "%a %u", "/var/lib/gossipmesh/node") == "700 10001"
    host.podman("stop", "-t", "20", "alone")
    assert host.podman("inspect", "-f", "{{.State.ExitCode}}", "alone") == "0"
    logs = host.podman("logs", "alone")
    assert "gmt1." not in logs


def test_a_volume_of_somebody_elses_is_one_line(host: lab.Host) -> None:
    folder = host.home / "roots"
    folder.mkdir(mode=0o700)
    host.container("shut", lab.DAEMON, f"--volume={folder}:/var/lib/gossipmesh/node")
    eventually(lambda: host.podman("inspect", "-f", "{{.State.Status}}", "shut") == "exited")
    assert host.podman("inspect", "-f", "{{.State.ExitCode}}", "shut") != "0"
    done = host.start("podman", "logs", "shut", stdout=-1, stderr=-1)
    out, err = done.communicate(timeout=30)
    lines = [line for line in (out + err).splitlines() if line.startswith("gossipmesh: ")]
    assert len(lines) == 1
    assert "give it to the daemon's user" in lines[0]

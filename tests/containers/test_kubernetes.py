"""The Kubernetes files of the examples: against the published schemas, and played by podman."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import lab
from harness import eventually

FILES = sorted((lab.EXAMPLES / "kubernetes").glob("*.yaml"))
RELEASES = ("1.29", "1.33")
"""The first with native sidecars on by default, and a later one."""
TOKEN = f"{lab.VOLUMES}token"
PODS = ("hello-pod-0", "hello-pod-1", "world-pod-0", "world-pod-1", "gateway-pod-0")


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name(name))
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("release", RELEASES)
def test_the_files_are_what_kubernetes_takes(release: str) -> None:
    done = tool("kubernetes-validate", "--strict", "-k", release, *map(str, FILES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["compose/compose.yaml", "swarm/stack.yaml"])
def test_compose_files_follow_the_published_specification(file: str) -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(lab.EXAMPLES / file))
    assert done.returncode == 0, done.stdout + done.stderr


def documents() -> list[dict[str, Any]]:
    return [document for file in FILES for document in yaml.safe_load_all(file.read_text())]


def templates() -> dict[str, dict[str, Any]]:
    """Give the pod templates by the name of what makes pods of them."""
    made = [each for each in documents() if each["kind"] in ("Deployment", "DaemonSet")]
    return {each["metadata"]["name"]: each["spec"]["template"] for each in made}


def test_every_pod_has_longer_to_end_than_its_daemon_drains() -> None:
    for template in templates().values():
        assert template["spec"]["terminationGracePeriodSeconds"] >= 40


def test_the_daemon_is_drained_before_its_app_is_told_to_stop() -> None:
    """A sidecar hears of the end only after all others; its preStop is run when the end begins (KEP-753)."""
    for name in ("hello", "world"):
        (sidecar,) = templates()[name]["spec"]["initContainers"]
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["lifecycle"]["preStop"]["exec"]["command"] == ["gossipmesh", "drain"]
        (app,) = templates()[name]["spec"]["containers"]
        assert "preStop" in app["lifecycle"]


def playable(token: str, home: Path) -> Path:
    """Give one file for podman, which knows neither native sidecars nor headless services.

    Each sidecar is a container like the others, the token is in a ConfigMap, the state in /dev/shm, the seeds
    are the pods' own names, and no port is one of the machine's.
    """
    played: list[dict[str, Any]] = []
    for document in documents():
        template = document.get("spec", {}).get("template")
        if document["kind"] == "ConfigMap":
            # podman makes volumes of these names, which outlive the pods.
            document["metadata"] = {"name": lab.VOLUMES + document["metadata"]["name"]}
            played.append(document)
        if document["kind"] == "Deployment":
            document["metadata"].pop("namespace")
            spec = template["spec"]
            for volume in spec["volumes"]:
                if "secret" in volume:
                    # podman 4.3 mounts the base64 text of a secret, where it does not crash.
                    del volume["secret"]
                    volume["configMap"] = {"name": TOKEN}
                elif "configMap" in volume:
                    volume["configMap"]["name"] = lab.VOLUMES + volume["configMap"]["name"]
            # podman takes volumes of one name for one volume, in whatever pod they are.
            spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] != "state"]
            spec["containers"] += spec.pop("initContainers", [])
            for container in spec["containers"]:
                for key in ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
                    container.pop(key, None)
                mounts = container.get("volumeMounts", [])
                container["volumeMounts"] = [mount for mount in mounts if mount["name"] != "state"]
                container["env"].append({"name": "GOSSIPMESH_STATE", "value": "/dev/shm/gossipmesh"})
                for variable in container["env"]:
                    if variable["name"] == "GOSSIPMESH_JOIN":
                        variable["value"] = " ".join(PODS)
            played.append(document)
    secret = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TOKEN}}
    played.insert(0, secret | {"data": {"token": token}})
    file = home / "played.yaml"
    file.write_text(yaml.safe_dump_all(played))
    return file


@pytest.mark.timeout(240)
def test_podman_plays_them_and_curl_gets_both_of_both(host: lab.Host, token: str) -> None:
    host.network()
    host.play(playable(token, host.home))
    gateway = f"http://{host.address('gateway-pod-0-gossipmesh')}:8080"
    for service in ("hello", "world"):
        host.answers(f"{gateway}/{service}", *(f"{service} from {service}-pod-{n}" for n in (0, 1)))
    answer = eventually(lambda: host.ask(f"{gateway}/hello/world"), within_s=30)
    assert re.fullmatch(r"hello from hello-pod-[01], and world from world-pod-[01]", answer)
    told = json.loads(host.gossipmesh("hello-pod-0-gossipmesh", "status", "--json"))
    # The downward API gives a node the name of its pod.
    assert told["name"] == "hello-pod-0"
    assert told["members"]["alive"] == len(PODS)

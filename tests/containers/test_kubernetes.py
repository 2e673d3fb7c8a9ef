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
DRAIN_S = 15
"""What requests in flight are given when a daemon drains: ``[proxy] drain_timeout``."""
MONITORING = "monitoring"
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


def test_a_namespace_stands_before_what_is_in_it() -> None:
    """``kubectl apply`` goes from top to bottom; mesh.yaml is applied before all others, but for the DaemonSet."""
    for file in FILES:
        made = set() if file.name in ("mesh.yaml", "daemonset.yaml") else {"hello-world"}
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] == "Namespace":
                made.add(document["metadata"]["name"])
            else:
                assert document["metadata"]["namespace"] in made


def test_pod_security_allows_the_network_that_the_pods_ask_for() -> None:
    enforce = "pod-security.kubernetes.io/enforce"
    levels = {
        each["metadata"]["name"]: each["metadata"]["labels"][enforce]
        for each in documents()
        if each["kind"] == "Namespace"
    }
    for document in documents():
        if document["kind"] in ("Deployment", "DaemonSet"):
            on_the_machine = document["spec"]["template"]["spec"].get("hostNetwork", False)
            level = levels[document["metadata"]["namespace"]]
            assert level == ("privileged" if on_the_machine else "restricted")


def test_the_daemon_is_drained_before_its_app_is_told_to_stop() -> None:
    """A sidecar hears of the end only after all others; its preStop is run when the end begins (KEP-753)."""
    for name in ("hello", "world"):
        spec = templates()[name]["spec"]
        (sidecar,) = spec["initContainers"]
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["lifecycle"]["preStop"]["exec"]["command"] == ["gossipmesh", "drain"]
        (app,) = spec["containers"]
        program, seconds = app["lifecycle"]["preStop"]["exec"]["command"]
        assert program == "sleep"
        assert int(seconds) > DRAIN_S
        assert int(seconds) + DRAIN_S < spec["terminationGracePeriodSeconds"]


def test_whether_a_new_pod_serves_is_asked_of_its_app() -> None:
    for name in ("hello", "world"):
        (app,) = templates()[name]["spec"]["containers"]
        # An app on loopback is out of the reach of httpGet and tcpSocket.
        assert app["readinessProbe"].keys() >= {"exec"}
        assert '"127.0.0.1", 8080' in app["readinessProbe"]["exec"]["command"][-1]


def let_in(labels: dict[str, str]) -> set[tuple[str, int, str]]:
    """Give whom the policies let in to a pod with these labels: peer, port and protocol."""
    found = set()
    for document in documents():
        if document["kind"] != "NetworkPolicy":
            continue
        if not document["spec"]["podSelector"]["matchLabels"].items() <= labels.items():
            continue
        for rule in document["spec"]["ingress"]:
            for peer in rule.get("from", [{}]):
                for port in rule["ports"]:
                    (who,) = [*(selected(each) for each in peer.values())] or ["everybody"]
                    found.add((who, port["port"], port["protocol"]))
    return found


def selected(peer: dict[str, Any]) -> str:
    (label,) = peer["matchLabels"].values()
    return str(label)


def test_policies_let_in_members_monitoring_and_the_gateways_callers_and_nobody_else() -> None:
    members = {("member", 7946, "TCP"), ("member", 7946, "UDP"), (MONITORING, 4191, "TCP")}
    callers = {"gateway": {("everybody", 8080, "TCP")}}
    for name in ("hello", "world", "gateway"):
        labels = templates()[name]["metadata"]["labels"]
        assert let_in(labels) == members | callers.get(name, set())


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
    # What the kubelet would ask each app.
    for name in ("hello", "world"):
        (app,) = templates()[name]["spec"]["containers"]
        host.podman("exec", f"{name}-pod-0-app", *app["readinessProbe"]["exec"]["command"])
    answer = eventually(lambda: host.ask(f"{gateway}/hello/world"), within_s=30)
    assert re.fullmatch(r"hello from hello-pod-[01], and world from world-pod-[01]", answer)
    told = json.loads(host.gossipmesh("hello-pod-0-gossipmesh", "status", "--json"))
    # The downward API gives a node the name of its pod.
    assert told["name"] == "hello-pod-0"
    assert told["members"]["alive"] == len(PODS)

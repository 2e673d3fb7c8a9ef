"""The example for a Swarm: its stack as `docker stack deploy` reads it, and app and daemon in one container."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any, Final

import pytest
import yaml

import lab
from harness import eventually

pytestmark = pytest.mark.timeout(180)

# docker/cli, cli/compose/convert/service.go, Service(): the keys that it makes a service of. All others are refused
# (ForbiddenProperties in cli/compose/types/types.go, and what its schema has not), dropped with a warning
# (UnsupportedProperties there: network_mode, security_opt, restart), or dropped without a word (tmpfs and depends_on).
TAKEN: Final = {
    "cap_add",
    "cap_drop",
    "command",
    "configs",
    "credential_spec",
    "deploy",
    "dns",
    "dns_search",
    "entrypoint",
    "env_file",
    "environment",
    "extra_hosts",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "isolation",
    "labels",
    "logging",
    "networks",
    "ports",
    "read_only",
    "secrets",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tty",
    "ulimits",
    "user",
    "volumes",
    "working_dir",
}
# The same file's convertUpdateConfig, convertRestartPolicy, convertResources and convertDeployMode.
TAKEN_OF_DEPLOY: Final = {
    "endpoint_mode",
    "labels",
    "mode",
    "placement",
    "replicas",
    "resources",
    "restart_policy",
    "rollback_config",
    "update_config",
}
# cli/compose/loader reads these, and names that begin with x-.
SECTIONS: Final = {"version", "services", "networks", "volumes", "secrets", "configs"}
STATE: Final = "/var/lib/gossipmesh"
DRAIN_S: Final = 15
AT_ONCE_S: Final = 6.0
"""Far less than a daemon drains, than `gossipmesh wait` waits, and than podman waits before it kills."""


def stack() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((lab.EXAMPLES / "swarm" / "stack.yaml").read_text())
    return found


SERVICES: Final = sorted(stack()["services"])


@pytest.mark.parametrize("name", SERVICES)
def test_docker_stack_deploy_drops_nothing_of_the_file(name: str) -> None:
    service = stack()["services"][name]
    assert set(service) - TAKEN == set()
    assert set(service["deploy"]) - TAKEN_OF_DEPLOY == set()
    assert {key for key in stack() if not key.startswith("x-")} - SECTIONS == set()


@pytest.mark.parametrize("name", SERVICES)
def test_the_state_has_a_place_on_a_root_that_is_read_only(name: str) -> None:
    service = stack()["services"][name]
    assert service["read_only"]
    assert [(each["type"], each["target"]) for each in service["volumes"]] == [("tmpfs", STATE)]


@pytest.mark.parametrize("name", SERVICES)
def test_a_task_has_longer_to_stop_than_its_daemon_drains(name: str) -> None:
    grace = stack()["services"][name]["stop_grace_period"]
    assert grace.endswith("s")
    assert int(grace[:-1]) >= DRAIN_S + 10


def test_every_secret_and_config_that_is_mounted_is_declared() -> None:
    for service in stack()["services"].values():
        assert set(service["secrets"]) <= set(stack()["secrets"])
        assert {each["source"] for each in service.get("configs", [])} <= set(stack()["configs"])


def together(host: lab.Host, token: str, name: str, seeds: str, **variables: str) -> None:
    """Start a container of both, app and daemon."""
    secret = host.home / "token"
    secret.write_text(token)
    secret.chmod(0o644)
    values = {
        "APP": "hello",
        "GOSSIPMESH_SERVICE": "hello=8080,health=/healthz",
        "GOSSIPMESH_JOIN": seeds,
        "GOSSIPMESH_TOKEN_FILE": "/run/secrets/mesh-token",
    }
    options = [f"--env={key}={value}" for key, value in (values | variables).items()]
    options += [f"--volume={secret}:/run/secrets/mesh-token:ro", f"--tmpfs={STATE}", f"--hostname={name}"]
    host.container(name, lab.TOGETHER, f"--network={lab.NAMESPACE}:alias=tasks.hello", *options)


def ended(host: lab.Host, name: str) -> str:
    """Give what a container ended with, once it has."""
    eventually(lambda: host.podman("inspect", "-f", "{{.State.Status}}", name) == "exited", within_s=40)
    return host.podman("inspect", "-f", "{{.State.ExitCode}}", name)


def test_app_and_daemon_in_one_container_find_each_other_and_end_in_good_order(
    host: lab.Host, token: str
) -> None:
    host.network()
    names = ("hello-1", "hello-2")
    for name in names:
        together(host, token, name, "tasks.hello:7946")
    seen: set[str] = set()

    def both_answered() -> bool:
        for name in names:
            with suppress(AssertionError):  # It begins only now.
                ask = ["curl", "-s", "-x", "127.0.0.1:4140", "http://hello/hello"]
                seen.add(host.podman("exec", name, *ask))
        return seen >= {f"hello from {name}" for name in names}

    eventually(both_answered, within_s=60)
    host.podman("stop", "-t", "25", "hello-1")
    assert ended(host, "hello-1") == "0"
    members = json.loads(host.gossipmesh("hello-2", "members", "--json"))["members"]
    assert [member["state"] for member in members if member["name"] == "hello-1"] == ["left"]


def test_a_container_that_begins_is_stopped_at_once(host: lab.Host, token: str) -> None:
    host.network()
    together(host, token, "early", "tasks.nobody:7946")
    assert seconds_to_stop(host, "early") < AT_ONCE_S
    assert ended(host, "early") == "0"

    def daemon_answers() -> bool:
        with suppress(AssertionError):
            return "members" in json.loads(host.gossipmesh("early", "status", "--json"))
        return False

    # Once more, while its daemon waits for others, and its app for the daemon.
    host.podman("start", "early")
    eventually(daemon_answers, within_s=30)
    assert seconds_to_stop(host, "early") < AT_ONCE_S
    assert ended(host, "early") == "0"


def seconds_to_stop(host: lab.Host, name: str) -> float:
    began = time.monotonic()
    host.podman("stop", "-t", "25", name)
    return time.monotonic() - began


def test_a_daemon_that_cannot_begin_ends_its_container_at_once(host: lab.Host, token: str) -> None:
    host.network()
    began = time.monotonic()
    together(host, token, "wrong", "tasks.nobody:7946", GOSSIPMESH_SERVICE="hello=many")
    assert ended(host, "wrong") not in ("0", "127")
    assert time.monotonic() - began < AT_ONCE_S


def test_an_app_that_ends_ends_its_container_with_its_status(host: lab.Host, token: str) -> None:
    host.network()
    together(host, token, "brief", "", PORT="none")
    assert ended(host, "brief") == "1"

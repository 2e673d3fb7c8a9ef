"""The stack for a Swarm: what `docker stack deploy` makes of its file. No Docker is needed to tell."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

import lab

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

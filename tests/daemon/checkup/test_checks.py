"""All checks together: which there are, and what the admin API gives."""

from __future__ import annotations

import json

from gossipmesh.daemon.checkup.checks import CHECKS, checks_of, shown
from gossipmesh.daemon.checkup.facts import Facts, OwnFound, PolicyFound, State

NAMES = (
    *("join", "seeds", "address", "udp", "clock", "members", "agreement", "name", "listening", "files"),
    *("chain", "roots", "clones", "revocations", "quota"),
    *("policy", "policy-nodes", "rollout", "policy-refused"),
    *("services", "token-services", "calls", "ejected", "record", "warnings"),
)


def test_every_check_is_there_whatever_it_finds_under_its_own_name() -> None:
    assert [check.name for check in checks_of(Facts())] == list(NAMES)
    assert len(CHECKS) == len(NAMES)


def test_a_node_that_is_alone_and_well_has_nothing_to_complain_of() -> None:
    assert {check.state for check in checks_of(Facts())} == {State.OK}


def test_warnings_are_no_failures_and_what_is_shown_is_json() -> None:
    audit = shown(Facts(policy=PolicyFound(enforced=1, audit=True)))
    assert (audit["ok"], [each["name"] for each in audit["checks"] if each["state"] == "warn"]) == (
        True,
        ["policy"],
    )
    ill = shown(Facts(services=(OwnFound("hello", "unhealthy", "refused"),)))
    assert (ill["ok"], [each["name"] for each in ill["checks"] if each["state"] == "fail"]) == (
        False,
        ["services"],
    )
    assert json.loads(json.dumps(ill)) == ill
    assert {"node", "id", "version"} <= ill.keys()

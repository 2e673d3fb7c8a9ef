"""`gossipmesh reachability` on real daemons: a host that lets only TCP through, a frozen one, a dead one."""

from __future__ import annotations

import json
import signal
from typing import Any

from harness import Mesh, Node, eventually
from relay import RecordingRelay


def survey(node: Node) -> tuple[int, dict[str, dict[str, Any]]]:
    """Give the exit status, and what was found of each member by its name."""
    done = node.command("reachability", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode == 0) is document["ok"]
    return done.returncode, {each["name"]: each for each in document["members"]}


def test_all_that_answer_are_found_with_the_time_that_each_way_takes(mesh: Mesh) -> None:
    alice = mesh.node("alice").start().ready()
    mesh.node("bob", join=alice).start().ready()
    mesh.node("carol", join=alice).start().ready()
    eventually(lambda: list(alice.members().values()) == ["alive"] * 3)
    status, found = survey(alice)
    assert status == 0
    assert found.keys() == {"bob", "carol"}
    for each in found.values():
        assert (each["state"], each["verdict"], each["tcp_error"]) == ("alive", "ok", "")
        assert each["udp_ms"] > 0
        assert each["tcp_ms"] > 0


def test_a_frozen_daemon_does_not_answer_and_a_dead_one_is_as_it_is_believed(mesh: Mesh) -> None:
    alice = mesh.node("alice").start().ready()
    bob = mesh.node("bob", join=alice).start().ready()
    eventually(lambda: alice.members() == {"alice": "alive", "bob": "alive"})
    assert bob.process is not None
    bob.process.send_signal(signal.SIGSTOP)
    _, found = survey(alice)
    assert (found["bob"]["udp_ms"], found["bob"]["tcp_ms"]) == (None, None)
    # It may be believed dead by the end of the survey, and that is right.
    assert found["bob"]["verdict"] == ("ok" if found["bob"]["state"] == "dead" else "unreached")
    bob.kill()
    eventually(lambda: alice.members()["bob"] == "dead")
    status, found = survey(alice)
    assert (status, found["bob"]["verdict"], found["bob"]["state"]) == (0, "ok", "dead")
    assert "refused" in found["bob"]["tcp_error"]


def test_whom_no_datagram_reaches_is_found_by_tcp_alone(mesh: Mesh) -> None:
    alice = mesh.node("alice").start().ready()
    with RecordingRelay(datagrams=False) as relay:
        behind = mesh.node("behind", "--advertise", relay.address, join=alice).start()
        relay.forward_to(behind.listen("mesh"))
        behind.ready()
        eventually(lambda: alice.members().get("behind") == "alive")
        done = alice.command("reachability")
        assert done.returncode == 1
        assert "it answers by TCP only" in done.stdout
        assert "behind: open UDP" in done.stdout


def test_only_the_owner_may_have_everybody_dialled(mesh: Mesh) -> None:
    alice = mesh.node("alice").start().ready()
    assert alice.over_tcp("POST", "/v1/reachability")[0] == 405

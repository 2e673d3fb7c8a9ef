"""Daemons between which half of the path is missing, and what they say about it."""

from __future__ import annotations

import json
from typing import Any

from harness import Mesh, Node, eventually, unused_port
from relay import RecordingRelay


def warnings(node: Node) -> list[dict[str, Any]]:
    """Give what a daemon said about not being reached."""
    lines = [json.loads(line) for line in node.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "own.unreachable"]


def test_a_node_that_advertises_an_address_where_it_is_not_hears_so_from_its_seed(mesh: Mesh) -> None:
    seed = mesh.node("seed").start().ready()
    lost = mesh.node("lost", "--advertise", "127.0.0.1:1", join=seed).start()
    eventually(lambda: warnings(lost))
    detail = warnings(lost)[0]["detail"]
    assert "127.0.0.1:1" in detail
    assert "--advertise" in detail
    assert warnings(lost)[0]["level"] == "warning"
    assert warnings(seed) == []


def test_two_nodes_between_which_no_datagram_passes_are_a_mesh(mesh: Mesh) -> None:
    with RecordingRelay(datagrams=False) as relay:
        seed = mesh.node("seed").start().ready()
        behind = mesh.node("behind", "--advertise", relay.address, join=seed).start()
        relay.forward_to(behind.listen("mesh"))
        behind.ready()
        # Each probe here would be a step towards death, if it had no answer.
        eventually(lambda: seed.metric("gossipmesh_probe_rtt_seconds_count") > 6)
        assert seed.members() == behind.members() == {"seed": "alive", "behind": "alive"}
        assert '"now": "dead"' not in seed.log()
        handshakes = seed.metric("gossipmesh_handshakes_total")
        probes = seed.metric("gossipmesh_probe_rtt_seconds_count")
        eventually(lambda: seed.metric("gossipmesh_probe_rtt_seconds_count") > probes + 4)
        # They talk over kept channels.
        assert seed.metric("gossipmesh_handshakes_total") - handshakes <= 3
        assert behind.ask("status")["awareness"] == 0


def test_whoever_comes_back_at_the_same_address_with_a_new_key_leaves_no_ghost(mesh: Mesh) -> None:
    at = f"127.0.0.1:{unused_port()}"
    seed = mesh.node("seed").start().ready()
    former = mesh.node("former", "--bind", at, join=seed).start().ready()
    eventually(lambda: seed.members().get("former") == "alive")
    former.kill()
    mesh.node("present", "--bind", at, join=seed).start().ready()
    eventually(lambda: "former" not in seed.members())
    assert "its address now proves the key of" in seed.log()
    assert seed.members() == {"seed": "alive", "present": "alive"}

from __future__ import annotations

from collections.abc import Callable

import pytest

from gossipmesh.sim.scenarios.plan import Outcome

Play = Callable[..., Outcome]


@pytest.mark.parametrize("nodes", [2, 9])
def test_a_change_reaches_everybody(holds: Play, nodes: int) -> None:
    outcome = holds("update", nodes=nodes)
    assert len(outcome.curve) == outcome.knowers == nodes - 1
    assert outcome.figures["update_all_s"] == outcome.curve[-1] < 3


def test_a_mesh_gathers_from_nothing(holds: Play) -> None:
    outcome = holds("join-storm", nodes=9)
    assert outcome.coverage["joined"] == 9 * 8
    assert outcome.figures["join_complete_s"] < 8


def test_idle_counts_the_datagrams_of_each_node_and_tcp_beside_them(holds: Play) -> None:
    figures = holds("idle", nodes=5, duration_s=30.0).figures
    # A probe and its answer a second, in the mean over all nodes.
    assert figures["udp_packets_per_s"] == pytest.approx(2.0, rel=0.1)
    assert figures["packets_per_s"] > figures["udp_packets_per_s"]
    assert figures["bytes_per_s"] > figures["udp_bytes_per_s"] > 100

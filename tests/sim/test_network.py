"""Cuts, losses and latency."""

from __future__ import annotations

import random

from gossipmesh.sim.network import Network


def network(loss: float = 0.0) -> Network:
    return Network(random.Random(1), latency_s=(0.001, 0.002), loss=loss)


def test_a_cut_is_both_ways_and_a_one_way_cut_is_not_but_ends_tcp() -> None:
    net = network()
    net.cut(["a"], ["b", "c"])
    net.cut(["d"], ["a"], one_way=True)
    assert [net.delivers(*pair) for pair in ("ab", "ba", "ac", "bc", "da", "ad")] == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]
    assert [net.connects(*pair) for pair in ("ab", "ba", "bc", "da", "ad")] == [
        False,
        False,
        True,
        False,
        False,
    ]
    net.heal()
    assert net.delivers("a", "b")
    assert net.connects("d", "a")


def test_loss_is_the_share_of_datagrams_that_do_not_arrive() -> None:
    net = network(loss=0.25)
    arrived = sum(net.delivers("a", "b") for _ in range(4_000))
    assert 0.72 < arrived / 4_000 < 0.78


def test_latency_is_within_its_bounds() -> None:
    net = network()
    assert all(0.001 <= net.travel_s() <= 0.002 for _ in range(100))

"""What nodes send, counted and reckoned."""

from __future__ import annotations

from gossipmesh.sim.traffic import (
    HANDSHAKE_BYTES,
    KEPT_CHANNELS,
    RECORD_BYTES,
    SEGMENT,
    Traffic,
    count_channel,
)
from gossipmesh.sim.world import World


def test_a_message_on_a_channel_takes_as_many_segments_as_it_fills() -> None:
    traffic = Traffic()
    traffic.send(100)
    assert (traffic.stream_packets, traffic.stream_bytes) == (1, 100 + RECORD_BYTES)
    traffic.send(2 * SEGMENT)
    assert traffic.stream_packets == 1 + 3


def test_a_kept_channel_takes_no_handshake_and_few_are_kept() -> None:
    caller, callee = Traffic(), Traffic()
    count_channel(caller, callee, "a", (300, 400))
    first, second, third = HANDSHAKE_BYTES
    assert caller.stream_bytes == first + third + 300
    assert callee.stream_bytes == second + 400
    packets = caller.stream_packets
    count_channel(caller, callee, "a", (300, 400))
    assert caller.stream_packets == packets
    for name in ("b", "c", "d"):
        count_channel(caller, callee, name, (300, 400))
    assert len(caller.kept) == KEPT_CHANNELS
    assert list(caller.kept) == ["c", "d"]


def test_datagrams_and_exchanges_of_a_world_add_up() -> None:
    world = World(1)
    world.populate(3)
    seen: list[int] = []
    world.network.tap = lambda source, target, payload: seen.append(len(payload))
    before = {name: (each.datagrams, each.datagram_bytes) for name, each in world.traffic.items()}
    world.run(30)
    each = world.traffic
    assert sum(each[name].datagrams - before[name][0] for name in each) == len(seen)
    assert sum(each[name].datagram_bytes - before[name][1] for name in each) == sum(seen)
    for name, node in world.nodes.items():
        traffic = each[name]
        assert (node.sent, node.sent_bytes, node.exchanges) == (
            traffic.datagrams,
            traffic.datagram_bytes,
            traffic.exchanges,
        )
        assert traffic.packets > traffic.datagrams
        assert traffic.total_bytes > traffic.datagram_bytes

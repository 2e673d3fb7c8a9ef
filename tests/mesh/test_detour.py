"""Gossip over a kept channel: one exchange at a time, what waits is bounded, UDP is tried again."""

from __future__ import annotations

import pytest
from attrs import evolve

from gossipmesh.errors import LocalProtocolError
from gossipmesh.membership.members import Member
from gossipmesh.membership.messages import Ack, Message, Nack, Ping, RecordNews
from gossipmesh.mesh.detour import MAX_WAITING, RETRY_UDP_S, Detour
from gossipmesh.mesh.exchanges import MAX_OPEN_CARRYING, Exchanges, Kind, decode_carried_untrusted
from gossipmesh.mesh.outputs import Exchange
from gossipmesh.model import NodeId
from gossipmesh.sim.world import World

ROOT = bytes(16)


def blocked() -> Member:
    """Give a member as somebody believes in it that none of its datagrams reach."""
    world = World(1)
    world.add("n0")
    world.add("n1", seeds=["n0"])
    world.run_until(world.complete, within=5)
    (member,) = world.nodes["n0"].running.members.values()
    return evolve(member, udp_blocked=True)


BOB = blocked()


def carried(exchange: Exchange) -> list[list[Message]]:
    return decode_carried_untrusted(exchange.request, Kind.CARRY)


def test_messages_go_at_once_where_nothing_is_under_way() -> None:
    detour = Detour(Exchanges(), timeout_s=1.0)
    (sent,) = detour.send(BOB, (Ack(1, ROOT), Nack(2)), now=0.0)
    assert carried(sent) == [[Ack(1, ROOT), Nack(2)]]
    assert (sent.target, sent.addresses, sent.timeout_s, sent.keep) == (
        BOB.id,
        BOB.record.addresses,
        1.0,
        True,
    )


def test_what_comes_meanwhile_waits_and_goes_together_in_the_next_exchange() -> None:
    detour = Detour(Exchanges(), timeout_s=1.0)
    detour.send(BOB, (Nack(0),), now=0.0)
    for seq in range(1, MAX_WAITING + 3):
        assert detour.send(BOB, (Nack(seq),), now=0.1) == []
    (following,) = detour.answered(BOB, now=0.2)
    assert carried(following) == [[Nack(seq)] for seq in range(1, MAX_WAITING + 1)]
    assert detour.answered(BOB, now=0.3) == []


def test_with_a_channel_that_fails_what_waited_is_lost_as_datagrams_are() -> None:
    exchanges = Exchanges()
    detour = Detour(exchanges, timeout_s=1.0)
    (first,) = detour.send(BOB, (Nack(0),), now=0.0)
    detour.send(BOB, (Nack(1),), now=0.1)
    exchanges.end(first.number)
    detour.failed(BOB.id)
    (after,) = detour.send(BOB, (Nack(2),), now=0.2)
    assert carried(after) == [[Nack(2)]]


def test_only_so_many_members_are_talked_to_at_once_and_probes_have_their_room() -> None:
    detour = Detour(Exchanges(), timeout_s=1.0)
    others = [evolve(BOB, id=NodeId(bytes([number]) * 32)) for number in range(2 * MAX_OPEN_CARRYING)]
    sent = [exchange for other in others for exchange in detour.send(other, (Nack(0),), now=0.0)]
    assert [exchange.target for exchange in sent] == [other.id for other in others[:MAX_OPEN_CARRYING]]
    # The rest was dropped, not kept for ever.
    assert detour.answered(others[-1], now=0.1) == []


def test_a_ping_tries_udp_again_every_half_minute_and_goes_that_way_only() -> None:
    detour = Detour(Exchanges(), timeout_s=1.0)
    ping, news = Ping(1, BOB.id, ROOT), RecordNews(b"record")
    tries = [now for now in range(100) if detour.tries_udp(BOB, (ping, news), now=float(now)) is ping]
    assert tries == [30, 60, 90]
    assert detour.tries_udp(BOB, (news,), now=99.0 + RETRY_UDP_S) is None
    assert detour.tries_udp(BOB, (Ping(1, NodeId(bytes(32)), ROOT),), now=99.0 + RETRY_UDP_S) is None


def test_a_member_that_is_forgotten_begins_anew() -> None:
    detour = Detour(Exchanges(), timeout_s=1.0)
    detour.send(BOB, (Nack(0),), now=0.0)
    detour.forget(BOB.id)
    detour.failed(BOB.id)
    assert detour.answered(BOB, now=0.0) == []
    (sent,) = detour.send(BOB, (Nack(1),), now=50.0)
    assert carried(sent) == [[Nack(1)]]
    assert detour.tries_udp(BOB, (Ping(1, BOB.id, ROOT),), now=51.0) is None


def test_what_would_not_fit_a_datagram_is_an_error_here_too() -> None:
    with pytest.raises(LocalProtocolError, match="do not fit"):
        Detour(Exchanges(), timeout_s=1.0).send(BOB, (RecordNews(bytes(1_100)),) * 2, now=0.0)

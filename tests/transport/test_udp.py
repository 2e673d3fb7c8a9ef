"""The gossip socket, on the loopback."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from gossipmesh.channel.datagram import MAX_DATAGRAM
from gossipmesh.model import Address
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.udp import MAX_STRANGERS, Datagram, UdpSocket

ANY = Address("127.0.0.1", 0)


async def started(nursery: trio.Nursery, bind: Address = ANY) -> tuple[UdpSocket, Address, Counters]:
    counters = Counters()
    udp = UdpSocket(bind, count=counters.count)
    address = await nursery.start(udp.run)
    return udp, address, counters


async def received(udp: UdpSocket, wanted: int) -> list[Datagram]:
    datagrams: list[Datagram] = []
    while len(datagrams) < wanted:
        await udp.wait()
        datagrams += udp.take_all()
    return datagrams


async def test_what_one_sends_the_other_receives(nursery: trio.Nursery) -> None:
    alice, alice_at, _ = await started(nursery)
    bob, bob_at, _ = await started(nursery)
    alice.send(b"hello", bob_at)
    assert await received(bob, 1) == [Datagram(b"hello", alice_at)]
    bob.send(b"", alice_at)
    assert await received(alice, 1) == [Datagram(b"", bob_at)]


async def test_a_batch_arrives_whole_and_in_order(nursery: trio.Nursery) -> None:
    alice, _, _ = await started(nursery)
    bob, bob_at, counters = await started(nursery)
    sent = [b"%d" % number for number in range(200)]
    for payload in sent:
        alice.send(payload, bob_at)
    assert [datagram.payload for datagram in await received(bob, len(sent))] == sent
    assert counters.values == {}


async def test_of_strangers_few_are_kept_and_of_others_all(nursery: trio.Nursery) -> None:
    alice, _, _ = await started(nursery)
    bob, bob_at, counters = await started(nursery)
    bob.knows = lambda payload: payload.startswith(b"known")
    for number in range(MAX_STRANGERS + 36):
        alice.send(b"junk %d" % number, bob_at)
        alice.send(b"known %d" % number, bob_at)
    await trio.testing.wait_all_tasks_blocked(0.01)
    payloads = [datagram.payload for datagram in bob.take_all()]
    assert sum(payload.startswith(b"known") for payload in payloads) == MAX_STRANGERS + 36
    assert sum(payload.startswith(b"junk") for payload in payloads) == MAX_STRANGERS
    assert counters.values == {"udp.strangers": 36}
    alice.send(b"junk again", bob_at)
    assert [datagram.payload for datagram in await received(bob, 1)] == [b"junk again"]


async def test_a_datagram_that_is_too_long_is_dropped_and_counted(nursery: trio.Nursery) -> None:
    alice, _, _ = await started(nursery)
    bob, bob_at, counters = await started(nursery)
    alice.send(bytes(MAX_DATAGRAM + 1), bob_at)
    alice.send(bytes(MAX_DATAGRAM), bob_at)
    assert len((await received(bob, 1))[0].payload) == MAX_DATAGRAM
    assert counters.values == {"udp.oversized": 1}


async def test_of_a_flood_few_are_taken_and_what_others_sent_behind_it_is_among_them(
    nursery: trio.Nursery,
) -> None:
    counters = Counters()
    bob = UdpSocket(ANY, count=counters.count, most=8)
    bob_at = await nursery.start(bob.run)
    alice, _, _ = await started(nursery)
    other, _, _ = await started(nursery, Address("127.0.0.2", 0))
    for _ in range(12):
        alice.send(b"junk", bob_at)
    other.send(b"answer", bob_at)
    taken = [datagram.payload for datagram in bob.take_all()]
    assert sorted(taken) == [b"answer", *[b"junk"] * 7]
    assert counters.values == {"udp.inbox-full": 5}


async def test_what_the_system_holds_comes_along_without_a_turn_of_the_loop(nursery: trio.Nursery) -> None:
    bob, bob_at, _ = await started(nursery)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alice:
        alice.sendto(b"an answer", (bob_at.host, bob_at.port))
        assert [datagram.payload for datagram in bob.take_all()] == [b"an answer"]


async def test_what_cannot_be_sent_is_lost_without_a_word_to_the_caller(nursery: trio.Nursery) -> None:
    alice, _, counters = await started(nursery)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = Address(*closed.getsockname())
    for _ in range(3):
        alice.send(b"anybody?", nobody)
    alice.send(b"wrong family", Address("::1", 9))
    alice.send(bytes(70_000), nobody)
    assert counters.values == {"udp.send-failed": 2}


async def test_a_socket_that_stopped_sends_and_gives_nothing(nursery: trio.Nursery) -> None:
    udp = UdpSocket(ANY, count=Counters().count)
    async with trio.open_nursery() as short:
        address = await short.start(udp.run)
        short.cancel_scope.cancel()
    udp.send(b"late", address)
    assert udp.take_all() == []


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_a_socket_for_both_families_talks_to_both(nursery: trio.Nursery) -> None:
    try:
        both, bound, _ = await started(nursery, Address("::", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    alice, alice_at, _ = await started(nursery)
    alice.send(b"hello", Address("127.0.0.1", bound.port))
    assert await received(both, 1) == [Datagram(b"hello", alice_at)]
    both.send(b"hello back", alice_at)
    assert (await received(alice, 1))[0].payload == b"hello back"

"""Connections on the reactor, with plain sockets at the other end."""

from __future__ import annotations

import errno
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.transport.connecting import Accepting, Connecting
from gossipmesh.transport.link import RECEIVE_SIZE, Link
from gossipmesh.transport.reactor import Reactor


@define
class Owner:
    """Notes what it is told."""

    told: list[str] = field(factory=list)
    received: bytearray = field(factory=bytearray)

    def bytes_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> None:
        self.told.append("eof")

    def broken(self) -> None:
        self.told.append("broken")

    def drained(self) -> None:
        self.told.append("drained")

    def hung_up(self) -> None:
        self.told.append("hung up")


@define
class Pair:
    reactor: Reactor
    link: Link
    owner: Owner
    other: trio.SocketStream


@asynccontextmanager
async def reactor() -> AsyncIterator[Reactor]:
    running = Reactor()
    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        yield running
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    async with reactor() as running:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            sock = socket.create_connection(listener.socket.getsockname()[:2])
            other = await listener.accept()
        owner = Owner()
        link = Link(running, sock, owner)
        async with other:
            yield Pair(running, link, owner, other)
        link.close()


async def read_all(stream: trio.SocketStream) -> bytes:
    received = bytearray()
    async for data in stream:
        received += data
    return bytes(received)


async def test_what_is_to_be_followed_by_more_can_be_acknowledged_at_once() -> None:
    async with pair() as each:
        sock = each.link._sock
        for word in (b"one", b"two"):
            await each.other.send_all(word)
            while each.owner.received[-3:] != word:
                await wait_all_tasks_blocked()
            each.link.send(word)
        # Who converses waits with acknowledging until there is something to send along.
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        each.link.acknowledge()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        each.link.close()
        each.link.acknowledge()


async def test_bytes_go_both_ways_and_each_direction_ends_by_itself() -> None:
    async with pair() as it:
        await it.other.send_all(b"hello")
        await it.other.send_eof()
        await wait_all_tasks_blocked()
        assert (bytes(it.owner.received), it.owner.told) == (b"hello", ["eof"])
        it.link.send(b"world")
        it.link.send_eof()
        assert await read_all(it.other) == b"world"


async def test_what_is_not_taken_waits_in_order_and_the_end_behind_it() -> None:
    sent = bytes(range(256)) * 40_000
    async with pair() as it:
        for start in range(0, len(sent), 1_000_000):
            it.link.send(sent[start : start + 1_000_000])
        it.link.send_eof()
        assert it.link.unsent > 0
        assert await read_all(it.other) == sent
        assert it.link.unsent == 0
        assert it.owner.told == ["drained"]


async def test_a_paused_link_leaves_bytes_with_their_sender_but_tells_that_it_hung_up() -> None:
    async with pair() as it:
        it.link.pause()
        await it.other.send_all(b"unread")
        await it.other.aclose()
        await wait_all_tasks_blocked()
        assert (bytes(it.owner.received), it.owner.told) == (b"", ["hung up"])
        it.link.resume()
        await wait_all_tasks_blocked()
        assert (bytes(it.owner.received), it.owner.told) == (b"unread", ["hung up", "eof"])


async def test_a_connection_that_is_reset_while_paused_is_told_once_and_costs_no_turns() -> None:
    async with pair() as it:
        it.link.pause()
        reset(it.other)
        await wait_all_tasks_blocked()
        assert it.owner.told == ["hung up"]
        it.link.resume()
        await wait_all_tasks_blocked()
        assert it.owner.told == ["hung up", "broken"]
        assert it.link.closed


async def test_a_lost_connection_is_told_once_and_never_from_within_a_call() -> None:
    async with pair() as it:
        reset(it.other)
        await wait_all_tasks_blocked()
        assert it.owner.told == ["broken"]
        it.link.send(b"nobody reads this")
        it.link.close()
        await wait_all_tasks_blocked()
        assert it.owner.told == ["broken"]


async def test_sending_into_a_lost_connection_is_told_in_a_later_turn() -> None:
    async with pair() as it:
        it.link.pause()
        reset(it.other)
        it.link.send(b"a")
        assert it.owner.told == []
        await wait_all_tasks_blocked()
        assert it.owner.told[-1] == "broken"


async def test_what_the_other_end_said_before_it_stopped_reading_is_still_heard() -> None:
    async with pair() as it:
        it.link.send(bytes(10_000_000))
        assert it.link.unsent > 0
        os.write(it.other.socket.fileno(), b"no more of this")
        # With bytes unread, this resets the connection; both are found in one turn.
        it.other.socket.close()
        await wait_all_tasks_blocked()
        assert bytes(it.owner.received) == b"no more of this"
        assert it.owner.told == ["broken"]
        assert it.link.closed


async def test_sending_on_into_a_lost_connection_does_not_hide_what_came_before() -> None:
    async with pair() as it:
        os.write(it.other.socket.fileno(), b"goodbye")
        reset(it.other)
        for _ in range(3):
            it.link.send(b"a")
        await wait_all_tasks_blocked()
        assert (bytes(it.owner.received), it.owner.told) == (b"goodbye", ["broken"])


async def test_a_link_that_is_closed_with_a_reset_is_seen_as_broken_off() -> None:
    async with pair() as it:
        it.link.close(reset=True)
        with pytest.raises(trio.BrokenResourceError):
            await it.other.receive_some()


async def test_whether_an_idle_connection_is_silent_can_be_asked_without_reading_it() -> None:
    async with pair() as it:
        assert it.link.is_silent()
        it.link.pause()
        await it.other.send_all(b"x")
        assert not it.link.is_silent()
        it.link.resume()
        await wait_all_tasks_blocked()
        assert it.owner.received == b"x"
        it.link.pause()
        await it.other.aclose()
        assert not it.link.is_silent()


async def test_another_owner_is_told_from_its_adoption_on() -> None:
    async with pair() as it:
        heir = Owner()
        it.link.adopt(heir)
        await it.other.send_all(b"x" * (2 * RECEIVE_SIZE))
        await wait_all_tasks_blocked()
        assert len(heir.received) == 2 * RECEIVE_SIZE
        assert it.owner.received == b""


async def test_that_a_link_broke_is_told_to_whoever_owns_it_by_then() -> None:
    async with pair() as it:
        heir = Owner()
        it.link.pause()
        reset(it.other)
        await wait_all_tasks_blocked()

        def break_and_hand_over() -> None:
            it.link.send_eof()
            it.link.adopt(heir)

        it.reactor.defer(break_and_hand_over)
        await wait_all_tasks_blocked()
        assert (it.owner.told, heir.told) == (["hung up"], ["broken"])


async def test_connecting_gives_a_socket_or_says_why_not() -> None:
    results: list[socket.socket | OSError] = []
    async with reactor() as running:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        address = listener.socket.getsockname()[:2]
        Connecting(running, address, socket.AF_INET, 1.0, results.append)
        assert results == []
        await wait_all_tasks_blocked()
        assert isinstance(results[0], socket.socket)
        results[0].close()
        await listener.aclose()
        Connecting(running, address, socket.AF_INET, 1.0, results.append)
        await wait_all_tasks_blocked()
        assert isinstance(results[1], OSError)
        assert results[1].errno == errno.ECONNREFUSED
        Connecting(running, address, socket.AF_INET, 1.0, results.append).cancel()
        await wait_all_tasks_blocked()
        assert len(results) == 2


async def test_connecting_that_is_cancelled_after_it_failed_tells_nobody() -> None:
    results: list[socket.socket | OSError] = []
    async with reactor() as running:
        # Refused at once, but told in a turn of its own.
        address = ("255.255.255.255", 1)
        Connecting(running, address, socket.AF_INET, 1.0, results.append)
        Connecting(running, address, socket.AF_INET, 1.0, results.append).cancel()
        await wait_all_tasks_blocked()
        assert [isinstance(result, OSError) for result in results] == [True]


async def test_connecting_takes_no_longer_than_it_may(autojump_clock: MockClock) -> None:
    results: list[socket.socket | OSError] = []
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        async with reactor() as running:
            # A backlog that is full swallows what comes next.
            address = full.getsockname()
            held = [socket.create_connection(address)]
            connecting = [Connecting(running, address, socket.AF_INET, 2.0, results.append) for _ in range(3)]
            await trio.sleep(3)
            assert connecting
            assert TimeoutError in {type(result) for result in results}
            for each in (*held, *results):
                if isinstance(each, socket.socket):
                    each.close()


async def test_accepting_takes_all_who_come_and_nobody_once_it_is_closed() -> None:
    accepted: list[socket.socket] = []
    async with reactor() as running:
        sock = socket.create_server(("127.0.0.1", 0))
        address = sock.getsockname()
        accepting = Accepting(running, sock, accepted.append)
        others = [socket.create_connection(address) for _ in range(40)]
        await wait_all_tasks_blocked()
        assert len(accepted) == 40
        accepting.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for each in (*accepted, *others):
            each.close()


def reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.socket.close()


@pytest.mark.parametrize(
    "sizes", [(2, 5), (2, 100_000), (100_000, 2, 0, 40_000), (70_000,) * 80, (4 << 20, 1, 4 << 20)]
)
async def test_parts_arrive_as_one_however_little_is_taken_at_once(sizes: tuple[int, ...]) -> None:
    async with pair() as it:
        parts = [bytes([65 + at]) * size for at, size in enumerate(sizes)]
        it.link.send_parts(list(parts))
        it.link.send(b"behind")
        it.link.send_eof()
        assert await read_all(it.other) == b"".join(parts) + b"behind"
        await wait_all_tasks_blocked()
        assert it.link.unsent == 0


async def test_parts_wait_behind_what_waits_already() -> None:
    async with pair() as it:
        it.link.send(bytes(8 << 20))
        assert it.link.unsent > 0
        it.link.send_parts([b"x" * 50_000, b"y" * 50_000])
        it.link.send_eof()
        assert (await read_all(it.other))[8 << 20 :] == b"x" * 50_000 + b"y" * 50_000


async def test_what_is_read_at_once_is_no_more_than_was_asked_for() -> None:
    async with pair() as it:
        it.link.pause()  # Else the link could read it before we do.
        await it.other.send_all(b"0123456789")
        assert it.link.receive_more(4) == b"0123"
        assert it.link.receive_more(100) == b"456789"
        assert it.link.receive_more(100) == b""
        it.link.resume()
        await it.other.send_all(b"told")
        await wait_all_tasks_blocked()
        await it.other.aclose()
        while "eof" not in it.owner.told:
            await wait_all_tasks_blocked()
        assert it.owner.received == b"told"


async def test_bytes_that_wait_one_by_one_cost_no_more_than_others() -> None:
    async with pair() as it:
        it.link.send(bytes(8 << 20))
        waiting = it.link.unsent
        assert waiting > 0
        tracemalloc.start()
        for at in range(100_000):
            it.link.send(b"%c" % (at % 256))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size < 300_000
        assert it.link.unsent == waiting + 100_000
        it.link.send_eof()
        assert (await read_all(it.other))[8 << 20 :] == bytes(at % 256 for at in range(100_000))

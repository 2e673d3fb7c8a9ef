"""Questions about names outside the mesh, over real sockets, with resolvers that a test plays itself."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossipmesh.daemon.ports import pick_mesh_address
from gossipmesh.discovery.dns.answers import Forward
from gossipmesh.discovery.dns.forward import MAX_IN_FLIGHT, MAX_WAITING, Forwarder
from gossipmesh.discovery.dns.messages import read_query_untrusted
from gossipmesh.model import Address

Reply = Callable[[dns.message.Message, str], dns.message.Message | list[dns.message.Message] | None]


def question(name: str = "www.example.com", ident: int = 7) -> Forward:
    query = dns.message.make_query(name, "A", use_edns=0, id=ident)
    return Forward(read_query_untrusted(query.to_wire()), lambda _: None)


def reply_to(query: dns.message.Message, *texts: str, flags: int = 0, rcode: int = 0) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= flags
    reply.set_rcode(dns.rcode.Rcode(rcode))
    if texts:
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *texts))
    return reply


class Resolver:
    """Answers by UDP and TCP what ``reply(query, "udp" or "tcp")`` gives."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.asked: list[str] = []

    async def run(self, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            address = pick_mesh_address(Address("127.0.0.1", 0))
            await udp.bind((address.host, address.port))
            (tcp,) = await trio.open_tcp_listeners(address.port, host=address.host)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._serve, [tcp])
                task_status.started(address)
                while True:
                    payload, source = await udp.recvfrom(4_096)
                    for raw in self._answers(payload, "udp"):
                        await udp.sendto(raw, source)

    async def _serve(self, stream: trio.SocketStream) -> None:
        payload = await stream.receive_some(4_096)
        (raw,) = self._answers(payload[2:], "tcp")
        for piece in (len(raw).to_bytes(2)[:1], len(raw).to_bytes(2)[1:] + raw[:5], raw[5:]):
            await stream.send_all(piece)
        await stream.aclose()

    def _answers(self, payload: bytes, way: str) -> list[bytes]:
        query = dns.message.from_wire(payload)
        self.asked.append(way)
        replies = self._reply(query, way)
        given = replies if isinstance(replies, list) else [replies]
        return [reply.to_wire(max_size=65_535) for reply in given if reply is not None]


class Caller:
    """Asks, and keeps what is delivered."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._give, self._take = trio.open_memory_channel[bytes](1_000)

    def ask(self, forward: Forward, *, tcp: bool = False) -> None:
        self._forwarder.ask(forward, self._give.send_nowait, tcp=tcp)

    async def answer(self) -> dns.message.Message:
        return dns.message.from_wire(await self._take.receive())


@asynccontextmanager
async def asking(*resolvers: Resolver | Address) -> AsyncIterator[Caller]:
    async with trio.open_nursery() as nursery:
        addresses = [
            each if isinstance(each, Address) else await nursery.start(each.run) for each in resolvers
        ]
        forwarder = Forwarder(tuple(addresses), entropy=os.urandom)
        await nursery.start(forwarder.run)
        yield Caller(forwarder)
        nursery.cancel_scope.cancel()


@pytest.fixture
def nobody() -> Address:
    """Where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return Address(*sock.getsockname())


def text_of(message: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in message.answer for rdata in rrset]


async def test_an_answer_comes_back_as_if_the_caller_had_asked_himself() -> None:
    async with asking(Resolver(lambda query, _: reply_to(query, "10.9.9.9"))) as caller:
        caller.ask(question("WWW.example.com", 77))
        answer = await caller.answer()
        assert (answer.id, str(answer.question[0].name), text_of(answer)) == (
            77,
            "WWW.example.com.",
            ["10.9.9.9"],
        )


async def test_a_cut_answer_is_fetched_by_tcp_and_cut_again_for_who_came_by_udp() -> None:
    many = [f"10.9.{number // 256}.{number % 256}" for number in range(400)]
    resolver = Resolver(
        lambda q, way: reply_to(q, *many) if way == "tcp" else reply_to(q, flags=dns.flags.TC)
    )
    async with asking(resolver) as caller:
        caller.ask(question(), tcp=True)
        assert len(text_of(await caller.answer())) == 400
        assert resolver.asked == ["udp", "tcp"]
        caller.ask(question())
        assert (await caller.answer()).flags & dns.flags.TC


async def test_who_changes_the_case_is_asked_again_by_tcp() -> None:
    def lowered(query: dns.message.Message, way: str) -> dns.message.Message:
        reply = reply_to(query, "10.9.9.9")
        name = str(query.question[0].name)
        reply.question[0].name = dns.name.from_text(name if way == "tcp" else name.swapcase())
        return reply

    resolver = Resolver(lowered)
    async with asking(resolver) as caller:
        caller.ask(question())
        assert text_of(await caller.answer()) == ["10.9.9.9"]
        assert resolver.asked == ["udp", "tcp"]


async def test_the_next_resolver_is_asked_where_one_is_not_there_or_in_trouble(nobody: Address) -> None:
    troubled = Resolver(lambda query, _: reply_to(query, rcode=dns.rcode.SERVFAIL))
    good = Resolver(lambda query, _: reply_to(query, "10.9.9.9"))
    async with asking(nobody, troubled, good) as caller:
        caller.ask(question())
        assert text_of(await caller.answer()) == ["10.9.9.9"]
        assert (len(troubled.asked), len(good.asked)) == (1, 1)


async def test_with_nobody_to_ask_the_caller_is_told_so_at_once(nobody: Address) -> None:
    async with asking(nobody) as caller:
        caller.ask(question(ident=5))
        answer = await caller.answer()
        assert (answer.id, answer.rcode()) == (5, dns.rcode.SERVFAIL)


async def test_forged_packets_are_not_listened_to() -> None:
    def forged_first(query: dns.message.Message, _: str) -> list[dns.message.Message]:
        forged = reply_to(query, "6.6.6.6")
        forged.id ^= 1
        return [forged, reply_to(query, "10.9.9.9")]

    async with asking(Resolver(forged_first)) as caller:
        caller.ask(question())
        assert text_of(await caller.answer()) == ["10.9.9.9"]


async def test_equal_questions_under_way_are_asked_once_so_that_a_loop_does_not_feed_itself() -> None:
    """The resolver sends every question back to us, in a packet of its own."""
    callers: list[Caller] = []

    def looping(query: dns.message.Message, _: str) -> None:
        callers[0].ask(Forward(read_query_untrusted(query.to_wire()), lambda _: None))

    resolver = Resolver(looping)
    async with asking(resolver) as caller:
        callers.append(caller)
        caller.ask(question())
        while not resolver.asked:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        assert resolver.asked == ["udp"]


async def test_what_is_under_way_is_bounded() -> None:
    async with asking(Resolver(lambda _query, _way: None)) as caller:
        for number in range(MAX_WAITING + 1):
            caller.ask(question(ident=number))
        assert (await caller.answer()).id == MAX_WAITING
        for number in range(MAX_IN_FLIGHT):
            caller.ask(question(f"x{number}.example.com", ident=1_000 + number))
        answer = await caller.answer()
        assert (answer.id, answer.rcode()) == (1_000 + MAX_IN_FLIGHT - 1, dns.rcode.SERVFAIL)


async def test_a_resolver_that_does_not_know_edns_is_asked_again_without_it() -> None:
    def old(query: dns.message.Message, _: str) -> dns.message.Message:
        if query.edns < 0:
            return reply_to(query, "10.9.9.9")
        bare = dns.message.QueryMessage(id=query.id)
        bare.flags |= dns.flags.QR
        bare.set_rcode(dns.rcode.FORMERR)
        return bare

    resolver = Resolver(old)
    async with asking(resolver) as caller:
        caller.ask(question())
        assert text_of(await caller.answer()) == ["10.9.9.9"]
        assert resolver.asked == ["udp", "udp"]

"""The server on real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from gossipmesh.discovery.dns.forward import Forwarder
from gossipmesh.discovery.dns.server import MAX_CONNECTIONS, DnsServer
from gossipmesh.model import Address
from gossipmesh.transport.reactor import Reactor


def free_port() -> Address:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return Address(*sock.getsockname())


@asynccontextmanager
async def serving(town: Any, *, forwarder: Forwarder | None = None) -> AsyncIterator[Address]:
    reactor = Reactor()
    server = DnsServer(
        free_port(),
        reactor,
        town.answers(recursion=forwarder is not None),
        snapshot=lambda: town.snapshot,
        picture=lambda: town.picture,
        forwarder=forwarder,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        yield await nursery.start(server.run)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def udp_to(address: Address) -> AsyncIterator[trio.socket.SocketType]:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.connect((address.host, address.port))
        yield sock


async def asked_by_tcp(stream: trio.SocketStream) -> dns.message.Message:
    """Ask by TCP; give the answer."""
    raw = question()
    await stream.send_all(len(raw).to_bytes(2) + raw)
    received = b""
    while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
        chunk = await stream.receive_some(65_536)
        assert chunk
        received += chunk
    return dns.message.from_wire(received[2:])


def question(name: str = "hello.mesh", rdtype: str = "A", **keywords: Any) -> bytes:
    return bytes(dns.message.make_query(name, rdtype, **keywords).to_wire())


async def test_every_question_of_a_burst_is_answered_from_memory_or_not(town: Any) -> None:
    async with serving(town) as address, udp_to(address) as sock:
        for ident in range(200):
            await sock.send(question("HELLO.mesh" if ident % 2 else "hello.mesh", id=ident))
        seen = {dns.message.from_wire(await sock.recv(2_000)).id for _ in range(200)}
        assert seen == set(range(200))


async def test_junk_is_answered_or_dropped_and_the_next_question_answered(town: Any) -> None:
    async with serving(town) as address, udp_to(address) as sock:
        for payload in (b"", b"x", bytes(11), b"\xff" * 2_000, question(flags=dns.flags.QR), question()[:-1]):
            await sock.send(payload)
        await sock.send(question(id=9))
        codes = []
        while True:
            message = dns.message.from_wire(await sock.recv(2_000))
            if message.id == 9:
                break
            codes.append(message.rcode())
        assert codes == [dns.rcode.FORMERR]
        assert message.answer


async def test_many_records_come_by_tcp(town: Any) -> None:
    town.many(200)
    async with serving(town) as address:
        async with udp_to(address) as sock:
            await sock.send(question())
            assert dns.message.from_wire(await sock.recv(2_000)).flags & dns.flags.TC
        stream = await trio.open_tcp_stream(address.host, address.port)
        async with stream:
            for _ in range(2):
                assert len((await asked_by_tcp(stream)).answer[0]) == 200


async def test_for_one_connection_too_many_the_longest_idle_goes(town: Any) -> None:
    async with serving(town) as address:
        streams = [await trio.open_tcp_stream(address.host, address.port) for _ in range(MAX_CONNECTIONS)]
        # The last one, so that all are there; then the first, so that it is not the longest idle.
        for at in (-1, 0):
            assert await asked_by_tcp(streams[at])
        streams.append(await trio.open_tcp_stream(address.host, address.port))
        assert await asked_by_tcp(streams[-1])
        assert await streams[1].receive_some(1) == b""
        assert await asked_by_tcp(streams[0])
        assert await asked_by_tcp(streams[2])
        for stream in streams:
            await stream.aclose()


async def test_a_forwarder_that_fails_is_an_answer_too(town: Any) -> None:
    forwarder = Forwarder((Address("127.0.0.1", 9),), entropy=bytes)
    async with serving(town, forwarder=forwarder) as address, udp_to(address) as sock:
        await sock.send(question("example.com"))
        message = dns.message.from_wire(await sock.recv(2_000))
        assert message.rcode() == dns.rcode.SERVFAIL
        assert message.flags & dns.flags.RA


async def test_an_address_that_is_taken_is_an_error_of_the_system(town: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = DnsServer(
            Address(*taken.getsockname()),
            Reactor(),
            town.answers(),
            snapshot=lambda: town.snapshot,
            picture=lambda: town.picture,
            forwarder=None,
        )
        with pytest.raises(OSError, match="in use"):
            await server.run()

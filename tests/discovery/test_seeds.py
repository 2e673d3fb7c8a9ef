"""Seeds are resolved again and again; a name that fails is a line, never an exception."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.abc
import trio.testing

from gossipmesh.discovery.seeds import MAX_LOOKUPS, QUICK_S, SLOW_S, Resolved, Resolving, Seeds
from gossipmesh.model import Address

ONE, TWO = Address("10.0.0.1", 7946), Address("10.0.0.2", 7946)


class Resolver(trio.abc.HostnameResolver):
    """A name server in memory, whose answers a test changes as it goes; of some names it says nothing at all."""

    def __init__(self, names: dict[str, list[str]], silent: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.silent = silent
        self.waiting = 0
        trio.socket.set_custom_hostname_resolver(self)

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # type: ignore[no-untyped-def,override]
        name = host.decode() if isinstance(host, bytes) else host
        if name in self.silent:
            self.waiting += 1
            await trio.sleep_forever()
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (ip, port)) for ip in self.names[name]]

    async def getnameinfo(self, sockaddr, flags):  # type: ignore[no-untyped-def,override]
        raise NotImplementedError


@asynccontextmanager
async def resolving(*hosts: str) -> AsyncIterator[Resolving]:
    async with trio.open_nursery() as nursery:
        running = Resolving(tuple((host, 7946) for host in hosts))
        nursery.start_soon(running.run)
        yield running
        nursery.cancel_scope.cancel()


def test_an_ip_literal_needs_no_resolver() -> None:
    seeds = Seeds((("127.0.0.1", 7946), ("::1", 1), ("127.0.0.1", 7946)))
    assert seeds.resolved == Resolved((Address("127.0.0.1", 7946), Address("::1", 1)), ())
    assert seeds.complete


def test_addresses_come_in_the_order_of_the_seeds_whichever_was_found_first() -> None:
    seeds = Seeds((("web", 7946), ("db", 7946)))
    seeds.note(("db", 7946), (TWO,))
    assert not seeds.complete
    assert seeds.resolved == Resolved((TWO,), ())
    seeds.note(("web", 7946), (ONE, TWO))
    assert seeds.complete
    assert seeds.resolved == Resolved((ONE, TWO), ())


async def test_all_addresses_of_all_names_are_used_once_and_a_failure_is_a_line() -> None:
    Resolver({"web": ["10.0.0.1", "10.0.0.2"], "db": ["10.0.0.2"]})
    async with resolving("web", "db", "gone") as running:
        await running.first_answers()
        assert running.resolved.addresses == (ONE, TWO)
        assert len(running.resolved.problems) == 1
        assert "gone" in running.resolved.problems[0]


async def test_a_name_without_an_answer_holds_up_no_other() -> None:
    Resolver({"web": ["10.0.0.1"]}, frozenset({"dead"}))
    async with resolving("dead", "web", "10.0.0.2") as running:
        delivered: list[Resolved] = []
        running.hand_to(delivered.append)
        assert delivered == [Resolved((TWO,), ())]
        await trio.testing.wait_all_tasks_blocked()
        assert delivered[-1] == Resolved((ONE, TWO), ())


async def test_look_ups_under_way_are_bounded() -> None:
    dead = [f"dead-{number}" for number in range(MAX_LOOKUPS + 5)]
    resolver = Resolver({}, frozenset(dead))
    async with resolving(*dead):
        await trio.testing.wait_all_tasks_blocked()
        assert resolver.waiting == MAX_LOOKUPS


async def test_a_name_is_asked_for_again_soon_while_it_fails_and_then_in_its_own_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    names: dict[str, list[str]] = {}
    Resolver(names)
    rounds: list[tuple[float, Resolved]] = []
    began = trio.current_time()

    def deliver(resolved: Resolved) -> None:
        rounds.append((trio.current_time() - began, resolved))
        names["seed"] = [f"10.0.0.{len(rounds) - 1}"]

    async with resolving("seed") as running:
        await running.first_answers()
        running.hand_to(deliver)
        await trio.sleep(QUICK_S + 2 * SLOW_S + 1)
    assert [when for when, _ in rounds] == [0, QUICK_S, QUICK_S + SLOW_S, QUICK_S + 2 * SLOW_S]
    assert not rounds[0][1].addresses
    assert [resolved.addresses[0].host for _, resolved in rounds[1:]] == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]

"""Seeds are resolved again and again; a name that fails is a line, never an exception."""

from __future__ import annotations

import socket

import trio
import trio.abc
import trio.testing

from gossipmesh.discovery.seeds import QUICK_S, SLOW_S, Resolved, keep_resolving, resolve
from gossipmesh.model import Address


class Resolver(trio.abc.HostnameResolver):
    """A name server in memory, whose answers a test changes as it goes."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names
        self.asked = 0

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # type: ignore[no-untyped-def,override]
        self.asked += 1
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (ip, port)) for ip in self.names[name]]

    async def getnameinfo(self, sockaddr, flags):  # type: ignore[no-untyped-def,override]
        raise NotImplementedError


async def test_an_ip_literal_needs_no_resolver() -> None:
    assert await resolve((("127.0.0.1", 7946), ("::1", 1))) == Resolved(
        (Address("127.0.0.1", 7946), Address("::1", 1)), ()
    )


async def test_all_addresses_of_all_names_are_used_once_and_a_failure_is_a_line() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver({"web": ["10.0.0.1", "10.0.0.2"], "db": ["10.0.0.2"]}))
    found = await resolve((("web", 7946), ("db", 7946), ("gone", 7946)))
    assert found.addresses == (Address("10.0.0.1", 7946), Address("10.0.0.2", 7946))
    assert len(found.problems) == 1
    assert "gone" in found.problems[0]


async def test_a_name_is_asked_for_again_soon_while_it_fails_and_then_in_its_own_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    names: dict[str, list[str]] = {}
    trio.socket.set_custom_hostname_resolver(Resolver(names))
    rounds: list[tuple[float, Resolved]] = []
    began = trio.current_time()

    def deliver(resolved: Resolved) -> None:
        rounds.append((trio.current_time() - began, resolved))
        names["seed"] = [f"10.0.0.{len(rounds)}"]

    with trio.move_on_after(QUICK_S + 2 * SLOW_S + 1):
        await keep_resolving((("seed", 7946),), deliver)
    assert [when for when, _ in rounds] == [0, QUICK_S, QUICK_S + SLOW_S, QUICK_S + 2 * SLOW_S]
    assert not rounds[0][1].addresses
    assert [resolved.addresses[0].host for _, resolved in rounds[1:]] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

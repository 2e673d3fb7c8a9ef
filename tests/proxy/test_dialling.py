"""Where names outside the mesh lead, and what of that is dialled."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from gossipmesh.errors import RequestError
from gossipmesh.proxy.dialling import Dialler
from gossipmesh.proxy.outside import may_dial
from gossipmesh.transport.reactor import Reactor


@define
class Addresses(trio.abc.HostnameResolver):
    """Gives every name these addresses, or waits for ever if there are none."""

    of_each: list[str]

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_: Any, **__: Any) -> Any:
        if not self.of_each:
            await trio.sleep_forever()
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.of_each
        ]

    async def getnameinfo(self, *_: Any) -> Any:
        raise AssertionError("nobody asks for names of addresses")


@asynccontextmanager
async def dialling(*, judge: Any = may_dial) -> AsyncIterator[Dialler]:
    async with trio.open_nursery() as nursery:
        reactor = Reactor()
        await nursery.start(reactor.run)
        dialler = Dialler(reactor, 2.0, judge=judge)
        await nursery.start(dialler.run)
        yield dialler
        nursery.cancel_scope.cancel()


async def dial(dialler: Dialler, host: str, port: int = 80) -> socket.socket | RequestError:
    told: list[socket.socket | RequestError] = []
    done = trio.Event()

    def tell(result: socket.socket | RequestError) -> None:
        told.append(result)
        done.set()

    dialler.dial(host, port, tell)
    await done.wait()
    (result,) = told
    return result


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "0.0.0.0", "fe80::1%lo", "169.254.169.254", "::ffff:127.0.0.1"]
)
async def test_our_own_machine_is_never_gone_to_by_any_name(address: str) -> None:
    trio.socket.set_custom_hostname_resolver(Addresses([address]))
    async with dialling() as dialler:
        error = await dial(dialler, "rebound.example.com")
    assert isinstance(error, RequestError)
    assert (error.flag, error.status) == ("NR", 403)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "127.0.0.1", "::1", "localhost"])
async def test_nor_by_any_way_to_write_its_address(host: str) -> None:
    async with dialling() as dialler:
        error = await dial(dialler, host)
    assert isinstance(error, RequestError)
    assert (error.flag, error.status) == ("NR", 403)


async def test_of_several_addresses_the_next_is_dialled_where_one_does_not_answer() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    trio.socket.set_custom_hostname_resolver(Addresses(["169.254.169.254", "127.0.0.2", "127.0.0.1"]))
    async with listener, dialling(judge=lambda address: not address.is_link_local) as dialler:
        result = await dial(dialler, "a.example.com", port)
        assert isinstance(result, socket.socket)
        assert result.getpeername() == ("127.0.0.1", port)
        result.close()


async def test_a_name_that_takes_too_long_to_resolve_is_given_up_on(autojump_clock: MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Addresses([]))
    async with dialling() as dialler:
        error = await dial(dialler, "slow.example.com")
        assert 2.0 <= trio.current_time() < 3.0
    assert isinstance(error, RequestError)
    assert (error.flag, error.status) == ("UF", 503)


@define
class Exhausted(Addresses):
    """Finds no file descriptor left to ask with, which no ``gaierror`` says."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")


async def test_a_system_that_cannot_even_ask_fails_one_request_and_nothing_else() -> None:
    trio.socket.set_custom_hostname_resolver(Exhausted([]))
    async with dialling() as dialler:
        error = await dial(dialler, "a.example.com")
    assert isinstance(error, RequestError)
    assert (error.flag, error.status) == ("UF", 503)


async def test_what_is_taken_back_is_not_told() -> None:
    trio.socket.set_custom_hostname_resolver(Addresses([]))
    told: list[object] = []
    async with dialling() as dialler:
        dialler.dial("slow.example.com", 80, told.append).cancel()
        trio.socket.set_custom_hostname_resolver(Addresses(["127.0.0.1"]))
        await dial(dialler, "a.example.com")
    assert told == []


async def test_a_dialler_that_does_not_run_says_that_this_node_stops() -> None:
    async with trio.open_nursery() as nursery:
        reactor = Reactor()
        await nursery.start(reactor.run)
        error = await dial(Dialler(reactor, 2.0), "a.example.com")
        nursery.cancel_scope.cancel()
    assert isinstance(error, RequestError)
    assert (error.flag, error.status) == ("DR", 503)

"""Seeds are names; names change. They are resolved again for as long as the daemon runs, all their addresses used.

A headless service or a compose service name gives other addresses after every rollout, and a seed that could not be
resolved at the start may come up later: neither may need a restart of this node. Each is resolved by itself: a name
whose resolvers are silent takes 20 s to fail, and the others have nothing to do with that.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Final

import trio
from attrs import frozen

from gossipmesh.model import Address

QUICK_S: Final = 2.0
"""Between two look-ups of a name while it does not resolve."""
SLOW_S: Final = 15.0
"""Between two look-ups otherwise."""
MAX_ADDRESSES: Final = 64
MAX_LOOKUPS: Final = 16
"""Names looked up at once. Each holds one of the 40 threads that trio has for everything, the disk among it."""

Seed = tuple[str, int]


@frozen
class Resolved:
    """What is known now: the addresses found, in order and without repeats, and a line per name that failed."""

    addresses: tuple[Address, ...]
    problems: tuple[str, ...]


class Seeds:
    """What each seed came to when it was last looked up. Pure.

    Args:
        seeds: ``(host, port)`` each. IP literals are their own answer from the beginning.
    """

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self.literals: dict[Seed, Address] = {}
        self._found: dict[Seed, tuple[Address, ...] | str | None] = dict.fromkeys(seeds)
        for host, port in self._found:
            if _is_literal(host):
                self.literals[host, port] = Address(host, port)
        self._found |= {seed: (address,) for seed, address in self.literals.items()}

    @property
    def all(self) -> tuple[Seed, ...]:
        """The seeds, each once."""
        return tuple(self._found)

    @property
    def complete(self) -> bool:
        """Whether every one was looked up at least once."""
        return None not in self._found.values()

    @property
    def resolved(self) -> Resolved:
        """What all of them came to, in the order in which they are configured."""
        found: dict[Address, None] = {}
        for each in self._found.values():
            if isinstance(each, tuple):
                found |= dict.fromkeys(each)
        problems = tuple(each for each in self._found.values() if isinstance(each, str))
        return Resolved(tuple(found)[:MAX_ADDRESSES], problems)

    def note(self, seed: Seed, found: tuple[Address, ...]) -> float:
        """Take the addresses of a seed; give after how many seconds it is to be looked up again."""
        self._found[seed] = found
        return SLOW_S if found else QUICK_S

    def note_failure(self, seed: Seed, why: str) -> float:
        """Take that a seed does not resolve; give after how many seconds it is to be looked up again."""
        self._found[seed] = f"the seed {seed[0]} does not resolve: {why}"
        return QUICK_S


class Resolving:
    """Looks seeds up, again and again.

    Resource handling: name look-ups run in trio's threads, :data:`MAX_LOOKUPS` at once.
    Error handling: a name that fails is a line in the result, never an exception.

    Args:
        seeds: ``(host, port)`` each.
    """

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self._seeds = Seeds(seeds)
        self._complete = trio.Event()
        self._deliver: Callable[[Resolved], None] = lambda _: None
        self._limit = trio.CapacityLimiter(MAX_LOOKUPS)
        self._look()

    @property
    def resolved(self) -> Resolved:
        """What is known now; IP literals from the beginning."""
        return self._seeds.resolved

    async def run(self) -> None:
        """Resolve for ever, all seeds at once. Ends only by cancellation."""
        async with trio.open_nursery() as nursery:
            for seed in self._seeds.all:
                nursery.start_soon(self._keep_resolving, seed)

    async def first_answers(self) -> None:
        """Wait until every seed was looked up once."""
        await self._complete.wait()

    def hand_to(self, deliver: Callable[[Resolved], None]) -> None:
        """Hand what is known over, now and after every look-up from now on."""
        self._deliver = deliver
        deliver(self.resolved)

    async def _keep_resolving(self, seed: Seed) -> None:
        while True:
            pause_s = await self._resolve(seed)
            self._look()
            # Also where nothing is new: what is handed over may be dropped where there is too much to do.
            self._deliver(self.resolved)
            await trio.sleep(pause_s)

    async def _resolve(self, seed: Seed) -> float:
        literal = self._seeds.literals.get(seed)
        if literal is not None:
            return self._seeds.note(seed, (literal,))
        try:
            async with self._limit:
                answers = await trio.socket.getaddrinfo(*seed, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return self._seeds.note_failure(seed, getattr(error, "strerror", None) or str(error))
        return self._seeds.note(seed, tuple(Address(str(each[4][0]), int(each[4][1])) for each in answers))

    def _look(self) -> None:
        if self._seeds.complete:
            self._complete.set()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Seeds are names; names change. They are resolved again for as long as the daemon runs, all their addresses used.

A headless service or a compose service name gives other addresses after every rollout, and a seed that could not be
resolved at the start may come up later: neither may need a restart of this node.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import trio
from attrs import frozen

from gossipmesh.model import Address

QUICK_S: Final = 2.0
"""Between two rounds while a name does not resolve."""
SLOW_S: Final = 15.0
"""Between two rounds otherwise."""
MAX_ADDRESSES: Final = 64


@frozen
class Resolved:
    """One round's result: the addresses found, in order and without repeats, and a line per name that failed."""

    addresses: tuple[Address, ...]
    problems: tuple[str, ...]


async def resolve(seeds: tuple[tuple[str, int], ...]) -> Resolved:
    """Resolve every ``(host, port)`` once; IP literals need no resolver."""
    found: dict[Address, None] = {}
    problems: list[str] = []
    for host, port in seeds:
        try:
            answers = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            problems.append(f"the seed {host} does not resolve: {getattr(error, 'strerror', None) or error}")
            continue
        for _family, _type, _proto, _name, sockaddr in answers:
            found.setdefault(Address(str(sockaddr[0]), int(sockaddr[1])))
    return Resolved(tuple(found)[:MAX_ADDRESSES], tuple(problems))


async def keep_resolving(seeds: tuple[tuple[str, int], ...], deliver: Callable[[Resolved], None]) -> None:
    """Resolve for ever, handing every round's result over. Ends only by cancellation.

    Resource handling: name look-ups run in trio's threads; one round at a time.
    Error handling: a name that fails is a line in the result, never an exception.
    """
    while True:
        resolved = await resolve(seeds)
        deliver(resolved)
        await trio.sleep(QUICK_S if resolved.problems or not resolved.addresses else SLOW_S)

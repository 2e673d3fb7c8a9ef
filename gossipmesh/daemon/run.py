"""A daemon from its configuration to its end: the state directory, who it is, and then the node."""

from __future__ import annotations

import linecache
import os
from typing import Final

import trio

from gossipmesh.config.load import HOST_NAME, Loaded
from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.enrol import Enrolment, enrol
from gossipmesh.daemon.node import Node
from gossipmesh.daemon.reloading import Again
from gossipmesh.daemon.surroundings import (
    Announce,
    keep_freed_memory,
    leave_no_core,
    let_go_of_streams,
    quietly,
    within_file_limit,
)
from gossipmesh.discovery.advertise import is_wildcard
from gossipmesh.discovery.seeds import Resolving
from gossipmesh.errors import TrustError
from gossipmesh.model import split_host_port

FIRST_RESOLVE_S: Final = 2.0
"""How long the start waits for the seeds' names where they are to say which of our addresses others can dial."""
SOON_S: Final = 0.5
"""How long it waits otherwise. Most names are answered by then, and a node does not take itself for the only seed, nor
one that refuses it for all of them, because the others are still being looked up."""
CLOCK_RETRY_S: Final = 5.0


def run(loaded: Loaded, *, token: str | None, announce: Announce, again: Again) -> None:
    """Run a daemon until it is told to stop.

    Args:
        loaded: the configuration.
        token: the join token's text, or None.
        announce: prints a line for whoever started the daemon.
        again: gives the configuration as it is when it is asked for, on SIGHUP.

    Raises:
        ConfigError: what was asked for cannot be done; ``listen.*`` for addresses that cannot be bound.
        StateError: the state directory cannot be used.
        TrustError: token or chain do not admit this node.
        MeshError: ``join.refused``, if every seed refused this node. All of them perhaps inside an ExceptionGroup.
    """
    leave_no_core()
    keep_freed_memory()
    # By now everything is imported. attrs has kept the text of each method that it wrote there, for debuggers: 0.6 MiB.
    linecache.clearcache()
    try:
        with StateDirectory(loaded.config.node.state) as state:
            trio.run(
                _main,
                within_file_limit(loaded),
                lambda: within_file_limit(again()),
                state,
                token,
                quietly(announce),
            )
    finally:
        let_go_of_streams()


async def _main(
    loaded: Loaded, again: Again, state: StateDirectory, token: str | None, announce: Announce
) -> None:
    enrolment = await _enrol_when_the_clock_allows(loaded, state, token, announce)
    config = loaded.config.node
    seeds = Resolving(tuple(split_host_port(seed) for seed in config.join))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(seeds.run)
        chooses = config.advertise is None and is_wildcard(config.bind.host)
        with trio.move_on_after(FIRST_RESOLVE_S if chooses else SOON_S):
            await seeds.first_answers()
        node = Node(loaded, state, enrolment, announce, nursery, again=again)
        await node.start(seeds.resolved)
        seeds.hand_to(node.seeds_resolved)


async def _enrol_when_the_clock_allows(
    loaded: Loaded, state: StateDirectory, token: str | None, announce: Announce
) -> Enrolment:
    """Settle who we are; where only our clock is before our chain, wait for it: it may be set soon after a boot."""
    warned = False
    while True:
        try:
            named = loaded.origins["node.name"] != HOST_NAME
            return enrol(state, loaded.config.node, token, os.urandom, named=named, wall=wall_clock())
        except TrustError as error:
            if error.code != "chain.not-yet-valid":
                raise
            if not warned:
                announce(f"gossipmesh: waiting: {error}")
            warned = True
            await trio.sleep(CLOCK_RETRY_S)

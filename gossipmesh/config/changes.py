"""What a configuration that is read again may change in a running daemon, and what needs a new start."""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen

from gossipmesh.config.keys import TRAFFIC
from gossipmesh.config.load import Loaded

AT_RUN_TIME: Final = frozenset(
    {
        "service",
        TRAFFIC,
        "node.old_peers",
        "proxy.as",
        "proxy.external",
        "proxy.allow",
        "log.format",
        "log.access",
    }
)
"""Paths whose values a running daemon takes over; all others are what it was built with."""


@frozen
class Reloaded:
    """What reading a configuration again comes to.

    Args:
        loaded: what the daemon runs with from now on: the old one with what could be taken over of the new one.
        taken: the paths whose values changed by it.
        left: the paths whose values are other ones in the new configuration, and need a new start.
    """

    loaded: Loaded
    taken: tuple[str, ...]
    left: tuple[str, ...]


def reloaded(old: Loaded, new: Loaded) -> Reloaded:
    """Give what ``new`` changes in a daemon that runs with ``old``."""
    before, now = old.describe(), new.describe()
    changed = [path for path in now if now[path]["value"] != before[path]["value"]]
    config, proxy = new.config, new.config.proxy
    running = evolve(
        old.config,
        services=config.services,
        traffic=config.traffic,
        log=config.log,
        node=evolve(old.config.node, old_peers=config.node.old_peers),
        proxy=evolve(
            old.config.proxy, as_service=proxy.as_service, external=proxy.external, allow=proxy.allow
        ),
    )
    origins = {path: (new if path in AT_RUN_TIME else old).origins[path] for path in old.origins}
    return Reloaded(
        Loaded(running, origins),
        taken=tuple(path for path in changed if path in AT_RUN_TIME),
        left=tuple(path for path in changed if path not in AT_RUN_TIME),
    )

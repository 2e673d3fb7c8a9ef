"""Which of this host's addresses others can dial: the one that the system would use to reach them."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from gossipmesh.model import Address

SOMEWHERE: Final = (Address("192.0.2.1", 9), Address("2001:db8::1", 9))
"""Documentation addresses (RFC 5737, RFC 3849): they ask for the default route, and nothing is ever sent there."""
LOOPBACK: Final = "127.0.0.1"


def is_wildcard(host: str) -> bool:
    """Tell whether ``host`` (an IP literal) means every address of this host."""
    return ipaddress.ip_address(host).is_unspecified


def is_loopback(host: str) -> bool:
    """Tell whether only this host itself reaches ``host`` (an IP literal)."""
    return ipaddress.ip_address(host).is_loopback


def local_host_towards(target: Address) -> str | None:
    """Give our own address on the way to ``target``, or None where there is no way. Sends nothing."""
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            # Connecting a UDP socket only asks the routing table.
            sock.connect((target.host, target.port or 9))
            host = str(sock.getsockname()[0])
        except OSError:
            return None
    # Nobody else knows on which of his networks a link-local address is, so records that name one are refused.
    literal = ipaddress.ip_address(host)
    return None if literal.is_link_local or literal.is_unspecified else host


def choose_host(bind: Address, seeds: tuple[Address, ...]) -> str:
    """Give the address to advertise: what is bound, or where that is a wildcard, what leads to a seed, or out.

    Only addresses that the wildcard covers: ``0.0.0.0`` takes no IPv6 connections, while ``::`` takes both. A host
    with neither a route to a seed nor a default route can only be reached from itself: loopback.

    Args:
        bind: what the node listens on.
        seeds: those that are known.
    """
    if not is_wildcard(bind.host):
        return bind.host
    everything = ":" in bind.host
    ways = [local_host_towards(seed) for seed in seeds if everything or ":" not in seed.host]
    # Where every host has the same list of seeds, it names this host too, and its own name may lead to loopback
    # (Debian's 127.0.1.1). That is no way to the others, if any seed shows one.
    found = sorted((way for way in ways if way is not None), key=is_loopback)
    if found:
        return found[0]
    for target in SOMEWHERE:
        if everything or ":" not in target.host:
            way = local_host_towards(target)
            if way is not None:
                return way
    return LOOPBACK


def choose_again(current: str, bind: Address, seeds: tuple[Address, ...], *, joined: bool) -> str:
    """Give the address to advertise from now on, where seeds may have become known since the last choice.

    A node that starts before all others finds none of their names, and what its default route suggests may be another
    network than theirs. Once it has joined, its address was dialled and stays, unless that is loopback.

    Args:
        current: what is advertised now, by choice and not by configuration.
        bind: what the node listens on.
        seeds: those that are known now.
        joined: whether it is in step with others.
    """
    if not seeds or (joined and not is_loopback(current)):
        return current
    return choose_host(bind, seeds)

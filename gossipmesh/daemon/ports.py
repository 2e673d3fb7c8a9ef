"""Binding what the daemon listens on, with errors that name the flag to change; and what of it is told to others."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from gossipmesh.config.model import NodeConfig
from gossipmesh.discovery.advertise import choose_again, choose_host
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address
from gossipmesh.transport.addresses import bound_socket, from_sockaddr

TRIES: Final = 16


def pick_mesh_address(bind: Address) -> Address:
    """Give ``bind``, with a port that is free for UDP and TCP alike where it says 0.

    Raises:
        OSError: if the address is not ours, or no port is free for both.
    """
    if bind.port:
        return bind
    for last in range(TRIES, 0, -1):
        with bound_socket(bind, socket.SOCK_STREAM) as tcp:
            port = from_sockaddr(tcp.getsockname()).port
            try:
                bound_socket(Address(bind.host, port), socket.SOCK_DGRAM).close()
            except OSError:
                if last == 1:
                    raise
                continue
            return Address(bind.host, port)
    raise AssertionError("unreachable")


async def listen(
    nursery: trio.Nursery,
    service: Callable[..., Awaitable[Any]],
    address: Address,
    flag: str,
    *arguments: Any,
) -> Address:
    """Start ``service`` in ``nursery`` and give the address that it bound.

    Args:
        nursery: lives as long as the service.
        service: tells the bound address by ``task_status``.
        address: what it binds, for the error only.
        flag: what sets it, for the error only.
        arguments: for the service.

    Raises:
        ConfigError: ``listen.in-use``, ``listen.not-ours`` or ``listen.failed``: one line, with the flag.
    """
    try:
        bound: Address = await nursery.start(service, *arguments)
    except OSError as error:
        raise listen_error(error, address, flag) from None
    return bound


def listen_error(error: OSError, address: Address, flag: str) -> ConfigError:
    """Give the error for an address that cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        text = f"{address} is in use by another program; choose another address with {flag} (port 0: any free one)"
        return ConfigError("listen.in-use", text)
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return ConfigError("listen.not-ours", f"{address} is no address of this host; change {flag}")
    if error.errno == errno.EACCES:
        return ConfigError("listen.forbidden", f"{address} may not be bound by this user; change {flag}")
    return ConfigError("listen.failed", f"{address} cannot be bound: {error.strerror}; change {flag}")


def advertised(config: NodeConfig, bound: Address, seeds: tuple[Address, ...]) -> Address:
    """Give the address that others are to dial: as configured, or chosen.

    Args:
        config: may name it, with port 0 for the one that is bound.
        bound: what the node listens on.
        seeds: those that are known; they show which address is on the way to the others.
    """
    if config.advertise is not None:
        return Address(config.advertise.host, config.advertise.port or bound.port)
    return Address(choose_host(bound, seeds), bound.port)


def advertised_again(
    config: NodeConfig, current: Address, seeds: tuple[Address, ...], *, joined: bool
) -> Address:
    """Give the address that others are to dial from now on, as :func:`choose_again` says.

    Args:
        config: where it names one, that stays.
        current: what is advertised now.
        seeds: those that are known now.
        joined: whether this node is in step with others.
    """
    if config.advertise is not None:
        return current
    return Address(choose_again(current.host, config.bind, seeds, joined=joined), current.port)

"""Binding what the daemon listens on, with errors that name the flag to change."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

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

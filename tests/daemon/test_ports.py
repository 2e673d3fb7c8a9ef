"""What cannot be bound is one line that names the flag to change."""

from __future__ import annotations

import errno
import socket

import pytest
import trio

from gossipmesh.daemon.ports import listen, listen_error, pick_mesh_address
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address
from gossipmesh.transport.addresses import bound_socket

LOOPBACK = Address("127.0.0.1", 0)


def test_port_zero_becomes_one_that_is_free_for_udp_and_tcp() -> None:
    picked = pick_mesh_address(LOOPBACK)
    with bound_socket(picked, socket.SOCK_STREAM), bound_socket(picked, socket.SOCK_DGRAM):
        assert picked.port


def test_a_port_that_was_asked_for_is_left_as_it_is() -> None:
    assert pick_mesh_address(Address("127.0.0.1", 7946)) == Address("127.0.0.1", 7946)


def test_an_address_of_another_host_is_an_error_before_anything_starts() -> None:
    with pytest.raises(OSError, match="assign"):
        pick_mesh_address(Address("192.0.2.1", 0))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EADDRINUSE, "listen.in-use"),
        (errno.EADDRNOTAVAIL, "listen.not-ours"),
        (errno.EACCES, "listen.forbidden"),
        (errno.ENOBUFS, "listen.failed"),
    ],
)
def test_each_reason_has_its_code_and_names_address_and_flag(number: int, code: str) -> None:
    error = listen_error(OSError(number, "why"), Address("127.0.0.1", 4140), "--proxy")
    assert error.code == code
    assert "127.0.0.1:4140" in str(error)
    assert "--proxy" in str(error)


async def test_a_service_that_cannot_bind_is_a_configuration_error() -> None:
    async def serve(address: Address, *, task_status: trio.TaskStatus[Address]) -> None:
        with bound_socket(address, socket.SOCK_DGRAM):
            task_status.started(address)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        taken = pick_mesh_address(LOOPBACK)
        assert await listen(nursery, serve, taken, "--bind", taken) == taken
        with pytest.raises(ConfigError) as caught:
            await listen(nursery, serve, taken, "--bind", taken)
        assert caught.value.code == "listen.in-use"
        nursery.cancel_scope.cancel()

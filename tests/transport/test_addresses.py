"""Socket addresses."""

from __future__ import annotations

import socket

import pytest

from gossipmesh.model import Address
from gossipmesh.transport.addresses import bound_socket, family_of, from_sockaddr, to_sockaddr

V4 = Address("192.0.2.1", 7946)
V6 = Address("2001:db8::1", 7946)


def test_each_family_has_its_own_form() -> None:
    assert to_sockaddr(V4, family_of(V4)) == ("192.0.2.1", 7946)
    assert to_sockaddr(V6, family_of(V6)) == ("2001:db8::1", 7946)


def test_an_ipv6_socket_reaches_ipv4_by_a_mapped_address_and_back() -> None:
    assert to_sockaddr(V4, socket.AF_INET6) == ("::ffff:192.0.2.1", 7946)
    assert from_sockaddr(("::ffff:192.0.2.1", 7946, 0, 0)) == V4


def test_an_ipv4_socket_does_not_reach_ipv6() -> None:
    with pytest.raises(OSError, match="IPv4"):
        to_sockaddr(V6, socket.AF_INET)


def test_a_scope_is_nobody_elses_business() -> None:
    assert from_sockaddr(("fe80::1%eth0", 1, 0, 2)) == Address("fe80::1", 1)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_two_sockets_of_one_kind_do_not_share_a_port(kind: socket.SocketKind) -> None:
    with bound_socket(Address("127.0.0.1", 0), kind) as first:
        if kind == socket.SOCK_STREAM:
            first.listen()
        with pytest.raises(OSError, match="in use"):
            bound_socket(from_sockaddr(first.getsockname()), kind)

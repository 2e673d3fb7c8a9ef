"""Answers leave from the address that was asked."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gossipmesh.discovery.dns.datagrams import Datagrams, Where
from gossipmesh.discovery.dns.messages import MAX_UDP
from gossipmesh.model import Address
from gossipmesh.transport.addresses import bound_socket


@contextmanager
def bound(host: str) -> Iterator[tuple[Datagrams, int, socket.socket]]:
    with bound_socket(Address(host, 0), socket.SOCK_DGRAM) as sock:
        yield Datagrams(sock, everywhere=host in ("0.0.0.0", "::")), sock.getsockname()[1], sock


def received(datagrams: Datagrams, sock: socket.socket) -> tuple[bytes, Where]:
    assert select.select([sock], [], [], 10)[0]
    return datagrams.receive()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.9.8.7"),
        ("::", "127.9.8.7"),
        ("::", "::1"),
        ("::1", "::1"),
    ],
)
def test_an_answer_comes_from_where_the_question_went(host: str, asked: str) -> None:
    family = socket.AF_INET6 if ":" in asked else socket.AF_INET
    with bound(host) as (datagrams, port, sock), socket.socket(family, socket.SOCK_DGRAM) as caller:
        caller.settimeout(10)
        caller.sendto(b"question", (asked, port))
        payload, where = received(datagrams, sock)
        assert payload == b"question"
        assert datagrams.host_of(where) == ("127.0.0.1" if family == socket.AF_INET else "::1")
        datagrams.send(b"answer", where)
        answer, source = caller.recvfrom(100)
        assert (answer, source[0], source[1]) == (b"answer", asked, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_nothing_that_is_too_long_to_be_a_question_is_read_whole(host: str) -> None:
    with bound(host) as (datagrams, port, sock), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.sendto(bytes(5_000), ("127.0.0.1", port))
        assert len(received(datagrams, sock)[0]) == MAX_UDP + 1
        with pytest.raises(BlockingIOError):
            datagrams.receive()


def test_an_answer_that_cannot_leave_is_lost() -> None:
    with bound("127.0.0.1") as (datagrams, _, _sock):
        datagrams.send(b"answer", ("127.0.0.1", 0))
        datagrams.send(bytes(70_000), ("127.0.0.1", 9))

"""The gossip socket: datagrams in, a fair share of each source's; datagrams out without waiting."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import trio
from attrs import field, frozen

from gossipmesh.channel.datagram import MAX_DATAGRAM
from gossipmesh.model import Address
from gossipmesh.transport.addresses import bound_socket, from_sockaddr, to_sockaddr
from gossipmesh.transport.counters import Count
from gossipmesh.transport.inbox import FairInbox

MAX_INBOX: Final = 1_024
"""Datagrams that are taken at once. To handle one takes tens of microseconds and more."""
READ_MORE: Final = 2
"""So many times as many are read for that, where there are so many, each in two microseconds: what is dropped is of the
loudest source, and what the others sent is found behind it."""
MAX_STRANGERS: Final = 64
"""Of those taken at once, from nobody that is known: they are worth a hint each, at most."""
SOCKET_BUFFER: Final = 4 * 1_048_576
"""What we ask the system to keep for us, in bytes, while we are busy; it may give less."""


@frozen
class Datagram:
    """What came, and from where. Nothing about it has been checked."""

    payload: bytes = field(repr=lambda payload: f"<{len(payload)} bytes>")
    source: Address


class UdpSocket:
    """A UDP socket as a service.

    Resource handling: :meth:`run` binds the socket and closes it when it is cancelled.
    Error handling: nothing that a peer sends or refuses raises here; what is lost is counted.

    Args:
        bind: the address to bind; ``::`` serves IPv4 as well, port 0 lets the system choose.
        count: is told ``udp.inbox-full``, ``udp.strangers``, ``udp.oversized``, ``udp.send-full`` and
            ``udp.send-failed``.
        most: datagrams that are taken at once.
    """

    def __init__(self, bind: Address, *, count: Count, most: int = MAX_INBOX) -> None:
        self._bind = bind
        self._count = count
        self._most = most
        self._socket: socket.socket | None = None
        self.knows: Callable[[bytes], bool] = lambda payload: True
        """Tells, at a glance, whether a payload may be from somebody known. Where it is not, few are kept: junk must
        cost less than to be looked at by the one who answers probes."""

    async def run(self, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the socket until cancelled; starts with the bound address.

        Raises:
            OSError: if the address cannot be bound.
        """
        with bound_socket(self._bind, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
            self._socket = sock
            try:
                task_status.started(from_sockaddr(sock.getsockname()))
                await trio.sleep_forever()
            finally:
                self._socket = None
                trio.lowlevel.notify_closing(sock)

    async def wait(self) -> None:
        """Wait until there may be a datagram to take. One task only."""
        if self._socket is not None:
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._socket)
                return
        await trio.sleep_forever()

    def take_all(self) -> list[Datagram]:
        """Give what the system holds for us, one of each source in turn, and of the loudest what there is room for.

        After a stall the answer to a probe may lie there while its deadline has passed, and must not be taken for
        silence.
        """
        inbox: FairInbox[str, Datagram] = FairInbox(self._most)
        for payload, source in self._received(READ_MORE * self._most):
            if not inbox.put(source.host, Datagram(payload, source)):
                self._count("udp.inbox-full")
        return inbox.take_all()

    def send(self, payload: bytes, target: Address) -> None:
        """Send one datagram, at most once and without waiting; if it cannot leave now it is lost."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(payload, to_sockaddr(target, self._socket.family))
        except BlockingIOError:
            self._count("udp.send-full")
        except ConnectionRefusedError:
            pass  # What an earlier datagram met, reported late; a peer's silence is noticed by its probes.
        except OSError:
            self._count("udp.send-failed")

    def _received(self, most: int) -> Iterator[tuple[bytes, Address]]:
        sock, strangers = self._socket, 0
        if sock is None:
            return
        for _ in range(most):
            try:
                payload, sockaddr = sock.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                break
            except OSError:
                continue  # An ICMP error for something sent earlier, and now cleared.
            if len(payload) > MAX_DATAGRAM:
                self._count("udp.oversized")
                continue
            if not self.knows(payload):
                if strangers >= MAX_STRANGERS:
                    self._count("udp.strangers")
                    continue
                strangers += 1
            yield payload, from_sockaddr(sockaddr)

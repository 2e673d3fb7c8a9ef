"""The DNS server's sockets: UDP in the reactor of the data plane, TCP in trio tasks (RFC 7766).

A question by UDP costs some ten microseconds when its answer is in memory, of which waking a task would be the most;
so its socket is watched by the epoll that serves requests. At most :data:`BATCH_S` of each turn goes to it: however
much is asked, requests and probes have their turn, and what cannot be answered in time waits in the socket's buffer or
is lost there. Answers by TCP are made one after the other, one for each caller in turn, and take no more than their
share of the time (:mod:`.share`); who waits for his longer than a connection may be idle is hung up on.
"""

from __future__ import annotations

import ipaddress
import select
import socket
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final

import dns.rcode
import trio

from gossipmesh.discovery.dns.answers import Answers, Forward
from gossipmesh.discovery.dns.connection import Connection
from gossipmesh.discovery.dns.datagrams import Datagrams, Where
from gossipmesh.discovery.dns.forward import Forwarder
from gossipmesh.discovery.dns.messages import write_refusal
from gossipmesh.discovery.dns.picture import Picture
from gossipmesh.discovery.dns.share import Share, longest_idle
from gossipmesh.model import Address
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.transport.addresses import bound_socket, from_sockaddr
from gossipmesh.transport.reactor import Reactor

BATCH_S: Final = 0.0005
"""How long questions by UDP are answered in one go."""
MAX_BATCH: Final = 64
"""How many of them."""
TCP_COST_S: Final = 0.0002
"""What reading a question and sending its answer by TCP takes, besides making it."""
MAX_CONNECTIONS: Final = 128
"""One more, and the longest idle goes."""
BACKLOG: Final = 64
SOCKET_BUFFER: Final = 262_144
"""What we ask the system to keep for us while we are busy, in bytes."""
ACCEPT_RETRY_S: Final = 0.1


class DnsServer:
    """Serves one address, UDP and TCP.

    Resource handling: :meth:`run` binds the sockets and closes them.
    Error handling: nothing that anybody sends raises here; a packet that cannot leave now is lost.

    Args:
        listen: where; the port is the same for both, so not 0.
        reactor: whose turns the UDP socket is served in.
        answers: makes them.
        snapshot: gives the newest, by which answers in memory are judged.
        picture: gives what is known now.
        forwarder: is asked about names outside the mesh, if there is one; the caller runs it.
    """

    def __init__(
        self,
        listen: Address,
        reactor: Reactor,
        answers: Answers,
        *,
        snapshot: Callable[[], Snapshot],
        picture: Callable[[], Picture],
        forwarder: Forwarder | None,
    ) -> None:
        self._listen = listen
        self._reactor = reactor
        self._answers = answers
        self._snapshot = snapshot
        self._picture = picture
        self._forwarder = forwarder
        self._callers: list[Connection] = []
        self._share = Share()
        # First come, first served: whoever asks much waits for all others before his next answer.
        self._turn = trio.StrictFIFOLock()
        self._datagrams: Datagrams | None = None

    async def run(self, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; starts with the bound address.

        Raises:
            OSError: the address cannot be bound.
        """
        with (
            bound_socket(self._listen, socket.SOCK_DGRAM) as udp,
            trio.socket.from_stdlib_socket(bound_socket(self._listen, socket.SOCK_STREAM)) as tcp,
        ):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
            tcp.listen(BACKLOG)
            everywhere = ipaddress.ip_address(self._listen.host).is_unspecified
            self._datagrams = Datagrams(udp, everywhere=everywhere)
            self._reactor.watch(udp.fileno(), self._receive, select.EPOLLIN)
            try:
                async with trio.open_nursery() as nursery:
                    task_status.started(from_sockaddr(udp.getsockname()))
                    while True:
                        await self._accept(tcp, nursery)
            finally:
                self._datagrams = None
                self._reactor.forget(udp.fileno())

    # --- UDP ---

    def _receive(self, _: int) -> None:
        datagrams = self._datagrams
        if datagrams is None:
            return
        remembered, snapshot, now = self._answers.remembered_untrusted, self._snapshot(), self._reactor.now
        until = perf_counter() + BATCH_S
        for _ in range(MAX_BATCH):
            try:
                payload, where = datagrams.receive()
            except BlockingIOError:
                return
            except OSError:
                continue  # An ICMP error for an answer sent earlier, and now cleared.
            reply = remembered(payload, snapshot, now=now)
            if reply is None:
                self._answer(datagrams, payload, where)
            else:
                datagrams.send(reply, where)
            if perf_counter() >= until:
                return

    def _answer(self, datagrams: Datagrams, payload: bytes, where: Where) -> None:
        # One byte too many was read of what is longer than any question: it cannot be read as one, and is told so.
        found = self._answers.answer_untrusted(payload, self._picture(), now=self._reactor.now)
        if isinstance(found, Forward):
            self._forward(found, datagrams.host_of(where), partial(self._send, where), tcp=False)
        elif found is not None:
            datagrams.send(found, where)

    def _send(self, where: Where, reply: bytes) -> None:
        # The server may have ended before the answer of another one came.
        if self._datagrams is not None:
            self._datagrams.send(reply, where)

    # --- TCP ---

    async def _accept(self, listening: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        try:
            accepted, sockaddr = await listening.accept()
        except OSError:
            # No descriptor is left, or the connection was gone before we looked.
            await trio.sleep(ACCEPT_RETRY_S)
            return
        if len(self._callers) >= MAX_CONNECTIONS:
            # Whoever has no question under way is to be ready for this, and asks again (RFC 7766, section 6.2.3).
            idle = longest_idle(caller.idle_since for caller in self._callers)
            if idle is None:
                accepted.close()
                return
            self._callers.pop(idle).hang_up()
        answer = partial(self._answer_by_tcp, from_sockaddr(sockaddr).host)
        caller = Connection(trio.SocketStream(accepted), answer)
        self._callers.append(caller)
        nursery.start_soon(self._serve, caller)

    async def _serve(self, caller: Connection) -> None:
        try:
            await caller.serve()
        finally:
            if caller in self._callers:
                self._callers.remove(caller)

    async def _answer_by_tcp(self, host: str, payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        async with self._turn:
            await trio.sleep_until(self._share.free_at(now=trio.current_time()))
            begun = perf_counter()
            found = self._made(payload)
            cost_s = perf_counter() - begun + TCP_COST_S
            self._share.spend(cost_s, now=trio.current_time())
        if isinstance(found, Forward):
            self._forward(found, host, deliver, tcp=True)
        elif found is not None:
            deliver(found)
        return found is not None

    def _made(self, payload: bytes) -> bytes | Forward | None:
        now = self._reactor.now
        found = self._answers.remembered_untrusted(payload, self._snapshot(), now=now, tcp=True)
        return found or self._answers.answer_untrusted(payload, self._picture(), now=now, tcp=True)

    # --- both ---

    def _forward(self, found: Forward, host: str, deliver: Callable[[bytes], None], *, tcp: bool) -> None:
        """Have somebody else asked, but not for callers on public addresses: nobody wants an open resolver."""
        if self._forwarder is None or ipaddress.ip_address(host).is_global:
            found.count(dns.rcode.REFUSED)
            deliver(write_refusal(found.query, dns.rcode.REFUSED, recursion=False))
        else:
            self._forwarder.ask(found, deliver, tcp=tcp)

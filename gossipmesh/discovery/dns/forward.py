"""Names outside the mesh: asked of the configured resolvers, where there are any.

Each question leaves from a port of its own. Equal questions that are under way are asked once. So even where a resolver
sends them back to us (it was told to ask us about everything, too) a loop does not feed itself: what comes back waits
for the one that is out, and both end when its time is over.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import dns.rcode
import trio
from attrs import define, field, frozen

from gossipmesh.discovery.dns.answers import Forward
from gossipmesh.discovery.dns.messages import MAX_TCP, write_refusal
from gossipmesh.discovery.dns.questions import (
    Sent,
    Verdict,
    hand_back,
    judge_untrusted,
    make_question,
    without_edns,
)
from gossipmesh.model import Address
from gossipmesh.transport.addresses import family_of

MAX_IN_FLIGHT: Final = 256
"""Different questions under way; what is above is answered with SERVFAIL."""
MAX_WAITING: Final = 64
"""Callers that wait for one question's answer; those above get SERVFAIL."""
TRY_S: Final = 1.5
"""How long one resolver has by UDP ..."""
TCP_TRY_S: Final = 4.0
"""... and by TCP."""
ROUNDS: Final = 2
"""How often all resolvers are asked in turn."""
TOTAL_S: Final = 6.0
MAX_STRAY: Final = 64
"""Packets that are no answer, before a resolver's port is given up."""
MAX_DATAGRAM: Final = 4_096

TROUBLE: Final = frozenset({dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
"""Another resolver may know better."""

Deliver = Callable[[bytes], None]
Key = tuple[bytes, int, int, int, bool, int]


@frozen
class _Waiter:
    forward: Forward
    tcp: bool
    deliver: Deliver


@define
class _Pending:
    waiters: list[_Waiter] = field(factory=list)


class Forwarder:
    """Asks other resolvers.

    Resource handling: :meth:`run` owns the tasks and sockets of questions under way.
    Error handling: a resolver that does not answer is passed over; with none left the caller gets SERVFAIL.

    Args:
        resolvers: whom to ask, in this order.
        entropy: gives random bytes.
    """

    def __init__(self, resolvers: tuple[Address, ...], *, entropy: Callable[[int], bytes]) -> None:
        self._resolvers = resolvers
        self._entropy = entropy
        self._pending: dict[Key, _Pending] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def ask(self, forward: Forward, deliver: Deliver, *, tcp: bool = False) -> None:
        """Have a question answered by ``deliver``, later or now.

        Args:
            forward: the question.
            deliver: takes the whole packet of the answer.
            tcp: whether it may be long.
        """
        query = forward.query
        key = (
            query.name.to_digestable(),
            query.rdtype,
            query.rdclass,
            query.flags,
            query.dnssec,
            query.edns,
        )
        waiter = _Waiter(forward, tcp, deliver)
        pending = self._pending.get(key)
        full = len(self._pending) >= MAX_IN_FLIGHT if pending is None else len(pending.waiters) >= MAX_WAITING
        if full or self._nursery is None:
            self._fail(waiter)
        elif pending is not None:
            pending.waiters.append(waiter)
        else:
            pending = self._pending[key] = _Pending([waiter])
            self._nursery.start_soon(self._look_up, key, pending)

    def _fail(self, waiter: _Waiter) -> None:
        waiter.forward.count(dns.rcode.SERVFAIL)
        waiter.deliver(write_refusal(waiter.forward.query, dns.rcode.SERVFAIL, recursion=True))

    async def _look_up(self, key: Key, pending: _Pending) -> None:
        sent = make_question(pending.waiters[0].forward.query, self._entropy)
        reply = None
        with trio.move_on_after(TOTAL_S):
            reply = await self._ask_all(sent)
        del self._pending[key]
        for waiter in pending.waiters:
            if reply is None:
                self._fail(waiter)
            else:
                waiter.forward.count(dns.rcode.Rcode(reply[3] & 0xF))
                waiter.deliver(hand_back(sent, reply, waiter.forward.query, tcp=waiter.tcp))

    async def _ask_all(self, sent: Sent) -> bytes | None:
        """Give the first good answer; of those that only say that there is trouble, the last one."""
        troubled = None
        for resolver in self._resolvers * ROUNDS:
            try:
                with trio.fail_after(TRY_S):
                    verdict, reply = await self._ask_by_udp(sent, resolver)
                    if verdict is Verdict.ASK_WITHOUT_EDNS:
                        verdict, reply = await self._ask_by_udp(without_edns(sent), resolver)
                if verdict is Verdict.ASK_BY_TCP:
                    with trio.fail_after(TCP_TRY_S):
                        reply = await self._ask_by_tcp(sent, resolver)
            except (OSError, trio.TooSlowError, trio.BrokenResourceError):
                continue
            if reply[3] & 0xF not in TROUBLE:
                return reply
            troubled = reply
        return troubled

    async def _ask_by_udp(self, sent: Sent, resolver: Address) -> tuple[Verdict, bytes]:
        """Give the answer, or how else to ask for it."""
        with trio.socket.socket(family_of(resolver), socket.SOCK_DGRAM) as sock:
            # Connected, so that the system drops what comes from elsewhere, and picks a port at random.
            await sock.connect((resolver.host, resolver.port))
            await sock.send(sent.payload)
            for _ in range(MAX_STRAY):
                reply = await sock.recv(MAX_DATAGRAM)
                verdict = judge_untrusted(sent, reply)
                if verdict is not Verdict.NO_ANSWER:
                    return verdict, reply
        raise OSError("nothing but packets that are no answer")

    async def _ask_by_tcp(self, sent: Sent, resolver: Address) -> bytes:
        stream = await trio.open_tcp_stream(resolver.host, resolver.port)
        async with stream:
            await stream.send_all(len(sent.payload).to_bytes(2) + sent.payload)
            received = bytearray()
            while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
                chunk = await stream.receive_some(MAX_TCP)
                if not chunk:
                    break
                received += chunk
            reply = bytes(received[2 : 2 + int.from_bytes(received[:2])])
        if judge_untrusted(sent, reply, tcp=True) is not Verdict.ANSWER:
            raise OSError("no answer")
        return reply

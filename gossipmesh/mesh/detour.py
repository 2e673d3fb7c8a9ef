"""Gossip for members that no datagram reaches: it rides on a kept sync channel.

Law: to a member whose ``udp_blocked`` is set, what would be a datagram goes as an exchange, and what the member says
to it in the same turn comes back as the answer. It is lost as datagrams are: where the channel fails, or more waits
than may. Every half minute a ping tries UDP again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from gossipmesh.membership.members import Member
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import Message, Ping
from gossipmesh.mesh.exchanges import MAX_CARRIED, Carry, Exchanges, Kind, encode_carried
from gossipmesh.mesh.outputs import Exchange
from gossipmesh.model import NodeId

RETRY_UDP_S: Final = 30.0
"""The first ping after this long goes as a datagram again."""
MAX_WAITING: Final = MAX_CARRIED
"""Datagrams' worth of messages that wait for a member's exchange to end; they go together in the next one."""


@define
class _Line:
    """What is under way to one member, and what waits."""

    tried_at: float
    busy: bool = False
    waiting: list[bytes] = field(factory=list)


class Detour:
    """The exchanges that stand in for datagrams, one at a time to each member.

    Args:
        exchanges: what is under way; it bounds how many of ours there are.
        timeout_s: after this long an answer is of no use: a probe has ended by then.
        charter: gives the digest that rides behind pings and acks.
    """

    def __init__(
        self, exchanges: Exchanges, *, timeout_s: float, charter: Callable[[], bytes] = bytes
    ) -> None:
        self._charter = charter
        self._exchanges = exchanges
        self._timeout_s = timeout_s
        self._lines: dict[NodeId, _Line] = {}  # of blocked members only

    def tries_udp(self, member: Member, messages: tuple[Message, ...], *, now: float) -> Ping | None:
        """Give the ping among ``messages`` that should go as a datagram, where UDP is to be tried again.

        That ping only: over the channel too, its ack there would come first and close the probe. If no datagram comes
        back, the probe goes on to helpers and a stream probe as every other does.
        """
        line = self._lines.setdefault(member.id, _Line(tried_at=now))
        ping = next((m for m in messages if isinstance(m, Ping) and m.target == member.id), None)
        if ping is None or now < line.tried_at + RETRY_UDP_S:
            return None
        line.tried_at = now
        return ping

    def send(self, member: Member, messages: tuple[Message, ...], *, now: float) -> list[Exchange]:
        """Send ``messages`` over the channel, or keep them until the exchange under way has ended.

        Raises:
            LocalProtocolError: ``gossip.too-long``.
        """
        line = self._lines.setdefault(member.id, _Line(tried_at=now))
        if len(line.waiting) < MAX_WAITING:
            line.waiting.append(encode_messages(messages, self._charter()))
        return [] if line.busy else self._begin(line, member, now=now)

    def answered(self, member: Member, *, now: float) -> list[Exchange]:
        """Take that the exchange with a member is over; what waited goes next."""
        line = self._lines.get(member.id)
        if line is None:
            return []
        line.busy = False
        return self._begin(line, member, now=now) if line.waiting else []

    def failed(self, node: NodeId) -> None:
        """Take that the exchange with a member failed; what waited is lost with it."""
        line = self._lines.get(node)
        if line is not None:
            line.busy = False
            line.waiting.clear()

    def forget(self, node: NodeId) -> None:
        """Drop what is noted about a member: datagrams reach it, or it is gone."""
        self._lines.pop(node, None)

    def _begin(self, line: _Line, member: Member, *, now: float) -> list[Exchange]:
        request = encode_carried(Kind.CARRY, line.waiting)
        line.waiting.clear()
        exchange = self._exchanges.begin(
            Carry(),
            member.id,
            member.record.addresses,
            request,
            now=now,
            timeout_s=self._timeout_s,
            keep=True,
        )
        if exchange is None:
            return []
        line.busy = True
        return [exchange]

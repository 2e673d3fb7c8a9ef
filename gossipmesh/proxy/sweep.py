"""Requests under way when what decides about them changes: each is judged again, and ended where it is denied now.

A response of an hour, a WebSocket or a tunnel would else outlast every rule that was written against it. Thousands may
be under way, so they are judged in slices; the reactor has its turns in between. A request that comes meanwhile is
decided by what holds now, and needs no second look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from gossipmesh.model import NodeId
from gossipmesh.policy.decision import Source
from gossipmesh.proxy.admission import is_denied
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.proxy.quick_delivery import QuickDelivery
from gossipmesh.proxy.relaying import Relaying
from gossipmesh.proxy.tunnel import Tunnel
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream

SLICE: Final = 32
"""Streams judged in one go: some 0.1 ms."""
DENIED: Final = "AZ"


class Sweep:
    """Judges what is under way.

    Its queue holds no more than the channels that carry requests, and the streams of one of them.

    Args:
        ports: what surrounds the requests.
        busy: gives the channels from peers that carry requests.
        ended: is told how many streams were ended, after each slice in which some were.
    """

    def __init__(
        self,
        ports: InboundPorts,
        busy: Callable[[], Iterable[HopConnection]],
        *,
        ended: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._ports = ports
        self._busy = busy
        self._tell = ended
        self._channels: dict[HopConnection, None] = {}
        self._streams: deque[HopStream] = deque()
        self._known: dict[NodeId, Source | None] = {}
        self._due = False

    def judge_all(self) -> None:
        """Judge everything that is under way: the policy has changed. In a turn of the reactor."""
        self._streams.clear()
        self._channels = dict.fromkeys(self._busy())
        self._begin()

    def judge_changed(self) -> None:
        """Judge what comes from peers whose record or chain says something else than at the last call."""
        before, self._known = self._known, {}
        for channel in self._busy():
            peer = channel.peer
            source = self._known[peer.id] = self._ports.source(peer, "")
            # One that was not known may have changed between its first request and now.
            if peer.id not in before or before[peer.id] != source:
                self._channels[channel] = None
        self._begin()

    def _begin(self) -> None:
        if self._channels and not self._due:
            self._due = True
            self._ports.reactor.defer(self._step)

    def _step(self) -> None:
        streams, ended = self._streams, 0
        for _ in range(SLICE):
            while not streams and self._channels:
                channel = next(iter(self._channels))
                del self._channels[channel]
                streams.extend(channel.streams)
            if not streams:
                break
            ended += self._judge(streams.popleft())
        if ended:
            self._tell(ended)
        self._due = bool(streams or self._channels)
        if self._due:
            self._ports.reactor.defer(self._step)

    def _judge(self, stream: HopStream) -> bool:
        """Judge one stream; tell whether it was ended."""
        listener, ports = stream.listener, self._ports
        service = ports.service(stream.request.service)
        # What has no listener any more, or was reset, is over; what is for no service was refused.
        if listener is None or stream.flag is not None or service is None:
            return False
        if not is_denied(ports, stream.request, stream.peer, service):
            return False
        if isinstance(listener, Tunnel):
            listener.abort(DENIED)
            return True
        return isinstance(listener, QuickDelivery | Relaying) and listener.denied()

"""The body of a local app's request on its way to a stream, over as many attempts as it takes."""

from __future__ import annotations

import contextlib
import math

from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import End
from gossipmesh.errors import PeerGone, RequestError
from gossipmesh.proxy.body import ReplayableBody
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.stream import Stream
from gossipmesh.proxy.trailers import filter_trailers
from gossipmesh.transport.link import Link
from gossipmesh.transport.reactor import Reactor


class Upload:
    """Moves body bytes from the caller's connection to the stream of the present attempt.

    While the service takes nothing, or there is no stream yet, the caller is not read: at most one receive is held.

    Args:
        http: the caller's side of HTTP.
        link: the caller's connection.
        reactor: the time.
        limits: of the proxy.
        has_body: whether a body follows the request's head.
        stays_open: whether our direction is not ended with the body, since the stream may become a tunnel.
    """

    __slots__ = (
        "_blocked_since",
        "_body",
        "_http",
        "_limits",
        "_link",
        "_quiet_since",
        "_reactor",
        "_stays_open",
        "passed",
    )

    def __init__(
        self,
        http: Serving,
        link: Link,
        reactor: Reactor,
        limits: ProxyLimits,
        *,
        has_body: bool,
        stays_open: bool,
    ) -> None:
        self._http = http
        self._link = link
        self._reactor = reactor
        self._limits = limits
        self._stays_open = stays_open
        self._body = ReplayableBody(limits.replay_bytes)
        self._blocked_since = math.inf
        self._quiet_since = math.inf
        if has_body:
            self._quiet_since = reactor.now
        else:
            self._body.finish()
        self.passed = False
        """Whether the whole request went out, in the present attempt."""

    @property
    def size(self) -> int:
        """Bytes that came from the caller."""
        return self._body.size

    @property
    def replayable(self) -> bool:
        """Whether another attempt can have the same body."""
        return self._body.replayable

    @property
    def due(self) -> float:
        """When it will have taken too long that the caller sends nothing, or the service takes nothing."""
        if self._blocked_since < math.inf:
            return self._blocked_since + self._limits.write_idle_timeout_s
        return self._quiet_since + self._limits.body_idle_timeout_s

    @property
    def blocked(self) -> bool:
        """Whether it is the service that takes nothing."""
        return self._blocked_since < math.inf

    def whole(self) -> bytes | None:
        """Give the whole body if it is here and goes with its head; it counts as sent then."""
        body = self._body
        if not body.ended or body.size > MAX_LONG or self._stays_open:
            return None
        whole = body.whole()
        if whole is not None:
            self.skip()
        return whole

    def skip(self) -> None:
        """Count all of the body, which is here, as sent."""
        while self._body.take() is not None:
            pass
        self.passed = True

    def take(self) -> None:
        """Take what the caller sent.

        Raises:
            RequestError: it is not valid.
            PeerGone: the caller closed inside the body.
        """
        http, body = self._http, self._body
        if body.ended:
            return  # From here on silence means nothing.
        while data := http.take_body():
            body.put(data)
        self._quiet_since = self._reactor.now
        if http.body_ended:
            body.finish(filter_trailers(http.trailers))
            self._quiet_since = math.inf

    def hold(self) -> None:
        """Read no more of the caller: there is no stream yet."""
        self._link.pause()
        self._quiet_since = math.inf

    def discard(self) -> None:
        """Throw away what the caller sends on: it has its answer. What it breaks of HTTP is of no more interest."""
        with contextlib.suppress(RequestError, PeerGone):
            while self._http.take_body():
                pass

    def pump(self, stream: Stream) -> None:
        """Send what the service takes, and the end behind all of it.

        Raises:
            StreamResetError: the stream is of no more use.
        """
        body, link = self._body, self._link
        while (data := body.take()) is not None:
            sent = stream.send_data(data)
            if sent < len(data):
                body.put_back(memoryview(data)[sent:])
                if sent or self._blocked_since == math.inf:
                    self._blocked_since = self._reactor.now
                link.pause()
                return
        self._blocked_since = math.inf
        if link.paused and not (body.ended and self._http.buffered > self._limits.pipelined_bytes):
            link.resume()
            self._quiet_since = math.inf if body.ended else self._reactor.now
        if body.passed and not self.passed:
            if not self._stays_open:
                stream.send_end(End(trailers=body.trailers))
            self.passed = True

    def unblock(self) -> None:
        """Wait no longer for the service to take something; its answer has begun."""
        self._blocked_since = self._quiet_since = math.inf

    def restart(self) -> None:
        """Begin again with another attempt; only while :attr:`replayable`."""
        self._body.rewind()
        self._blocked_since = math.inf
        self.passed = False

"""A request to a host outside the mesh: one attempt, one connection, and the answer, told as a stream tells it.

The law: what is the mesh's own does not leave it, and does not come in from outside. Nothing is tried twice: there is
one such host, and what it has seen of the request nobody knows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from gossipmesh.channel.hop_messages import End, ResponseHead
from gossipmesh.errors import PeerGone, RemoteProtocolError, RequestError, StreamResetError
from gossipmesh.proxy.dialling import Dialler, Dialling
from gossipmesh.proxy.headers import Pairs, response_to_mesh
from gossipmesh.proxy.http1.asking import Asking
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import STATUS
from gossipmesh.routing.outcomes import AttemptOutcome
from gossipmesh.transport.hop_stream import StreamListener
from gossipmesh.transport.link import Link
from gossipmesh.transport.reactor import Reactor

_TEXTS: Final = {
    "UC": "the host closed the connection before it answered",
    "UPE": "the host's answer is not valid HTTP",
    "UT": "the host did not answer in time",
}


def host_port(host: str, port: int) -> str:
    """Give both as the access log has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class DirectAttempt:
    """The one attempt, in place of :class:`.attempts.Attempts`.

    Args:
        dialler: makes the connection.
        outside: the host, outside the mesh, and a port there.
        begin: starts the attempt on a connection.
        none_left: is told why there is none, or how it failed.
    """

    __slots__ = (
        "_begin",
        "_dialler",
        "_dialling",
        "_host",
        "_none_left",
        "_over",
        "_port",
        "count",
        "retried",
    )

    def __init__(
        self,
        dialler: Dialler,
        outside: tuple[str, int],
        begin: Callable[[socket.socket], None],
        none_left: Callable[[RequestError], None],
    ) -> None:
        self._dialler = dialler
        self._host, self._port = outside
        self._begin = begin
        self._none_left = none_left
        self._dialling: Dialling | None = None
        self._over = False
        self.count = 0
        self.retried: list[str] = []
        """Always empty."""

    @property
    def whom(self) -> str:
        """Whom it is with."""
        return host_port(self._host, self._port)

    def next(self) -> None:
        """Dial."""
        self.count = 1
        self._dialling = self._dialler.dial(self._host, self._port, self._dialled)

    def _dialled(self, result: socket.socket | RequestError) -> None:
        self._dialling = None
        if isinstance(result, RequestError):
            self._over = True
            self._none_left(result)
        else:
            self._begin(result)

    def failed(self, outcome: AttemptOutcome, *, replayable: bool = True) -> None:
        """Say how it failed; there is no other."""
        if not self._over:
            self._over = True
            flag = outcome.flag if outcome.flag in STATUS else "UC"
            self._none_left(RequestError(flag, STATUS[flag], f"{self.whom}: {_TEXTS.get(flag, 'failed')}"))

    def progressed(self) -> None:
        """Nothing: there is nobody to compare it with."""

    def answered(self, outcome: AttemptOutcome, end: End | None = None) -> None:
        """Note that it gave what the caller gets."""
        self._over = True

    def over(self) -> None:
        """Nothing: it had no place to wait for."""

    def abandon(self) -> None:
        """Dial no longer."""
        self._over = True
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()


class DirectStream:
    """A connection to a host outside the mesh, for one request, or for the bytes of a CONNECT.

    One receive at most is held each way.

    Resource handling: owns its socket until the response has ended, or :meth:`reset`; as a tunnel, until that is reset.
    Error handling: what the host does is told to the listener, in the flag of a reset.

    Args:
        reactor: calls back.
        sock: connected.
        limits: of the proxy.
        listener: is told of the response.
        fast_lane: whether plain heads may be read without h11.
        raw: whether no HTTP is spoken, from the start.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        limits: ProxyLimits,
        listener: StreamListener,
        *,
        fast_lane: bool,
        raw: bool = False,
    ) -> None:
        self.listener: StreamListener | None = listener
        self.sent_end = False
        self._http = Asking(limits, fast_lane=fast_lane)
        self._link = Link(reactor, sock, self)
        self._reactor = reactor
        self._patience_s = limits.write_idle_timeout_s
        self._alarm = reactor.alarm(self._close)
        self._raw = raw
        self._over = self._blocked = self._answering = self._reading = self._eof = self._told_end = False
        self._held = b""
        """Bytes of a tunnel that were not told yet."""
        self._owed = 0
        """Bytes that were told and not passed on yet."""

    # --- what is sent ----------------------------------------------------------------------------------------------

    def ask(self, method: bytes, target: bytes, headers: Pairs, body: bytes | None) -> None:
        """Send a request's head, and all of the request if its whole body is here.

        Raises:
            LocalProtocolError: the head is not valid; nothing was sent.
        """
        if body is None:
            self._link.send(self._http.request(method, target, headers))
        else:
            self._link.send(self._http.whole(method, target, headers, body))

    def send_data(self, data: bytes | memoryview) -> int:
        """Send all of it, or nothing while the host has not taken what was sent before."""
        self._raise_if_over()
        if self._link.unsent:
            self._blocked = True
            return 0
        self._link.send(bytes(data) if self._raw else self._http.data(bytes(data)))
        return len(data)

    def send_end(self, end: End) -> None:
        """End our direction."""
        self._raise_if_over()
        self.sent_end = True
        if self._raw:
            self._link.send_eof()
            self._close_if_over()
        elif not self._http.written and (data := self._http.end(end.trailers)):
            self._link.send(data)

    def _raise_if_over(self) -> None:
        if self._over:
            raise StreamResetError("UC")

    def consumed(self, size: int) -> None:
        """Read on, once all that was told is passed on."""
        self._owed -= size
        if self._owed <= 0 and not self._reading and not self._over:
            if not self._eof:
                self._link.resume()
            self._read()

    def reset(self, flag: str) -> None:
        """Close the connection; for bytes that are no HTTP, only a reset shows that they are cut."""
        if not self._over:
            self._close(reset=self._raw)

    def _close_if_over(self) -> None:
        """Close a tunnel both of whose directions have ended, once the host took everything."""
        if self.sent_end and self._told_end:
            if self._link.unsent:
                self._alarm.set(self._reactor.now + self._patience_s)
            else:
                self._close()

    def _close(self, *, reset: bool = False) -> None:
        self._over = True
        self.listener = None
        self._alarm.drop()
        self._link.close(reset=reset)

    # --- what comes ------------------------------------------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """Take what the host sent."""
        if self._raw:
            self._held += data
        else:
            self._http.receive(data)
        self._read()

    def eof_received(self) -> None:
        """The host sends no more."""
        self._eof = True
        self._http.receive_eof()
        self._read()

    def hung_up(self) -> None:
        """Nothing, while somebody reads slowly: what the host sent before is read first."""

    def drained(self) -> None:
        """The host took everything."""
        self._close_if_over()
        if self._blocked and self.listener is not None:
            self._blocked = False
            self.listener.credit_gained()

    def broken(self) -> None:
        """The connection is gone."""
        self._fail("UC")

    def _read(self) -> None:
        """Tell what is here, as far as it is passed on."""
        self._reading = True
        try:
            while self._owed <= 0 and self.listener is not None and self._tell_next(self.listener):
                pass
        except PeerGone:
            self._fail("UC")
        except RemoteProtocolError:
            self._fail("UPE")
        finally:
            self._reading = False
        if self._owed > 0:
            self._link.pause()

    def _tell_next(self, listener: StreamListener) -> bool:
        """Tell one thing; False if there is nothing more to tell now."""
        if self._raw:
            return self._tell_raw(listener)
        http = self._http
        if not self._answering:
            response = http.next_response()
            if response is None:
                return False
            self._answering = response.final
            if response.status == 101:
                self._raw = True
                self._held = http.take_raw()
            headers = response_to_mesh(response.headers, status=response.status)
            listener.head_received(ResponseHead(response.status, tuple(headers)))
            return True
        if data := http.take_body():
            self._owed += len(data)
            listener.data_received(data)
            return True
        if http.body_ended:
            self._close()
            listener.end_received(End(http.trailers))
        return False

    def _tell_raw(self, listener: StreamListener) -> bool:
        data, self._held = self._held, b""
        if data:
            self._owed += len(data)
            listener.data_received(data)
            return True
        if self._eof and not self._told_end:
            self._told_end = True
            listener.end_received(End())
            self._close_if_over()
        return False

    def _fail(self, flag: str) -> None:
        if not self._over:
            listener = self.listener
            self._close(reset=self._raw)
            if listener is not None:
                listener.reset_received(flag)

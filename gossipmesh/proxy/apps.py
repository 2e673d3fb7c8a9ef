"""Connections to the apps of this node: we ask, they answer.

The inbound side's half of HTTP. Apps are reached on loopback and on the port that this node's own configuration says:
nothing that came from the mesh chooses where a connection goes.
"""

from __future__ import annotations

import math
import select
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

import h11
import trio

from gossipmesh.channel.hop_messages import Headers, ResponseHead
from gossipmesh.errors import MeshError, RemoteProtocolError
from gossipmesh.proxy.http1.messages import PeerGone
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.oldhttp1 import Http1, PeerSilent

LOOPBACK: Final = "127.0.0.1"


class AppFault(MeshError):
    """An app failed a request that may have reached it.

    ``flag`` says how: ``UC`` it closed the connection, ``UPE`` it broke HTTP, ``UT`` it took nothing for too long.
    """

    def __init__(self, flag: str, text: str) -> None:
        super().__init__(f"app.{flag.lower()}", text)
        self.flag = flag


class AppRefused(AppFault):
    """No connection to an app could be made: nothing of the request reached it (``UF``)."""

    def __init__(self, text: str) -> None:
        super().__init__("UF", text)


class AppConnection:
    """One connection to an app, for one request at a time.

    Two tasks may use it at once: one sends the request, one receives the response.

    Resource handling: give it back with :meth:`AppPool.release`.
    Error handling: methods that wait raise :class:`AppFault`.
    """

    def __init__(self, stream: trio.SocketStream, port: int, limits: ProxyLimits) -> None:
        self.port = port
        self.reused = False
        """Whether it served a request before, so that the app may be closing it at this very moment."""
        self._http = Http1(stream, h11.CLIENT, limits)
        self._chunked = False

    async def send_head(self, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send a request's head.

        Raises:
            h11.LocalProtocolError: for a head that is not valid; nothing was sent.
            AppFault: as everywhere.
        """
        request = h11.Request(method=method, target=target, headers=list(headers))
        self._chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
        await self._send(request)

    async def send_data(self, data: bytes) -> None:
        """Send body bytes.

        Raises:
            h11.LocalProtocolError: for more of them than the head announced.
            AppFault: as everywhere.
        """
        await self._send(h11.Data(data=data))

    async def send_end(self, trailers: Headers) -> None:
        """End the request. Trailers are left out where the framing has no room for them.

        Raises:
            h11.LocalProtocolError: for less of a body than the head announced.
            AppFault: as everywhere.
        """
        await self._send(h11.EndOfMessage(headers=list(trailers) if self._chunked else []))

    async def _send(self, event: h11.Event) -> None:
        try:
            await self._http.send(event)
        except PeerGone as error:
            raise AppFault("UC", str(error)) from None
        except PeerSilent as error:
            raise AppFault("UT", str(error)) from None

    async def receive_head(self) -> ResponseHead:
        """Receive the next response head; interim ones first.

        Raises:
            AppFault: as everywhere.
        """
        try:
            event = await self._http.receive_head()
        except PeerGone as error:
            raise AppFault("UC", str(error)) from None
        except (RemoteProtocolError, h11.RemoteProtocolError) as error:
            raise AppFault("UPE", str(error)) from None
        assert isinstance(event, h11.Response | h11.InformationalResponse)
        if event.status_code > 599:
            raise AppFault("UPE", f"{event.status_code} is no HTTP status")
        return ResponseHead(event.status_code, tuple(event.headers.raw_items()))

    async def receive_body(self) -> bytes:
        """Receive the next bytes of the response's body; none at its end.

        Raises:
            AppFault: as everywhere.
        """
        try:
            return await self._http.receive_body()
        except PeerGone as error:
            raise AppFault("UC", str(error)) from None
        except (RemoteProtocolError, h11.RemoteProtocolError) as error:
            raise AppFault("UPE", str(error)) from None

    @property
    def trailers(self) -> Headers:
        """Of the response, once its body was received to the end."""
        return self._http.trailers

    @property
    def spare(self) -> bool:
        """Whether another request may be sent: both messages are over, and nothing came behind the response."""
        return self._http.complete and not self._http.excess

    @property
    def silent(self) -> bool:
        """Whether nothing was received since: a readable idle connection was closed, or was never ours to reuse."""
        poll = select.poll()
        poll.register(self._http.stream.socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def next_exchange(self) -> None:
        """Make ready for another request; only a :attr:`spare` connection."""
        self._http.next_exchange()
        self.reused = True

    def close(self) -> None:
        """Close the connection, at once."""
        self._http.close()


class AppPool:
    """Idle connections to this node's apps, each kept for less time than apps keep theirs.

    Resource handling: idle connections are closed by :meth:`run`, all of them when it is cancelled.
    Error handling: :meth:`acquire` raises :class:`AppRefused`.
    """

    def __init__(self, limits: ProxyLimits) -> None:
        self._limits = limits
        self._idle: dict[int, deque[tuple[float, AppConnection]]] = {}
        self._first_idle = trio.Event()
        self._stopped = False

    async def run(self) -> None:
        """Close what was idle for too long, until cancelled."""
        try:
            while True:
                expiry = self._close_expired(trio.current_time())
                if expiry < math.inf:
                    await trio.sleep_until(expiry)
                else:
                    self._first_idle = trio.Event()
                    await self._first_idle.wait()
        finally:
            self._stopped = True
            for queue in self._idle.values():
                for _, connection in queue:
                    connection.close()
            self._idle.clear()

    def _close_expired(self, now: float) -> float:
        """Close what has expired and give when the next one does; infinity if nothing is idle."""
        earliest = math.inf
        for port, queue in list(self._idle.items()):
            while queue and queue[0][0] <= now:
                queue.popleft()[1].close()
            if queue:
                earliest = min(earliest, queue[0][0])
            else:
                del self._idle[port]
        return earliest

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return sum(len(queue) for queue in self._idle.values())

    async def acquire(self, port: int, *, fresh: bool = False) -> AppConnection:
        """Give a connection to the app on ``port``: the one that was idle for the shortest time, or a new one.

        Args:
            port: on loopback.
            fresh: whether it has to be a new one.

        Raises:
            AppRefused: the app cannot be connected to within ``connect_timeout_s``.
        """
        now = trio.current_time()
        queue = self._idle.get(port)
        while queue and not fresh:
            expires, connection = queue.pop()
            if expires > now and connection.silent:
                return connection
            connection.close()
        return AppConnection(await self._connect(port), port, self._limits)

    async def _connect(self, port: int) -> trio.SocketStream:
        try:
            sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_STREAM)
        except OSError as error:
            raise AppRefused(f"no connection can be made to the app on port {port}: {error}") from None
        with ExitStack() as undo:
            undo.callback(sock.close)
            try:
                with trio.fail_after(self._limits.connect_timeout_s):
                    await sock.connect((LOOPBACK, port))
            except (OSError, trio.TooSlowError) as error:
                text = f"the app on port {port} cannot be connected to: {error}"
                raise AppRefused(text) from None
            undo.pop_all()
            return trio.SocketStream(sock)

    def release(self, connection: AppConnection) -> None:
        """Take back a connection after a request, to be used again if that is possible."""
        if self._stopped or not connection.spare:
            connection.close()
            return
        connection.next_exchange()
        queue = self._idle.setdefault(connection.port, deque())
        if len(queue) >= self._limits.app_idle_connections:
            queue.popleft()[1].close()
        queue.append((trio.current_time() + self._limits.app_keep_alive_s, connection))
        # What becomes idle later expires later, so only the first one needs to wake the task that closes them.
        self._first_idle.set()

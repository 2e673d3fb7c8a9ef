"""Where the data plane's connections come from: those that are made and those that are accepted, on the reactor."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable
from typing import Final

from gossipmesh.transport.reactor import Alarm, Reactor


class Connecting:
    """A connection that is being made; calls back once, in a turn, with a socket or an error.

    Args:
        reactor: calls back.
        address: as the socket module takes it; no names.
        family: ``AF_INET`` or ``AF_INET6``.
        timeout_s: seconds.
        done: gets the connected socket, or the OSError that says why there is none.
    """

    __slots__ = ("_alarm", "_done", "_reactor", "_sock")

    def __init__(
        self,
        reactor: Reactor,
        address: tuple[str, int] | tuple[str, int, int, int],
        family: socket.AddressFamily,
        timeout_s: float,
        done: Callable[[socket.socket | OSError], None],
    ) -> None:
        self._reactor = reactor
        self._done: Callable[[socket.socket | OSError], None] | None = done
        self._alarm: Alarm = reactor.alarm(self._too_late)
        self._sock: socket.socket | None = None
        try:
            self._sock = sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            code = sock.connect_ex(address)
        except OSError as error:
            self._finish(error)
            return
        if code in (0, errno.EISCONN):
            self._reactor.defer(self._connected)
        elif code != errno.EINPROGRESS:
            self._finish(OSError(code, errno.errorcode.get(code, "connect failed")))
        else:
            reactor.watch(sock.fileno(), self._ready, select.EPOLLOUT)
            self._alarm.set(reactor.now + timeout_s)

    def cancel(self) -> None:
        """Make no connection; nobody is called."""
        self._done = None
        self._close()

    def _ready(self, _: int) -> None:
        assert self._sock is not None
        self._reactor.forget(self._sock.fileno())
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._finish(OSError(code, errno.errorcode.get(code, "connect failed")))
        else:
            self._connected()

    def _connected(self) -> None:
        sock, self._sock = self._sock, None
        self._alarm.drop()
        done, self._done = self._done, None
        if done is not None and sock is not None:
            done(sock)

    def _too_late(self) -> None:
        self._finish(TimeoutError(errno.ETIMEDOUT, "no answer in time"))

    def _finish(self, error: OSError) -> None:
        self._close()
        self._reactor.defer(lambda: self._failed(error))

    def _failed(self, error: OSError) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(error)

    def _close(self) -> None:
        self._alarm.drop()
        sock, self._sock = self._sock, None
        if sock is not None:
            self._reactor.forget(sock.fileno())
            sock.close()


class Accepting:
    """A listening socket on the reactor.

    Resource handling: owns ``sock``; :meth:`close` closes it.

    Args:
        reactor: calls back.
        sock: bound and listening.
        accepted: gets every new connection.
        exhausted: is told when the system has no file descriptor left.
    """

    RETRY_S: Final = 0.1
    AT_ONCE: Final = 16
    """Connections taken in one callback, so that a storm of them leaves time for those that are open."""

    _EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        accepted: Callable[[socket.socket], None],
        exhausted: Callable[[], None] = lambda: None,
    ) -> None:
        sock.setblocking(False)
        self._reactor = reactor
        self._sock = sock
        self._accepted = accepted
        self._exhausted = exhausted
        self._retry = reactor.alarm(self._watch)
        self._watch()

    def _watch(self) -> None:
        self._reactor.watch(self._sock.fileno(), self._ready, select.EPOLLIN)

    def _ready(self, _: int) -> None:
        for _each in range(self.AT_ONCE):
            try:
                sock, _address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in self._EXHAUSTED:
                    self._exhausted()
                    self._reactor.forget(self._sock.fileno())
                    self._retry.set(self._reactor.now + self.RETRY_S)
                return  # Anything else is one connection that was gone before we looked.
            self._accepted(sock)

    def close(self) -> None:
        """Take what has come until now, and no more; once is enough."""
        if self._sock.fileno() == -1:
            return
        self._retry.drop()
        self._ready(select.EPOLLIN)
        self._retry.drop()
        self._reactor.forget(self._sock.fileno())
        self._sock.close()

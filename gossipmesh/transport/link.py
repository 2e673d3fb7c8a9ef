"""One TCP connection of the data plane: bytes in by callback, bytes out at once or when the other end takes them."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from collections import deque
from typing import Final, Protocol

from gossipmesh.transport.reactor import Reactor

RECEIVE_SIZE: Final = 98_304
"""Bytes read at once, at most, where nothing else is said: what its owner may have to hold. A body of 64 KiB comes with
its head in one read; a buffer of 128 KiB would be allocated in pages: 4 us a read instead of 1."""
LEAST_RECEIVE_SIZE: Final = 32_768
"""Bytes read at once as long as less comes."""
MAX_UNSENT: Final = 16 * 1024 * 1024
"""Bytes that may wait in a link; its owners stop far below, so to come here is a bug."""
MAX_JOINED: Final = 65_536
"""What waits is sent in pieces joined up to this size."""
GATHERED: Final = 1_024
"""Pieces of fewer bytes that wait are put together: who sends a byte at a time must not make us keep fifty for each."""
MAX_COPIED: Final = 16_384
"""Parts that are all shorter than this are joined: to name each to the system would cost more than to copy it."""
MAX_PARTS: Final = 64
"""Parts that are named to the system in one call."""
ACKNOWLEDGED_BELOW: Final = 16_384
"""Bytes of a message in one receive; with more, its sender does not wait for us to acknowledge them."""

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_HUNG_UP: Final = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP
_INT: Final = struct.Struct("i")
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger."""


def untaken(fd: int) -> int:
    """Give how many bytes the system holds of what was sent, until the other end acknowledges them."""
    (waiting,) = _INT.unpack(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(_INT.size)))
    return int(waiting)


class LinkOwner(Protocol):
    """Who is told what happens on a link, always in a turn of the reactor and never from within a call of its own."""

    def bytes_received(self, data: bytes) -> None:
        """Take what the other end sent; never nothing."""

    def eof_received(self) -> None:
        """The other end sends no more. Our own direction may go on."""

    def broken(self) -> None:
        """The connection is gone, both ways, and the link is closed."""

    def drained(self) -> None:
        """Everything that waited to be sent was taken."""

    def hung_up(self) -> None:
        """The other end closed its direction, or both, while reading was paused: unread bytes may come before that."""


class Link:
    """A connected, non-blocking socket on the reactor.

    Resource handling: owns ``sock``; end with :meth:`close`.
    Error handling: nothing raises; a lost connection is told to the owner once, by ``broken``, and closes the link.

    Args:
        reactor: calls back.
        sock: connected.
        owner: is told.
        most: bytes read at once, at most.
    """

    __slots__ = (
        "_deaf",
        "_ending",
        "_events",
        "_fd",
        "_most",
        "_owner",
        "_parked",
        "_queue",
        "_reactor",
        "_receive_size",
        "_recv",
        "_send",
        "_send_message",
        "_sock",
        "closed",
        "taken_at",
        "unsent",
    )

    def __init__(
        self, reactor: Reactor, sock: socket.socket, owner: LinkOwner, *, most: int = RECEIVE_SIZE
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reactor = reactor
        self._sock = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._receive_size = LEAST_RECEIVE_SIZE
        self._most = most
        self._send = sock.send
        self._send_message = sock.sendmsg
        self._owner = owner
        self._queue: deque[bytes | bytearray | memoryview] = deque()
        self._deaf = False
        self._ending = False
        self._parked = False
        self._events = _IN | select.EPOLLRDHUP
        self.closed = False
        self.unsent = 0
        """Bytes that wait to be taken by the other end."""
        self.taken_at = reactor.now
        """When the other end took something last, or when there began to be something to take."""
        reactor.watch(self._fd, self._ready, self._events)

    @property
    def paused(self) -> bool:
        """Whether nothing is read at present."""
        return not self._events & _IN

    # --- sending -----------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send ``data``, or as much as is taken now and the rest when that is possible."""
        if self.unsent or self.closed or self._deaf:
            if self.unsent:
                self._keep(data)
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail_to_send(error)
            return
        if sent != len(data):
            self.taken_at = self._reactor.now
            self._keep(memoryview(data)[sent:])
            self._watch(self._events | _OUT)

    def send_parts(self, parts: list[bytes | bytearray | memoryview]) -> None:
        """Send what ``parts`` are together; large ones are not copied for it. Nobody may change them afterwards."""
        if (
            self.unsent
            or self.closed
            or self._deaf
            or len(parts) > MAX_PARTS
            or max(map(len, parts)) < MAX_COPIED
        ):
            self.send(b"".join(parts))
            return
        try:
            sent = self._send_message(parts)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail_to_send(error)
            return
        for part in parts:
            if sent < len(part):
                if not self.unsent:
                    self.taken_at = self._reactor.now
                self._keep(memoryview(part)[sent:])
            sent = max(0, sent - len(part))
        if self.unsent:
            self._watch(self._events | _OUT)

    @property
    def untaken(self) -> int:
        """Bytes that the other end has not acknowledged yet, here and in the system's buffer."""
        return self.unsent + (0 if self.closed else untaken(self._fd))

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        queue = self._queue
        size = len(data)
        if size >= GATHERED:
            queue.append(data)
        elif queue and type(last := queue[-1]) is bytearray and len(last) < MAX_JOINED:
            last += data
        else:
            queue.append(bytearray(data))
        self.unsent += size
        assert self.unsent <= MAX_UNSENT, "an owner sends on although nothing is taken"

    def _flush(self) -> None:
        queue = self._queue
        while queue:
            data = queue.popleft()
            if len(data) < MAX_JOINED and queue:
                parts = [data]
                size = len(data)
                while queue and size + len(queue[0]) <= MAX_JOINED:
                    size += len(queue[0])
                    parts.append(queue.popleft())
                data = b"".join(parts)
            try:
                sent = self._send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._fail_to_send(error)
                return
            if sent:
                self.taken_at = self._reactor.now
                self.unsent -= sent
            if sent != len(data):
                queue.appendleft(memoryview(data)[sent:])
                return
        self._watch(self._events & ~_OUT)
        if self._ending:
            self._shut_down()
        self._owner.drained()

    def _fail_to_send(self, error: OSError) -> None:
        # The other end stopped reading; what it said before that may be here, an answer to half a request above all.
        # Reading comes to the end of it, and finds the connection broken.
        if self.paused or not isinstance(error, BrokenPipeError | ConnectionResetError):
            self._lose()
            return
        self._deaf = True
        self._queue.clear()
        self.unsent = 0
        self._watch(self._events & ~_OUT)

    def send_eof(self) -> None:
        """Say that we send no more, behind all that waits."""
        if not self._ending and not self.closed:
            self._ending = True
            if not self.unsent:
                self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()

    # --- receiving ---------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more until :meth:`resume`; that the other end hangs up is still told."""
        if self._events & _IN:
            self._watch(self._events & ~_IN)

    def resume(self) -> None:
        """Read on."""
        if not self._events & _IN and not self.closed:
            self._watch(self._events | _IN)

    def acknowledge(self) -> None:
        """Acknowledge at once what was read, where more of the same message is to come.

        Many servers and clients write a head and its body in two calls, and do not switch Nagle's algorithm off: their
        system keeps the body back until the head is acknowledged, and ours waits up to 40 ms with that, hoping to send
        something along (RFC 1122, section 4.2.3.2).
        """
        if not self.closed:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _ready(self, happened: int) -> None:
        if happened & _OUT and self._queue:
            self._flush()
            if self.closed:
                return
        if self._events & _IN:
            if happened & (_IN | _HUNG_UP):
                self._receive()
        elif happened & _HUNG_UP:
            self._park(happened)

    def _receive(self) -> None:
        try:
            data = self._recv(self._receive_size)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if data:
            self._fit(len(data))
            self._owner.bytes_received(data)
        elif self._deaf:
            self._lose()
        else:
            # Both would be reported for ever from here on.
            self._watch(self._events & ~(_IN | select.EPOLLRDHUP))
            self._owner.eof_received()

    def receive_more(self, most: int) -> bytes:
        """Give what else is here by now, at most ``most`` bytes and perhaps none.

        For an owner that is being told of bytes and knows how many belong to them. An end, or a failure, is told later.
        """
        try:
            return self._recv(most)
        except OSError:
            return b""

    def _fit(self, came: int) -> None:
        """Read more at once where the buffer was full, and less where it was nearly empty."""
        size = self._receive_size
        if came == size:
            self._receive_size = min(2 * size, self._most)
        elif size > LEAST_RECEIVE_SIZE and 4 * came < size:
            self._receive_size = size // 2

    def _park(self, happened: int) -> None:
        # Hanging up is reported as long as it lasts, asked for or not: not watched until somebody reads again.
        self._events &= ~select.EPOLLRDHUP
        if happened & (select.EPOLLHUP | select.EPOLLERR):
            self._reactor.forget(self._fd)
            self._parked = True
        else:
            self._reactor.rewatch(self._fd, self._events)
        self._owner.hung_up()

    def _watch(self, events: int) -> None:
        if events == self._events or self.closed:
            return
        self._events = events
        if self._parked:
            self._parked = False
            self._reactor.watch(self._fd, self._ready, events)
        else:
            self._reactor.rewatch(self._fd, events)

    # --- ending ------------------------------------------------------------------------------------------------

    def _lose(self) -> None:
        if not self.closed:
            self.close()
            self._reactor.defer(self._tell_broken)

    def _tell_broken(self) -> None:
        # Whoever owns the link by then: in the same turn it may have been handed on, to a tunnel say, and who had it
        # before is done with it.
        self._owner.broken()

    def close(self, *, reset: bool = False) -> None:
        """Close the connection at once, with what waits unsent, or reset it. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self._queue.clear()
        self.unsent = 0
        if not self._parked:
            self._reactor.forget(self._fd)
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._sock.close()

    def is_silent(self) -> bool:
        """Tell whether nothing has arrived: an idle connection that is readable was closed, or is not ours to use."""
        try:
            self._recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def adopt(self, owner: LinkOwner) -> None:
        """Tell ``owner`` from now on."""
        self._owner = owner

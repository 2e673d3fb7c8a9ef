"""An app that is never the slowest: precomputed answers on an epoll of its own. Prints its port.

The first letter of a request's path says what is answered: ``/s`` 16 bytes, ``/m`` 1 KiB, ``/l`` 64 KiB, and ``/x``
a stream of as many MiB as the path's next word says (``/x/1024``). Bodies of requests are read and thrown away.
"""

from __future__ import annotations

import re
import select
import socket
from typing import Final

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
PIECE: Final = bytes(1 << 18)
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
RECEIVE: Final = 1 << 18


def answer(size: int) -> bytes:
    return HEAD % size + (b'{"item": "%0*d"}\n' % (size - 13, 7))


ANSWERS: Final = {b"s": answer(16), b"m": answer(1 << 10), b"l": answer(1 << 16)}


class Caller:
    """One connection, which has one request at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = b""
        self.body_left = 0
        self.kind = b""
        self.unsent = memoryview(b"")
        self.pieces_left = 0

    def readable(self) -> bool:
        """Take what came and answer if that was all of a request; False: the connection is over."""
        try:
            data = self.sock.recv(RECEIVE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        if not self.head and data.endswith(b"\r\n\r\n") and data.startswith(b"GET"):
            return self.respond(data)
        return self._slowly(data)

    def _slowly(self, data: bytes) -> bool:
        """Read a request that came in parts, or that has a body."""
        if self.body_left:
            self.body_left -= len(data)
            return self.respond(self.head) if self.body_left <= 0 else True
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return True
        length = LENGTH.search(self.head, 0, end + 2)
        self.body_left = int(length[1]) - (len(self.head) - end - 4) if length else 0
        if not length and b"hunked\r\n" in self.head[:end]:
            raise SystemExit("a proxy sent a body in chunks: this app knows lengths only")
        return self.respond(self.head) if self.body_left <= 0 else True

    def respond(self, head: bytes) -> bool:
        self.head = b""
        self.body_left = 0
        slash = head.find(b" /") + 2
        kind = head[slash : slash + 1]
        if kind == b"x":
            megabytes = int(head[slash + 2 :].split(maxsplit=1)[0])
            self.pieces_left = megabytes * (1 << 20) // len(PIECE)
            return self.send(HEAD % (megabytes << 20))
        sent = self.send(ANSWERS[kind])
        # most proxies keep this to themselves; one that passes it on waits for the end of the connection
        return sent and b"onnection: close\r\n" not in head

    def send(self, data: bytes | memoryview) -> bool:
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        if sent < len(data) or self.pieces_left:
            self.unsent = memoryview(data)[sent:]
            EPOLL.modify(self.sock, select.EPOLLIN | select.EPOLLOUT)
        return True

    def writable(self) -> bool:
        """Send more of an answer; one piece a turn, so that nobody else waits for a stream."""
        if not self.unsent and self.pieces_left:
            self.pieces_left -= 1
            self.unsent = memoryview(PIECE)
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not self.unsent and not self.pieces_left:
            EPOLL.modify(self.sock, select.EPOLLIN)
        return True


EPOLL: Final = select.epoll()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    EPOLL.register(listener, select.EPOLLIN)
    entrance = listener.fileno()
    callers: dict[int, Caller] = {}
    while True:
        for number, events in EPOLL.poll():
            if number == entrance:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                callers[sock.fileno()] = Caller(sock)
                EPOLL.register(sock, select.EPOLLIN)
                continue
            caller = callers[number]
            alive = caller.writable() if events & select.EPOLLOUT else True
            if alive and events & ~select.EPOLLOUT:
                alive = caller.readable()
            if not alive:
                del callers[number]
                caller.sock.close()


if __name__ == "__main__":
    main()

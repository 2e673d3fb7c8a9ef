"""A relay for one mesh port, UDP and TCP, that keeps every byte that passes: what somebody on the wire would see."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Final, Self

TRIES: Final = 50
READ: Final = 65_536


def _same_port() -> tuple[socket.socket, socket.socket]:
    """Bind one port of 127.0.0.1 for TCP and UDP."""
    for _ in range(TRIES):
        listener = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(listener.getsockname())
        except OSError:
            listener.close()
            udp.close()
        else:
            return listener, udp
    raise AssertionError("no port is free for both TCP and UDP")


class RecordingRelay:
    """Stands where a node says that it is; :attr:`target` is where the node really listens.

    Args:
        datagrams: whether UDP is passed on, too.
    """

    def __init__(self, *, datagrams: bool = True) -> None:
        self._datagrams = datagrams
        self._listener, self._udp = _same_port()
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._outside: dict[tuple[str, int], socket.socket] = {}
        self._inside: dict[socket.socket, tuple[str, int]] = {}
        self.target: tuple[str, int] | None = None
        self.tcp_bytes = bytearray()
        self.udp_bytes = bytearray()
        for each in (self._listener, self._udp, self._woken):
            self._selector.register(each, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where the relay listens: ``host:port``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def forward_to(self, address: str) -> None:
        """Say where the node behind the relay listens."""
        host, _, port = address.rpartition(":")
        self.target = (host, int(port))

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._woken:
                    return
                with contextlib.suppress(OSError):
                    if ready is self._listener:
                        self._accept()
                    elif ready is self._udp:
                        self._from_outside()
                    elif ready in self._inside:
                        self._from_inside(ready)
                    else:
                        self._pass_on(ready)

    def _accept(self) -> None:
        outer, _ = self._listener.accept()
        if self.target is None:
            outer.close()
            return
        try:
            inner = socket.create_connection(self.target)
        except OSError:
            outer.close()
            raise
        for one, other in ((outer, inner), (inner, outer)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        try:
            data = source.recv(READ)
        except OSError:
            data = b""
        sink = self._peers.get(source)
        if data and sink is not None:
            self.tcp_bytes += data
            with contextlib.suppress(OSError):
                sink.sendall(data)
                return
        for each in (source, sink):
            if each is not None and self._peers.pop(each, None) is not None:
                self._selector.unregister(each)
                each.close()

    def _from_outside(self) -> None:
        data, source = self._udp.recvfrom(READ)
        self.udp_bytes += data
        if self.target is None or not self._datagrams:
            return
        if source not in self._outside:
            inner = self._outside[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            inner.connect(self.target)
            self._inside[inner] = source
            self._selector.register(inner, selectors.EVENT_READ)
        self._outside[source].send(data)

    def _from_inside(self, inner: socket.socket) -> None:
        data = inner.recv(READ)
        self.udp_bytes += data
        self._udp.sendto(data, self._inside[inner])

    def close(self) -> None:
        """Stop and close everything."""
        self._wake.send(b"x")
        self._thread.join()
        self._selector.close()
        for each in (self._listener, self._udp, self._wake, self._woken, *self._peers, *self._inside):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

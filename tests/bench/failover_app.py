"""An app that keeps a journal of what it processed, fails if it is told to, and ends in good order on SIGTERM.

    python failover_app.py NAME PORT JOURNAL [--fail 503|close|late] [--through HOST:PORT SERVICE]

The first word of a path says what is answered: ``/small/ID`` 16 bytes, ``/large/ID`` 1 MiB, ``/slow/ID`` 16 bytes after
100 ms. Each request is a line of the journal as soon as all of it is here: what is written to a file outlives the
process. ``X-App`` tells which process answered. ``--through`` asks SERVICE through a proxy for every answer, and passes
on the request's headers as apps do that trace their calls.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import Final

SMALL: Final = 16
LARGE: Final = 1 << 20
SLOW_S: Final = 0.1
BODY: Final = bytes(LARGE)
PASSED_ON: Final = (b"traceparent", b"x-request-id", b"x-gossipmesh-")
ASK_S: Final = 30.0


class App:
    """What all connections of one process share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.name = f"{options.name}.{os.getpid()}"
        self.fails: str = options.fail
        self.through: list[str] = options.through
        self.connections: set[Connection] = set()
        self.ending = False
        self.over = asyncio.Event()
        self._journal = os.open(options.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, method: bytes, target: bytes) -> None:
        os.write(self._journal, b"%b %b\n" % (method, target.rpartition(b"/")[2]))

    def end(self) -> None:
        """Take no more work, answer what was asked, and be over then."""
        self.ending = True
        for connection in tuple(self.connections):
            connection.end_if_idle()
        self.lost(None)

    def lost(self, connection: Connection | None) -> None:
        self.connections.discard(connection)
        if self.ending and not self.connections:
            self.over.set()


class Connection(asyncio.Protocol):
    """One connection from a proxy: one request at a time."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._received = b""
        self._busy = False
        self._asking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._app.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._app.lost(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended:
            return
        lines = head.split(b"\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
        }
        size = int(fields.get(b"content-length", b"0"))
        if b"transfer-encoding" in fields:
            self._transport.abort()  # the load sends lengths only, so no proxy has a reason for chunks
            return
        if len(body) < size:
            return
        self._received, self._busy = body[size:], True
        method, target, _ = lines[0].split(b" ")
        if target == b"/health":
            self._respond(200, b"well\n")
            return
        self._app.note(method, target)
        if self._app.fails == "close":
            self._transport.abort()
        elif self._app.fails == "late":
            asyncio.get_running_loop().call_later(SLOW_S, self._transport.abort)
        elif self._app.through:
            self._asking = asyncio.get_running_loop().create_task(self._ask_on(target, fields))
        elif target.startswith(b"/slow/"):
            asyncio.get_running_loop().call_later(SLOW_S, self._answer, SMALL)
        else:
            self._answer(LARGE if target.startswith(b"/large/") else SMALL)

    async def _ask_on(self, target: bytes, fields: dict[bytes, bytes]) -> None:
        proxy, service = self._app.through
        copied = [
            f"{name.decode()}: {value.decode()}\r\n"
            for name, value in fields.items()
            if name.startswith(PASSED_ON)
        ]
        try:
            host, _, port = proxy.partition(":")
            async with asyncio.timeout(ASK_S):
                reader, writer = await asyncio.open_connection(host, int(port))
                ask = f"GET {target.decode()} HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n{''.join(copied)}\r\n"
                writer.write(ask.encode())
                status = int((await reader.readline()).split(b" ")[1])
                writer.close()
        except (OSError, IndexError, TimeoutError):
            status = 502
        self._respond(status, BODY[:SMALL])

    def _answer(self, size: int) -> None:
        if self._app.fails:
            self._respond(503, BODY[:SMALL])
        else:
            self._respond(200, BODY[:size])

    def _respond(self, status: int, body: bytes) -> None:
        last = b"Connection: close\r\n" if self._app.ending else b""
        head = b"HTTP/1.1 %d X\r\nX-App: %b\r\nContent-Length: %d\r\n%b\r\n"
        self._transport.write(head % (status, self._app.name.encode(), len(body), last) + body)
        self._busy = False
        if last:
            self._transport.close()
        elif self._received:
            self._next()

    def end_if_idle(self) -> None:
        if not self._busy and not self._received:
            self._transport.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("port", type=int)
    parser.add_argument("journal")
    parser.add_argument("--fail", default="", choices=("503", "close", "late"))
    parser.add_argument("--through", nargs=2, default=[])
    loop = asyncio.get_running_loop()
    app = App(parser.parse_args())
    options = parser.parse_args()
    server = await loop.create_server(lambda: Connection(app), "127.0.0.1", options.port, backlog=1024)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    print("listening", flush=True)
    await stopped.wait()
    server.close()
    app.end()
    await app.over.wait()


if __name__ == "__main__":
    asyncio.run(main())

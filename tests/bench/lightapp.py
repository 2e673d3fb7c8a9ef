"""An app that costs next to nothing: it answers every request head with the same 16 bytes. Prints its port."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

BODY: Final = b"0123456789abcde\n"
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nX-Instance: %s\r\n\r\n%s"
)


class Answering(asyncio.Protocol):
    """Counts ends of heads; requests with a body are not for this app."""

    answer = b""

    def __init__(self) -> None:
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self._pending = (self._pending + data).split(b"\r\n\r\n")
        self._transport.write(self.answer * len(heads))


async def main() -> None:
    Answering.answer = ANSWER % (len(BODY), sys.argv[1].encode(), BODY)
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""A load generator: so many connections, each with one request at a time, for so many seconds; prints JSON.

    python load.py HOST:PORT CONNECTIONS SECONDS varied|same PATH BYTES-OF-BODY keep|close

For where wrk is not installed: it costs several times as much per request, so what is measured may have to wait for it.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from heads import requests

STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Asking(asyncio.Protocol):
    """One connection: the next request goes out when the answer is complete, on a new one where it must end."""

    def __init__(self, requests: Iterator[bytes], close: bool, tally: Tally) -> None:
        self._requests = requests
        self._close = close
        self._tally = tally
        self._pending = b""
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._asked = True
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._pending += data
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            return
        length = LENGTH.search(self._pending, 0, end + 2)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._pending) < whole:
            return
        status = STATUS.match(self._pending)
        self._tally.count(status[1] == b"200" if status else False, time.perf_counter() - self._sent)
        self._pending = self._pending[whole:]
        self._asked = False
        if self._close:
            self._transport.close()
        elif not self._tally.over:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._tally.over:
            self._tally.failed += self._asked
            self._tally.lost.set()


class Tally:
    """What came of the requests."""

    def __init__(self) -> None:
        self.over = False
        self.failed = 0
        self.latencies_s: list[float] = []
        self.lost = asyncio.Event()

    def count(self, good: bool, latency_s: float) -> None:
        if good:
            self.latencies_s.append(latency_s)
        else:
            self.failed += 1

    def as_json(self, seconds: float) -> str:
        steps = statistics.quantiles(self.latencies_s, n=100) if len(self.latencies_s) > 1 else [0.0] * 99
        answered = len(self.latencies_s)
        return json.dumps(
            {
                "answered": answered,
                "failed": self.failed,
                "took_s": seconds,
                "p50_us": steps[49] * 1e6,
                "p99_us": steps[98] * 1e6,
            }
        )


async def main() -> None:
    address, connections, seconds, heads, path, upload, ending = sys.argv[1:]
    host, _, port = address.rpartition(":")
    close = ending == "close"
    asked = requests(path, varied=heads == "varied", upload=int(upload), close=close)
    tally = Tally()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made: list[asyncio.BaseTransport] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(float(seconds)):
            while True:
                made = [each for each in made if not each.is_closing()]
                for _ in range(int(connections) - len(made)):
                    made.append(
                        (await loop.create_connection(lambda: Asking(asked, close, tally), host, int(port)))[
                            0
                        ]
                    )
                await tally.lost.wait()
                tally.lost.clear()
    tally.over = True
    took = time.perf_counter() - started
    for transport in made:
        transport.close()
    print(tally.as_json(took))


if __name__ == "__main__":
    asyncio.run(main())

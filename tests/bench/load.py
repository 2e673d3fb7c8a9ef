"""A load generator: so many connections, each with one request at a time, for so many seconds; prints JSON.

    python load.py HOST:PORT http://SERVICE/ CONNECTIONS SECONDS

Every request has a path and an id of its own, as real ones have: equal heads would flatter whoever remembers them.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import time
from typing import Final

HEAD: Final = (
    "GET {url}items/{number}?page={page} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gossipmesh-bench\r\n"
    "Accept: application/json\r\nX-Request-Id: {number:032x}\r\n\r\n"
)
STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Asking(asyncio.Protocol):
    """One connection: the next request goes out when the answer is complete."""

    def __init__(self, url: str, first: int, tally: Tally) -> None:
        self._url = url
        self._host = url.split("/")[2]
        self._number = first
        self._tally = tally
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._number += 1
        self._sent = time.perf_counter()
        head = HEAD.format(url=self._url, host=self._host, number=self._number, page=self._number % 97)
        self._transport.write(head.encode())

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
        if not self._tally.over:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._tally.over:
            self._tally.failed += 1


class Tally:
    """What came of the requests."""

    def __init__(self) -> None:
        self.over = False
        self.failed = 0
        self.latencies_s: list[float] = []

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
                "per_second": answered / seconds,
                "p50_us": steps[49] * 1e6,
                "p99_us": steps[98] * 1e6,
            }
        )


async def main() -> None:
    address, url, connections, seconds = sys.argv[1:]
    host, _, port = address.rpartition(":")
    tally = Tally()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made = [
        await loop.create_connection(lambda first=each << 40: Asking(url, first, tally), host, int(port))
        for each in range(int(connections))
    ]
    await asyncio.sleep(float(seconds))
    tally.over = True
    took = time.perf_counter() - started
    for transport, _ in made:
        transport.abort()
    print(tally.as_json(took))


if __name__ == "__main__":
    asyncio.run(main())

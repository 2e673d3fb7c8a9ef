"""An open-loop load: each request is sent when it is due, whatever became of those before it.

    python openloop.py HOST:PORT FILE [--seconds S] [--gets N] [--posts N] [--seed N]

Latency counts from the moment a request was *due*, so that a proxy (or this program) that stalls hides nothing (the
error of not doing so is called coordinated omission). How late requests left here is in the results too. One line of
JSON for each request goes to FILE at the end, times in seconds of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import time
from pathlib import Path
from typing import Any, Final

ANSWER_S: Final = 20.0
"""Who has no answer by then got none."""
LARGE_SHARE: Final = 0.03
SLOW_SHARE: Final = 0.10
SIZES: Final = {"small": 16, "large": 1 << 20, "slow": 16}
BODY: Final = b"b" * 64
HEAD: Final = (
    "{method} /{kind}/{number} HTTP/1.1\r\nHost: hello\r\nUser-Agent: openloop\r\nAccept: */*\r\n"
    "X-Request-Id: {number}\r\n"
)


class Request:
    """One request and what became of it."""

    __slots__ = (
        "app",
        "due",
        "ended",
        "error",
        "first",
        "flag",
        "kind",
        "method",
        "number",
        "sent",
        "size",
        "status",
    )

    def __init__(self, number: int, method: str, kind: str, due: float) -> None:
        self.number, self.method, self.kind, self.due = number, method, kind, due
        self.sent = self.first = self.ended = 0.0
        self.status = self.size = 0
        self.app = self.flag = self.error = ""

    def bytes(self) -> bytes:
        head = HEAD.format(method=self.method, kind=self.kind, number=self.number).encode()
        if self.method == "POST":
            return head + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        return head + b"\r\n"

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Connection(asyncio.Protocol):
    """One kept-alive connection, with one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._request: Request | None = None
        self._head = b""
        self._left = -1
        self._close = False
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: Request) -> None:
        self._request, self._head, self._left, self._close = request, b"", -1, False
        self._timeout = asyncio.get_running_loop().call_later(ANSWER_S, self._too_late)
        self._transport.write(request.bytes())
        request.sent = time.monotonic()

    def data_received(self, data: bytes) -> None:
        request = self._request
        if request is None:
            self._transport.abort()
            return
        if self._left < 0:
            request.first = request.first or time.monotonic()
            self._head += data
            head, ended, data = self._head.partition(b"\r\n\r\n")
            if not ended:
                return
            self._read_head(request, head)
        self._left -= len(data)
        request.size += len(data)
        if self._left <= 0:
            self._over("" if self._left == 0 else "longer than it said")

    def _read_head(self, request: Request, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        request.status = int(lines[0].split(" ")[1])
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        self._left = int(fields.get("content-length", "0"))
        self._close = "close" in fields.get("connection", "")
        request.app = fields.get("x-app", "")
        request.flag = fields.get("x-gossipmesh-error", "")

    def _too_late(self) -> None:
        self._over("no answer in time")
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.idle.discard(self)
        if self._request is not None:
            self._over(f"connection closed: {exc}")

    def _over(self, error: str) -> None:
        request, self._request = self._request, None
        assert request is not None
        assert self._timeout is not None
        self._timeout.cancel()
        request.error, request.ended = error, time.monotonic()
        self._load.over(request)
        if self._close or error:
            self._transport.close()
        else:
            self._load.idle.add(self)


class Load:
    """All requests of one run."""

    def __init__(self, address: str) -> None:
        self.idle: set[Connection] = set()
        self.done: list[Request] = []
        self.wanted = -1
        self.all_over = asyncio.Event()
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, request: Request) -> None:
        if self.idle:
            self.idle.pop().ask(request)
            return
        task = asyncio.get_running_loop().create_task(self._open(request))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, request: Request) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), self._host, self._port
            )
        except OSError as error:
            request.error, request.ended = f"no connection: {error}", time.monotonic()
            request.sent = request.sent or request.ended
            self.over(request)
        else:
            connection.ask(request)

    def over(self, request: Request) -> None:
        self.done.append(request)
        if len(self.done) == self.wanted:
            self.all_over.set()


def schedule(options: argparse.Namespace, begin: float) -> list[Request]:
    """Give all requests, evenly spaced by method; what each asks for is a matter of the seed."""
    rng = random.Random(options.seed)
    due = [(number / options.gets, "GET") for number in range(int(options.gets * options.seconds))]
    due += [(number / options.posts, "POST") for number in range(int(options.posts * options.seconds))]
    requests = []
    for number, (offset, method) in enumerate(sorted(due)):
        dice = rng.random()
        kind = "slow" if dice < SLOW_SHARE else "small"
        if method == "GET" and dice > 1 - options.large:
            kind = "large"
        requests.append(Request(number, method, kind, begin + offset))
    return requests


async def run(options: argparse.Namespace) -> list[Request]:
    load = Load(options.address)
    requests = schedule(options, time.monotonic() + 0.5)
    for request in requests:
        wait_s = request.due - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        load.send(request)
    load.wanted = len(requests)
    if len(load.done) < load.wanted:
        async with asyncio.timeout(ANSWER_S + 5.0):
            await load.all_over.wait()
    return sorted(load.done, key=lambda each: each.number)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("file")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--gets", type=float, default=200.0)
    parser.add_argument("--posts", type=float, default=20.0)
    parser.add_argument("--large", type=float, default=LARGE_SHARE, help="the share of GETs for 1 MiB")
    parser.add_argument("--seed", type=int, default=1)
    gc.freeze()
    gc.disable()  # Nothing here makes cycles, and a collection would be lateness of ours.
    options = parser.parse_args()
    lines = [json.dumps(request.as_json()) for request in asyncio.run(run(options))]
    Path(options.file).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

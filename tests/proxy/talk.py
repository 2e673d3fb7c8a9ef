"""What apps answer, and how callers ask, in the tests of whole requests; they get it by the fixture ``lab``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio
from trio.testing import wait_all_tasks_blocked

from gossipmesh.model import Address

Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Asked(Protocol):
    """Whatever has a proxy."""

    proxy: Address


# --- apps --------------------------------------------------------------------------------------------------------


async def read_request(stream: trio.SocketStream) -> bytes:
    """Read one whole request; nothing if the other end closes before it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", 0))
    chunked = b"transfer-encoding" in fields
    while len(body) < length or (chunked and not body.endswith(b"\r\n\r\n")):
        body += await stream.receive_some()
    return head + b"\r\n\r\n" + body


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Handler:
    """Give an app that answers its requests, on whichever connection, with these; then it closes."""
    left = list(answers)

    async def handle(stream: trio.SocketStream) -> None:
        while request := await read_request(stream):
            if seen is not None:
                seen.append(request)
            if not left:
                return
            await stream.send_all(left.pop(0))

    return handle


def closing(answer: bytes) -> Handler:
    """Give an app that answers the first request of each connection and closes it."""

    async def handle(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(answer)

    return handle


async def refusing(stream: trio.SocketStream) -> None:
    raise AssertionError("nothing of this request may reach an app")


async def silent(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def echo(stream: trio.SocketStream) -> None:
    request = await read_request(stream)
    body = request.partition(b"\r\n\r\n")[2]
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def breaking_off(answer: bytes, then: bytes, seen: trio.Event) -> Handler:
    """Give an app that answers in part, waits until that was seen, says ``then`` and closes."""

    async def handle(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(answer)
        await seen.wait()
        await stream.send_all(then)

    return handle


# --- callers -----------------------------------------------------------------------------------------------------


async def connect(daemon: Asked) -> trio.SocketStream:
    return await trio.open_tcp_stream(daemon.proxy.host, daemon.proxy.port)


async def ask(daemon: Asked, request: bytes) -> bytes:
    """Send a request and give everything that comes until the connection is closed."""
    stream = await connect(daemon)
    async with stream:
        await stream.send_all(request)
        received = b""
        async for data in stream:
            received += data
    return received


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        data = await stream.receive_some()
        assert data, f"closed after {received!r}"
        received += data
    return received


def flag_of(answer: bytes) -> tuple[int, str]:
    """Give the status and the flag of an answer of the mesh's own."""
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    flags = [line.partition(b": ")[2].decode() for line in head if line.startswith(b"x-gossipmesh-error: ")]
    return int(head[0].split()[1]), flags[0] if flags else ""


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await wait_all_tasks_blocked()

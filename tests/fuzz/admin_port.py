"""One connection to the admin API, and a client that says whatever it likes and goes when it likes.

The input's first byte says which door the client is at, and how it goes; the rest is what it says, in pieces, with
two zero bytes between them. After each piece the node's picture changes, so that who waits or follows hears of it.
Whatever comes: nothing leaves the connection's task, no bug is counted there, its place is free again once the client
is gone, and what the client was given begins as an answer does.

    admin_port.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from random import Random
from typing import Any, Final, NoReturn, cast

import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from adminlab import Node
from fuzzing import fuzz
from gossipmesh.daemon.admin import server
from gossipmesh.daemon.admin.bugs import Bugs
from gossipmesh.daemon.admin.changes import Picture
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.places import MAX_CONNECTIONS, Places
from gossipmesh.daemon.admin.server import OWNER, door_of
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.model import Address

OWNERS: Final = 1
"""In the first byte: the client is at the unix socket."""
HALF: Final = 2
"""It says that it will say no more, and then still listens for a while."""
DEAF: Final = 4
"""It takes nothing of what it is sent."""
LATE: Final = 8
"""It goes just when there is something to be sent."""
PAUSE: Final = b"\0\0"
MAX_PIECES: Final = 8
STEP_S: Final = 0.1
"""Between any two things that the client does, by a clock that does not wait: enough to hear of a change."""
READER: Final = door_of(Address("127.0.0.1", 4191))


class Book:
    """The node's own services, of which there is one."""

    def listing(self) -> dict[str, object]:
        return {"services": [{"name": "web", "port": 80}], "speaker": ""}

    async def add(self, *_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()

    async def remove(self, name: str) -> None:
        raise MeshError("service.unknown", f"this node offers no service {name}")

    change = renew = add


class Talkative(Node):
    """A node that has an answer to everything, and whose services change when it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.book = Book()
        self.news = News(self._picture, first=1, rng=Random(1))

    def _picture(self) -> Picture:
        entries: dict[str, object] = {"hello": self.changes}
        return Picture({}, cast("Any", entries), "", lambda _: None, lambda name: {"name": name})

    def change(self) -> None:
        self.changes += 1
        self.news.touch()

    def can(self, *_: object, **__: object) -> Mapping[str, object]:
        raise ConfigError("config.value", "there is no such source")

    def _unknown(self, *_: object) -> Mapping[str, object]:
        raise MeshError("policy.unknown", "nothing is remembered")

    policy = explain = explain_past = _unknown

    def policy_history(self) -> list[object]:
        return []

    async def try_policy(self, body: bytes, *, signed: bool) -> Mapping[str, object]:
        await trio.lowlevel.checkpoint()
        return {"bytes": len(body), "signed": signed}


def run(data: bytes, node: Node | None = None) -> str:
    """Hold the conversation that ``data`` is; tell how it went.

    Raises:
        AssertionError: it broke something.
    """
    told: list[str] = []
    clock = MockClock(autojump_threshold=0)
    answer = trio.run(partial(_talk, data, node or Talkative(), Bugs(told.append)), clock=clock)
    assert not told, told
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:40]
    return answer[9:12].decode() or "silence"


async def _talk(data: bytes, node: Node, bugs: Bugs) -> bytes:
    how = data[0] if data else 0
    places = Places()
    await places.take()
    client, stream = memory_stream_pair()
    answer = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.news.run)
        async with trio.open_nursery() as served:
            door = OWNER if how & OWNERS else READER
            served.start_soon(server._connection, cast("Any", node), cast("Any", stream), door, places, bugs)
            if not how & DEAF:
                served.start_soon(_listen, client, answer)
            try:
                for piece in data[1:].split(PAUSE)[:MAX_PIECES]:
                    await client.send_all(piece)
                    await _pass_time()
                    _change(node)
                    await _pass_time()
                if how & HALF:
                    await client.send_eof()
            except trio.BrokenResourceError:
                pass  # it was hung up on
            if how & LATE:
                _change(node)
            await client.aclose()
            await _pass_time()
            _change(node)
        nursery.cancel_scope.cancel()
    assert places._free.value == MAX_CONNECTIONS, "its place is not free again"
    return bytes(answer)


async def _pass_time() -> None:
    """Let everybody do what they can, now and a little later."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    await wait_all_tasks_blocked()
    clock.jump(STEP_S)
    await wait_all_tasks_blocked()


async def _listen(client: trio.abc.Stream, answer: bytearray) -> None:
    try:
        async for part in client:
            answer += part
    except trio.ClosedResourceError:
        pass  # the client has gone, and this is its ear


def _change(node: Node) -> None:
    if isinstance(node, Talkative):
        node.change()


def examples() -> Iterator[tuple[str, bytes]]:
    """Give inputs that get far, by name: ``make fuzz`` begins with them."""

    def said(method: str, target: str, more: str = "", *, version: str = "1.1") -> bytes:
        return f"{method} {target} HTTP/{version}\r\nHost: localhost\r\n{more}\r\n".encode()

    both = b"\x01", b"\x00"
    for name, door in zip(("owner", "reader"), both, strict=True):
        yield f"paths-{name}", door + b"".join(said("GET", path) for path in ("/", "/metrics", "/v1/status"))
        yield (
            f"own-{name}",
            door + said("PUT", "/v1/own-services/web", "Content-Length: 12\r\n") + b'{"port": 80}',
        )
    yield "head-body", b"\x00" + said("HEAD", "/healthz", "Content-Length: 2\r\n") + b"{}"
    yield "head-http2", b"\x00" + said("HEAD", "/healthz", version="2.0")
    two = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    yield "head-two-lengths", b"\x00" + said("HEAD", "/", two) + b"0\r\n\r\n"
    yield "head-chunks", b"\x00" + said("HEAD", "/", "Transfer-Encoding: chunked\r\n") + b"no chunk\r\n"
    yield "head-events", b"\x00" + said("HEAD", "/v1/events")
    yield "events", b"\x08" + said("GET", "/v1/events?types=services")
    yield "events-more", b"\x0c" + said("GET", "/v1/events") + PAUSE + b"\n"
    yield "events-half", b"\x02" + said("GET", "/v1/events", "Last-Event-ID: 0\r\n")
    wait = said("GET", "/v1/services?index=1&wait=10m")
    yield "wait", b"\x00" + wait + PAUSE + said("GET", "/readyz")
    yield "wait-more", b"\x04" + said("GET", "/v1/members?index=1&wait=10m") + PAUSE + b"\n"
    yield (
        "expect",
        b"\x01" + said("PUT", "/v1/own-services/web", "Content-Length: 2\r\nExpect: 100-continue\r\n"),
    )
    yield "charter", b"\x01" + said("POST", "/v1/charter/policy", "Content-Length: 4\r\n") + b"good"
    yield "trial", b"\x01" + said("POST", "/v1/policy/seen", "Content-Length: 4\r\n") + b"good"
    yield "switch", b"\x01" + said("CONNECT", "/", "Upgrade: h2c\r\nConnection: upgrade\r\n")
    yield (
        "can",
        b"\x00" + said("GET", "/v1/can?source=a&service=b") + said("GET", "/v1/explain?url=http://b/"),
    )
    yield "leave", b"\x01" + said("POST", "/v1/leave", "Connection: close\r\n")


def main() -> NoReturn:
    """Fuzz until told to stop."""
    fuzz(run)


if __name__ == "__main__":
    main()

"""Requests that wait where it may take long: what can be asked elsewhere is, and nothing is lost by haste."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType

import pytest
import trio
from attrs import evolve

from gossipmesh.model import Address

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
UPLOAD = b"PUT / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhel"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
BODY = bytes(100_000)


class Path:
    """The way to a peer's daemon, on which the connections that are there may come to be of no use.

    That is what a while of lost packets leaves behind: TCP sends its next ones as late again as it has been silent.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._stuck = trio.CancelScope()

    async def __call__(self, stream: trio.SocketStream) -> None:
        stuck = self._stuck
        with stuck:
            async with (
                await trio.open_tcp_stream("127.0.0.1", self._port) as other,
                trio.open_nursery() as both,
            ):
                both.start_soon(self._carry, stream, other)
                both.start_soon(self._carry, other, stream)
        if stuck.cancel_called:
            await trio.sleep_forever()

    async def _carry(self, here: trio.SocketStream, there: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in here:
                await there.send_all(data)

    def lose_all(self) -> None:
        """Have nothing more pass on the connections that are there."""
        stuck, self._stuck = self._stuck, trio.CancelScope()
        stuck.cancel()


class Patient:
    """An app that waits in the middle of its first answer, or before it, until it may go on."""

    def __init__(self, before: bytes = b"", after: bytes = b"") -> None:
        self._before = before
        self._after = after or b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npatient"
        self.goes_on = trio.Event()
        self.asked = 0

    async def __call__(self, stream: trio.SocketStream) -> None:
        try:
            await stream.receive_some()
            self.asked += 1
            await stream.send_all(self._before)
            await self.goes_on.wait()
            await stream.send_all(self._after)
        except trio.BrokenResourceError:
            return  # Nobody waits any more.


def doubt(web: object, node: object) -> None:
    web.outbound._ports.pool.doubt(lambda target, service: (target, service) == (node.id, "hello"))


@pytest.mark.parametrize("request_", [GET, UPLOAD], ids=["whole", "in parts"])
async def test_an_idempotent_request_is_asked_elsewhere(lab: ModuleType, request_: bytes) -> None:
    async with lab.mesh() as members:
        first = await members.daemon("hello-0", {"hello": await members.app(Patient())})
        await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        web = await members.daemon("web-1")
        async with await lab.connect(web) as stream:
            await stream.send_all(request_)
            await lab.until(lambda: first.inbound.in_flight)
            doubt(web, first)
            await lab.until(lambda: not first.inbound.in_flight)
            await stream.send_all(b"lo" if request_ is UPLOAD else b"")
            assert (await lab.read_until(stream, b"hello" if request_ is UPLOAD else b"\r\n\r\n"))[
                9:12
            ] == b"200"
        assert (web.report.retried, web.report.endpoint) == (("UT",), "hello-1")


async def test_a_post_and_an_answer_that_has_begun_are_waited_for(lab: ModuleType) -> None:
    for request, before, after in ((POST, b"", b""), (GET, LONG, BODY)):
        app = Patient(before, after)
        async with lab.mesh() as members:
            first = await members.daemon("hello-0", {"hello": await members.app(app)})
            await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
            web = await members.daemon("web-1")
            async with await lab.connect(web) as stream:
                await stream.send_all(request)
                await lab.until(lambda app=app: app.asked)
                head = await lab.read_until(stream, b"\r\n\r\n") if before else b""
                doubt(web, first)
                app.goes_on.set()
                answer = head + b"".join([data async for data in stream])
            assert answer.endswith(after or b"patient")
            assert (web.report.retried, web.report.endpoint, web.report.flag) == ((), "hello-0", "")


async def test_who_has_nobody_else_to_ask_waits_on(lab: ModuleType) -> None:
    app = Patient()
    async with lab.pair(app) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(GET)
        await lab.until(lambda: app.asked)
        doubt(web, hello)
        app.goes_on.set()
        assert await lab.read_until(stream, b"patient")


async def test_a_request_on_a_channel_of_no_use_goes_to_the_same_endpoint_over_a_new_one(
    lab: ModuleType,
) -> None:
    async with lab.mesh() as members:
        hello = await members.daemon("hello-0", {"hello": await members.app(lab.echo)})
        path = Path(hello.mesh.port)
        members.addresses[hello.id] = Address("127.0.0.1", await members.app(path))
        web = await members.daemon("web-1")
        for _ in range(2):
            async with await lab.connect(web) as stream:
                await stream.send_all(GET)
                assert (await lab.read_until(stream, b"\r\n\r\n"))[9:12] == b"200"
            path.lose_all()
        assert [(each.retried, each.endpoint) for each in web.reports] == [
            ((), "hello-0"),
            (("UT",), "hello-0"),
        ]


async def test_a_request_at_a_silent_endpoint_goes_to_one_that_came_back_meanwhile(lab: ModuleType) -> None:
    app = Patient()
    async with lab.mesh() as members:
        first = await members.daemon("hello-0", {"hello": await members.app(app)})
        second = await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        both = members.endpoints["hello"]
        members.endpoints["hello"] = (both[0], evolve(both[1], eligible=False))
        web = await members.daemon("web-1")
        async with await lab.connect(web) as stream:
            await stream.send_all(GET)
            await lab.until(lambda: app.asked)
            doubt(web, first)
            assert not web.outcomes
            members.endpoints["hello"] = both
            doubt(web, first)
            assert (await lab.read_until(stream, b"\r\n\r\n"))[9:12] == b"200"
        assert (web.report.retried, web.report.endpoint) == (("UT",), second.name)

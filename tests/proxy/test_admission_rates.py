"""How often each source may ask a node's own services."""

from __future__ import annotations

from types import ModuleType

import pytest

from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.rates import RateSettings
from gossipmesh.routing.traffic import Traffic

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ONE_IN_100_S = {"hello": Traffic(rate=RateSettings(per_s=0.01, burst=1))}


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
async def test_who_asks_more_often_is_told_when_to_come_back_and_nobody_else_is_asked(
    lab: ModuleType, method: bytes
) -> None:
    async with lab.mesh() as members:
        app = lab.answering(*[OK] * 3)
        hello = await members.daemon("hello-0", {"hello": await members.app(app)}, traffic=ONE_IN_100_S)
        await members.daemon("hello-1", {"hello": await members.app(lab.refusing)})
        web = await members.daemon("web-1")
        assert lab.flag_of(await lab.ask(web, GET)) == (200, "")
        request = GET.replace(b"GET", method).replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
        answer = await lab.ask(web, request)
        assert lab.flag_of(answer) == (429, "RL")
        (after,) = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"retry-after: ")]
        assert 1 <= int(after.partition(b": ")[2]) <= 100
        assert (b"web-1 asks hello more often" in answer) == (method != b"HEAD")
        assert web.outcomes[-1] == (hello.id, AttemptOutcome(OutcomeKind.ANSWERED, "RL", 429))
        assert [(report.code, report.flag, report.attempts) for report in web.reports] == [
            (200, "", 1),
            (429, "RL", 1),
        ]
        assert hello.reports[-1].flag == "RL"


async def test_each_source_has_its_own_rate_and_a_service_is_one_source_on_all_its_nodes(
    lab: ModuleType,
) -> None:
    async with lab.mesh() as members:
        port = await members.app(lab.answering(*[OK] * 9))
        await members.daemon("hello-0", {"hello": port, "free": port}, traffic=ONE_IN_100_S)
        first = await members.daemon("web-1", {"web": port}, speaks_as="web")
        second = await members.daemon("web-2", {"web": port}, speaks_as="web")
        other = await members.daemon("api-1")
        assert lab.flag_of(await lab.ask(first, GET)) == (200, "")
        assert lab.flag_of(await lab.ask(second, GET)) == (429, "RL")
        assert lab.flag_of(await lab.ask(other, GET)) == (200, "")
        for _ in range(3):
            assert lab.flag_of(await lab.ask(first, GET.replace(b"hello", b"free"))) == (200, "")


async def test_what_policy_refuses_counts_for_nothing(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(lab.refusing)
        hello = await members.daemon("hello-0", {"hello": port}, traffic=ONE_IN_100_S, allow=False)
        web = await members.daemon("web-1")
        for _ in range(3):
            assert lab.flag_of(await lab.ask(web, GET)) == (403, "AZ")
        assert hello.reports[-1].flag == "AZ"


async def test_a_connection_too_many_to_a_tcp_service_is_refused_likewise(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(lab.echo)
        await members.daemon(
            "db-0", tcp={"db": port}, traffic={"db": Traffic(rate=RateSettings(per_s=0.01, burst=1))}
        )
        web = await members.daemon("web-1")
        connect = b"CONNECT db:%d HTTP/1.1\r\nHost: db:%d\r\n\r\n" % (port, port)
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(connect)
            assert (await lab.read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert lab.flag_of(await lab.ask(web, connect)) == (429, "RL")

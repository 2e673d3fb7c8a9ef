"""Sessions end to end: who gets a cookie, who keeps it, and what is done with one that is forged or lost."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
import trio
from attrs import evolve

from gossipmesh.routing.traffic import Share, Sticky, Traffic

BY_COOKIE = Traffic(sticky=Sticky("cookie", "gm"))
ANSWERS = {
    b"/whole": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"/own": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: own=1\r\n\r\nok",
    b"/streamed": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"/large": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000),
    b"/304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    b"/500": b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    b"/early": b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"/broken": b"nonsense\r\n\r\n",
    b"/chat": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
}


def app(lab: ModuleType, seen: list[bytes]) -> Any:
    async def handle(stream: trio.SocketStream) -> None:
        request = await lab.read_request(stream)
        if request:
            seen.append(request)
            answer = ANSWERS[request.split()[1]]
            end_of_head = answer.index(b"\r\n\r\n", answer.rfind(b"HTTP/1.1 ") + 1) + 4
            await stream.send_all(answer[:end_of_head] if request.startswith(b"HEAD") else answer)

    return handle


async def hellos(
    lab: ModuleType, members: Any, count: int, traffic: Traffic
) -> tuple[Any, list[list[bytes]]]:
    """Give a caller's daemon, and what each of so many apps saw."""
    seen: list[list[bytes]] = [[] for _ in range(count)]
    for number in range(count):
        await members.daemon(f"hello-{number}", {"hello": await members.app(app(lab, seen[number]))})
    return await members.daemon("web-1", traffic={"hello": traffic}), seen


async def ask(
    lab: ModuleType, web: Any, path: str, *headers: str, method: str = "GET"
) -> tuple[bytes, list[bytes]]:
    """Give the answer, and the values of all its Set-Cookie headers."""
    lines = [f"{method} {path} HTTP/1.1", "Host: hello", "Connection: close", *headers, "", ""]
    answer: bytes = await lab.ask(web, "\r\n".join(lines).encode())
    return answer, re.findall(rb"(?im)^set-cookie: (.*?)\r$", answer)


def pair_of(cookie: bytes) -> str:
    return cookie.partition(b";")[0].decode()


@pytest.mark.parametrize("path", ["/whole", "/streamed", "/large", "/304", "/500", "/early"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_first_answer_sets_the_cookie_once_and_those_after_it_set_none(
    lab: ModuleType, path: str, method: str
) -> None:
    async with lab.mesh() as members:
        web, seen = await hellos(lab, members, 3, BY_COOKIE)
        _, cookies = await ask(lab, web, path, method=method)
        (cookie,) = cookies
        assert cookie.startswith(b"gm=")
        assert b"HttpOnly" in cookie
        (home,) = [each for each in seen if each]
        for _ in range(4):
            assert await ask(lab, web, path, f"Cookie: a=b; {pair_of(cookie)}", method=method) == (
                (await ask(lab, web, path, f"Cookie: {pair_of(cookie)}", method=method))[0],
                [],
            )
        assert [len(each) for each in seen if each is not home] == [0, 0]
        assert len(home) == 9


async def test_an_app_keeps_cookies_of_its_own(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, 1, BY_COOKIE)
        _, cookies = await ask(lab, web, "/own")
        assert [cookie[:3] for cookie in cookies] == [b"own", b"gm="]


@pytest.mark.parametrize("forged", ["gm=forged", "gm=", "gm=" + "x" * 2_000, 'gm="a"', "gm=%00; gm=b"])
async def test_a_forged_cookie_is_as_good_as_none_and_is_replaced(lab: ModuleType, forged: str) -> None:
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, 2, BY_COOKIE)
        answer, cookies = await ask(lab, web, "/whole", f"Cookie: {forged}")
        assert lab.flag_of(answer) == (200, "")
        assert len(cookies) == 1
        assert (await ask(lab, web, "/whole", f"Cookie: {pair_of(cookies[0])}"))[1] == []


async def test_a_session_whose_endpoint_is_lost_goes_elsewhere_and_stays_there(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        web, seen = await hellos(lab, members, 3, BY_COOKIE)
        _, (cookie,) = await ask(lab, web, "/whole")
        lost = next(number for number, each in enumerate(seen) if each)
        offered = members.endpoints["hello"]
        members.endpoints["hello"] = tuple(each for each in offered if each.node != f"hello-{lost}")
        _, (other,) = await ask(lab, web, "/whole", f"Cookie: {pair_of(cookie)}")
        assert pair_of(other) != pair_of(cookie)
        for _ in range(3):
            assert (await ask(lab, web, "/whole", f"Cookie: {pair_of(other)}"))[1] == []
        assert len(seen[lost]) == 1
        assert sorted(len(each) for each in seen) == [0, 1, 4]


async def test_an_answer_of_the_mesh_itself_sets_no_cookie(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, 1, BY_COOKIE)
        answer, cookies = await ask(lab, web, "/broken")
        assert (lab.flag_of(answer), cookies) == ((502, "UPE"), [])
        allowing, members.endpoints["hello"] = members.endpoints["hello"], ()
        answer, cookies = await ask(lab, web, "/whole")
        assert (lab.flag_of(answer), cookies) == ((404, "NR"), [])
        members.endpoints["hello"] = allowing


async def test_a_refusal_by_the_far_daemon_sets_no_cookie(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(lab.refusing)}, allow=False)
        web = await members.daemon("web-1", traffic={"hello": BY_COOKIE})
        answer, cookies = await ask(lab, web, "/whole")
        assert (lab.flag_of(answer), cookies) == ((403, "AZ"), [])


async def test_a_session_that_begins_with_an_upgrade_gets_its_cookie_too(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, 2, BY_COOKIE)
        async with await lab.connect(web) as stream:
            await stream.send_all(
                b"GET /chat HTTP/1.1\r\nHost: hello\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
            )
            head = await lab.read_until(stream, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert head.count(b"\r\nSet-Cookie: gm=") == 1


@pytest.mark.parametrize("sticky", [Sticky("header", "x-user"), Sticky("source")], ids=["header", "source"])
async def test_sessions_by_header_or_source_need_no_cookie(lab: ModuleType, sticky: Sticky) -> None:
    async with lab.mesh() as members:
        web, seen = await hellos(lab, members, 3, Traffic(sticky=sticky))
        for _ in range(6):
            assert (await ask(lab, web, "/whole", "X-User: ann"))[1] == []
        assert sorted(len(each) for each in seen) == [0, 0, 6]
        for number in range(20):
            await ask(lab, web, "/whole", f"X-User: {number}")
        assert (max(len(each) for each in seen) == 26) == (sticky.by == "source")


async def test_weights_and_splits_are_kept_by_whole_requests(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        traffic = Traffic(balancer="weighted", split=(Share("v1", 75), Share("v2", 25)))
        web, seen = await hellos(lab, members, 3, traffic)
        one, two, three = members.endpoints["hello"]
        members.endpoints["hello"] = (
            evolve(one, service=evolve(one.service, tags=("v1",), weight=300)),
            evolve(two, service=evolve(two.service, tags=("v1",), weight=100)),
            evolve(three, service=evolve(three.service, tags=("v2",))),
        )
        stream = await lab.connect(web)
        async with stream:
            for _ in range(160):
                await stream.send_all(b"GET /whole HTTP/1.1\r\nHost: hello\r\n\r\n")
                await lab.read_until(stream, b"ok")
        counts = [len(each) for each in seen]
        assert [abs(count - due) <= 2 for count, due in zip(counts, (90, 30, 40), strict=True)] == [
            True
        ] * 3, counts

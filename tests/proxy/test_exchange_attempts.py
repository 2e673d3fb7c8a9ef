"""When a request is tried again, and when it must not be."""

from __future__ import annotations

from types import ModuleType

import pytest
import trio

from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


POST = b"POST / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
PUT = POST.replace(b"POST", b"PUT")


async def test_where_a_node_cannot_be_connected_to_the_next_one_answers_even_a_post(lab: ModuleType) -> None:
    async with lab.caller_and(None, lab.echo) as (web, (ghost, hello)):
        assert (await lab.ask(web, POST)).endswith(b"\r\n\r\nhello")
        assert web.outcomes == [
            (ghost, AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF")),
            (hello, AttemptOutcome(OutcomeKind.ANSWERED, status=200)),
        ]
        assert (web.report.attempts, web.report.endpoint) == (2, "hello-1")


async def test_where_an_app_does_not_listen_the_next_node_answers_even_a_post(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        first = await members.daemon("hello-0", {"hello": await lab.unused_port()})
        await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        web = await members.daemon("web-1")
        assert (await lab.ask(web, POST)).endswith(b"\r\n\r\nhello")
        assert web.outcomes[0] == (first.id, AttemptOutcome(OutcomeKind.REFUSED, "UF"))
        assert first.report.flag == "UF"


@pytest.mark.parametrize("request_bytes", [GET, PUT])
async def test_an_idempotent_request_that_broke_is_answered_by_another_node_with_its_whole_body(
    lab: ModuleType,
    request_bytes: bytes,
) -> None:
    seen: list[bytes] = []
    async with lab.caller_and(lab.answering(), lab.answering(OK, seen=seen)) as (web, (first, _)):
        assert (await lab.ask(web, request_bytes)).endswith(b"\r\n\r\nok")
        assert web.outcomes[0] == (first, AttemptOutcome(OutcomeKind.FAILED, "UC"))
    assert seen[0].partition(b"\r\n\r\n")[2] == request_bytes.partition(b"\r\n\r\n")[2]


async def test_a_post_that_broke_is_not_sent_again(lab: ModuleType) -> None:
    async with lab.caller_and(lab.answering(), lab.refusing) as (web, _):
        assert lab.flag_of(await lab.ask(web, POST)) == (502, "UC")
        assert web.report.attempts == 1


async def test_a_body_too_long_to_be_kept_is_not_sent_again(lab: ModuleType) -> None:
    size = 200_000

    async def greedy(stream: trio.SocketStream) -> None:
        received = 0
        while received < size:
            received += len(await stream.receive_some())

    async with lab.caller_and(greedy, lab.refusing) as (web, _):
        head = b"PUT / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
        assert lab.flag_of(await lab.ask(web, head + bytes(size))) == (502, "UC")


async def test_a_small_response_that_is_cut_in_its_body_is_asked_for_elsewhere(lab: ModuleType) -> None:
    cut = lab.closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    async with lab.caller_and(cut, lab.answering(OK)) as (web, _):
        assert (await lab.ask(web, GET)).endswith(b"\r\n\r\nok")
        assert [outcome.kind for _, outcome in web.outcomes] == [OutcomeKind.FAILED, OutcomeKind.ANSWERED]
        assert (web.report.code, web.report.retried) == (200, ("UC",))


async def test_a_small_response_to_a_post_that_is_cut_is_an_error_and_is_not_asked_for_again(
    lab: ModuleType,
) -> None:
    cut = lab.closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    async with lab.caller_and(cut, lab.refusing) as (web, _):
        request = b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert lab.flag_of(await lab.ask(web, request)) == (502, "UC")


async def test_after_an_interim_response_nobody_else_is_asked(lab: ModuleType) -> None:
    seen = trio.Event()
    async with lab.caller_and(lab.breaking_off(b"HTTP/1.1 103 \r\n\r\n", b"", seen), lab.refusing) as (
        web,
        _,
    ):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await lab.read_until(stream, b"\r\n\r\n")
            seen.set()
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (502, "UC")


async def test_when_all_allowed_attempts_failed_the_answer_says_so(lab: ModuleType) -> None:
    async with lab.caller_and(lab.answering(), None, lab.refusing, limits=ProxyLimits(max_attempts=2)) as (
        web,
        _,
    ):
        assert lab.flag_of(await lab.ask(web, GET)) == (503, "URX")
        assert web.report.attempts == 2


async def test_a_connection_to_an_app_that_dies_when_used_again_costs_no_request(lab: ModuleType) -> None:
    async def one_each(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(OK)
        # Gone at the very moment when the next request comes, as an app's keep-alive timer may have it.
        await stream.receive_some(1)

    async with lab.caller_and(one_each) as (web, _):
        for _ in range(3):
            assert lab.flag_of(await lab.ask(web, GET)) == (200, "")
        assert {report.attempts for report in web.reports} == {1}


async def test_what_a_node_that_goes_away_has_not_begun_is_done_elsewhere_even_a_post(
    lab: ModuleType,
) -> None:
    async with lab.mesh() as members:
        first = await members.daemon("hello-0", {"hello": await members.app(lab.echo)})
        await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        web = await members.daemon("web-1")
        stream, other = await lab.connect(web), await lab.connect(web)
        async with stream, other:
            await stream.send_all(POST[:-1])
            await lab.until(lambda: first.inbound.in_flight)
            # Its GOAWAY names the stream that it has; what is above that comes back refused.
            first.acceptor.drain()
            await other.send_all(POST)
            assert (await lab.read_until(other, b"hello")).startswith(b"HTTP/1.1 200 ")
            await stream.send_all(POST[-1:])
            assert (await lab.read_until(stream, b"hello")).startswith(b"HTTP/1.1 200 ")
        await lab.until(lambda: len(web.reports) == 2)
        assert [report.endpoint for report in web.reports] == ["hello-1", "hello-0"]
        assert [report.flag for report in web.reports] == ["", ""]


async def test_a_node_that_goes_away_is_passed_over_and_not_taken_for_unreachable(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        first = await members.daemon("hello-0", {"hello": await members.app(lab.echo)})
        await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        web = await members.daemon("web-1")
        assert (await lab.ask(web, POST)).endswith(b"\r\n\r\nhello")
        first.acceptor.drain()
        for _ in range(3):
            assert (await lab.ask(web, POST)).endswith(b"\r\n\r\nhello")
        ends = [(outcome.kind, outcome.flag) for node, outcome in web.outcomes[1:] if node == first.id]
        assert ends
        assert {kind for kind, _ in ends} == {OutcomeKind.REFUSED}
        assert [report.endpoint for report in web.reports] == ["hello-0", *["hello-1"] * 3]


async def test_what_a_draining_node_refuses_is_done_elsewhere_even_a_post(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        first = await members.daemon("hello-0", {"hello": await members.app(lab.echo)})
        await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        web = await members.daemon("web-1")
        first.acceptor.drain()
        assert (await lab.ask(web, POST)).endswith(b"\r\n\r\nhello")
        assert (web.report.retried, web.report.endpoint) == (("DR",), "hello-1")


async def test_who_goes_out_of_rotation_is_told_of(lab: ModuleType) -> None:
    async with lab.caller_and(None, lab.answering(*[OK] * 9)) as (web, (ghost, _)):
        for _ in range(5):
            assert lab.flag_of(await lab.ask(web, GET)) == (200, "")
        await lab.until(lambda: web.rotations)
        ((service, news),) = web.rotations
        assert (service, news.endpoint) == ("hello", ghost)
        assert news.why == "out of rotation for 5 s after 5 failures in a row"

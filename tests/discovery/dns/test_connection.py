"""Questions over one TCP connection."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio
import trio.testing
from trio.testing import memory_stream_pair

from gossipmesh.discovery.dns.connection import IDLE_S, MAX_PIPELINED, MAX_QUERY, Answer, Connection


def framed(*payloads: bytes) -> bytes:
    return b"".join(len(payload).to_bytes(2) + payload for payload in payloads)


async def echo(payload: bytes, deliver: Callable[[bytes], None]) -> bool:
    deliver(payload.upper())
    return True


async def rest(stream: trio.abc.Stream) -> bytes:
    received = b""
    while chunk := await stream.receive_some(4_096):
        received += chunk
    return received


async def talk(answer: Answer, *pieces: bytes) -> bytes:
    """Send some pieces and hang up; give all that came back."""
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(theirs, answer).serve)
        for piece in pieces:
            await ours.send_all(piece)
        await ours.send_eof()
        return await rest(ours)
    raise AssertionError("unreachable")


async def test_several_questions_are_answered_however_they_are_cut() -> None:
    whole = framed(b"one", b"two", b"three")
    assert await talk(echo, whole) == whole.upper()
    assert await talk(echo, *(whole[at : at + 1] for at in range(len(whole)))) == whole.upper()


async def test_answers_come_when_they_are_ready() -> None:
    later: list[Callable[[], None]] = []

    async def answer(payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        if payload == b"slow":
            later.append(lambda: deliver(b"SLOW"))
        else:
            deliver(b"QUICK")
            later.pop()()
        return True

    assert await talk(answer, framed(b"slow", b"quick")) == framed(b"QUICK", b"SLOW")


async def test_what_gets_no_answer_ends_the_connection() -> None:
    async def answer(payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        return payload != b"bad" and await echo(payload, deliver)

    assert await talk(answer, framed(b"one", b"bad", b"two")) == framed(b"ONE")


async def test_a_question_that_is_too_long_ends_the_connection() -> None:
    assert await talk(echo, framed(b"one"), (MAX_QUERY + 1).to_bytes(2) + b"x") == framed(b"ONE")


async def test_who_asks_nothing_is_hung_up_on(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(theirs, echo).serve)
        await ours.send_all(framed(b"one") + b"\0")
        assert await rest(ours) == framed(b"ONE")
    assert IDLE_S <= trio.current_time() < 3 * IDLE_S


async def test_no_more_is_read_than_may_be_without_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    waiting: list[bytes] = []

    async def never(payload: bytes, _: Callable[[bytes], None]) -> bool:
        waiting.append(payload)
        return True

    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(theirs, never).serve)
        await ours.send_all(framed(*[b"x"] * (MAX_PIPELINED + 5)))
        assert await rest(ours) == b""
    assert len(waiting) == MAX_PIPELINED


async def test_a_connection_is_idle_while_no_question_is_under_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    later: list[Callable[[], None]] = []

    async def answer(payload: bytes, deliver: Callable[[bytes], None]) -> bool:
        later.append(lambda: deliver(payload))
        return True

    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        connection = Connection(theirs, answer)
        nursery.start_soon(connection.serve)
        began = trio.current_time()
        await trio.sleep(1)
        await ours.send_all(framed(b"one") + b"\0")
        await trio.testing.wait_all_tasks_blocked()
        assert connection.idle_since == math.inf
        later.pop()()
        assert await ours.receive_some(100) == framed(b"one")
        await trio.testing.wait_all_tasks_blocked()
        assert connection.idle_since == began + 1
        connection.hang_up()
        assert await rest(ours) == b""

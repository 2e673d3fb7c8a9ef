"""What a connection may end: itself."""

from __future__ import annotations

import pytest
import trio

from adminlab import Node, asked, get, over_tcp
from gossipmesh.daemon.admin.bugs import MAX_KINDS, MAX_TOLD, Boundary, Bugs
from gossipmesh.daemon.admin.view import Status


def raised_within(bugs: Bugs, error: BaseException) -> None:
    with Boundary(bugs):
        raise error


def told() -> tuple[Bugs, list[str]]:
    lines: list[str] = []
    return Bugs(lines.append), lines


@pytest.mark.parametrize(
    "error",
    [
        trio.BrokenResourceError("gone"),
        trio.ClosedResourceError("gone"),
        ExceptionGroup("", [trio.BrokenResourceError(), ExceptionGroup("", [trio.BrokenResourceError()])]),
    ],
)
def test_that_a_client_went_is_no_bug(error: Exception) -> None:
    bugs, lines = told()
    raised_within(bugs, error)
    assert (bugs.count, lines) == (0, [])


def test_a_bug_is_told_in_one_line_with_its_place_and_goes_no_further() -> None:
    bugs, lines = told()
    raised_within(bugs, ValueError("it is\nbad \ud800"))
    (line,) = lines
    assert line.startswith("a connection to the admin API met a bug and was closed: ValueError at ")
    assert line.endswith(": 'it is\\nbad \\ud800' (1 so far)")
    assert line.isascii()
    assert "\n" not in line


def test_of_a_group_each_bug_counts_and_what_belongs_to_a_client_that_went_does_not() -> None:
    bugs, lines = told()
    raised_within(
        bugs,
        BaseExceptionGroup(
            "", [trio.BrokenResourceError(), ExceptionGroup("", [KeyError("x"), OSError(5, "")])]
        ),
    )
    assert bugs.count == len(lines) == 2


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(1), BaseExceptionGroup("", [ValueError("x"), KeyboardInterrupt()])],
)
def test_what_is_meant_for_the_whole_daemon_goes_on(error: BaseException) -> None:
    bugs, _ = told()
    with pytest.raises((KeyboardInterrupt, SystemExit, BaseExceptionGroup)) as caught:
        raised_within(bugs, error)
    rest = caught.value
    assert not isinstance(rest, Exception)
    assert bugs.count == isinstance(error, BaseExceptionGroup)


async def test_a_cancellation_passes_though_a_bug_comes_with_it() -> None:
    bugs, _ = told()
    passed = False

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while it ended")

    with trio.CancelScope() as scope:
        with Boundary(bugs):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_when_cancelled)
                nursery.start_soon(trio.sleep_forever)
                scope.cancel()
        passed = True
    assert scope.cancelled_caught
    assert not passed
    assert bugs.count == 1


def test_whoever_can_cause_a_bug_at_will_fills_no_log() -> None:
    bugs, lines = told()
    for _ in range(1_000):
        raised_within(bugs, ValueError("x" * 10_000))
    for number in range(10 * MAX_KINDS):
        raised_within(bugs, type(f"Odd{number}Error", (Exception,), {})())
    assert bugs.count == 1_000 + 10 * MAX_KINDS
    assert len(lines) < 40
    assert max(map(len, lines)) < 2 * MAX_TOLD
    assert any("(512 so far)" in line for line in lines)


class Broken(Node):
    """A node whose status has a bug."""

    def status(self) -> Status:
        raise LookupError("nobody thought of this")


async def test_a_bug_in_an_answer_ends_its_connection_and_the_next_one_is_served() -> None:
    bugs, lines = told()
    async with over_tcp(Broken(), bugs) as address:
        for _ in range(3):
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                await stream.send_all(get("/v1/status", str(address)))
                assert await stream.receive_some() == b""
        assert (await asked(address, get("/healthz", str(address))))[0] == 200
    assert bugs.count == 3
    assert "answers.py:" in lines[0]
    assert "'nobody thought of this'" in lines[0]

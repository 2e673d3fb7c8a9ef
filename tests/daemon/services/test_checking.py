"""Checks of real apps on loopback: what they answer, break off, refuse, or never say."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

import gossipmesh
from gossipmesh.daemon.services.checking import MAX_READ, MAX_SHOWN, Programs, check_app
from gossipmesh.routing.checks import CheckMethod, CommandCheck, HealthCheck, HttpCheck, TcpCheck
from gossipmesh.routing.health import Outcome, Result

Handler = Callable[[trio.SocketStream], Awaitable[None]]
PASSED = Outcome(Result.PASSED)
PATIENT_S = 60.0
"""Longer than any of these takes: tests share the machine."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def app(serve: Handler) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def saying(answer: bytes, asked: list[bytes] | None = None) -> Handler:
    async def serve(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        if asked is not None:
            asked.append(request)
        with suppress(trio.BrokenResourceError):  # who asked has read enough
            await stream.send_all(answer)

    return serve


async def checked(method: CheckMethod, port: int = 1, *, timeout_s: float = PATIENT_S) -> Outcome:
    return await check_app("hello", port, HealthCheck(method, timeout_s=timeout_s), Programs())


async def test_a_check_is_a_request_that_says_who_asks_and_for_which_service() -> None:
    asked: list[bytes] = []
    async with app(saying(OK, asked)) as port:
        assert await checked(HttpCheck("/healthz?full=1"), port) == PASSED
    head, *lines = asked[0].decode().rstrip().lower().split("\r\n")
    assert head == "get /healthz?full=1 http/1.1"
    assert set(lines) == {
        "host: hello",
        f"user-agent: gossipmesh/{gossipmesh.__version__} (health)",
        "accept: */*",
        "connection: close",
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "GET /up: status 503"),
        (
            b"HTTP/1.1 307 There\r\nlocation: /lo\x1bgin\r\ncontent-length: 0\r\n\r\n",
            "GET /up: status 307 to /lo?gin; redirects are not followed: check that path, or list the status in expect",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n",
            "GET /up: status 302 to /login; redirects are not followed: check that path, or list the status in expect",
        ),
        (b"+OK ready\r\n\r\n", "GET /up: what came is not HTTP: "),
        (b"", "GET /up: the connection was closed unanswered"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * MAX_READ, "GET /up: "),
    ],
    ids=["503", "control", "redirect", "other", "nothing", "long"],
)
async def test_any_other_answer_is_a_failure_with_its_reason(answer: bytes, why: str) -> None:
    async with app(saying(answer)) as port:
        outcome = await checked(HttpCheck("/up"), port)
    assert outcome.result is Result.FAILED
    assert outcome.why == why or (why.endswith(": ") and outcome.why.startswith(why))


async def test_a_redirect_that_is_expected_passes() -> None:
    async with app(saying(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")) as port:
        assert await checked(HttpCheck("/", expect=((302, 302),)), port) == PASSED


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + bytes(100_000_000)
    async with app(saying(endless)) as port:
        assert await checked(HttpCheck("/"), port) == PASSED


async def test_an_answer_that_comes_after_another_of_1xx_is_the_one_that_counts() -> None:
    async with app(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)) as port:
        assert await checked(HttpCheck("/"), port) == PASSED


async def say_nothing(_: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_an_app_that_says_nothing_fails_when_its_time_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with app(say_nothing) as port:
        outcome = await checked(HttpCheck("/"), port, timeout_s=1.0)
    assert outcome == Outcome(Result.FAILED, "GET /: no end after 1s")


@pytest.mark.parametrize("method", [HttpCheck("/"), TcpCheck()])
async def test_where_nobody_listens_the_connection_is_refused(method: CheckMethod) -> None:
    async with app(saying(OK)) as port:
        pass
    assert await checked(method, port) == Outcome(Result.REFUSED, f"nobody listens on port {port}")


async def test_to_connect_is_all_that_a_tcp_check_does() -> None:
    received: list[bytes] = []
    seen = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        received.append(await stream.receive_some())
        seen.set()

    async with app(serve) as port:
        assert await checked(TcpCheck(), port) == PASSED
        await seen.wait()
    assert received == [b""]


def python(code: str) -> CommandCheck:
    return CommandCheck((sys.executable, "-c", code))


async def test_a_program_that_exits_with_0_passes() -> None:
    assert await checked(python("print('all is well')")) == PASSED


async def test_the_first_line_of_a_program_that_fails_is_the_reason() -> None:
    program = python("import sys; print('no \\x1b disk'); print('more'); sys.exit(3)")
    assert await checked(program) == Outcome(
        Result.FAILED, f"command {sys.executable}: exit status 3: no ? disk"
    )


async def test_a_program_that_says_too_much_is_read_to_its_end_and_shown_in_short() -> None:
    outcome = await checked(python("import sys; sys.stdout.write('x' * 10**6); sys.exit(1)"))
    assert outcome.why == f"command {sys.executable}: exit status 1: " + "x" * MAX_SHOWN


async def test_a_program_that_is_not_there_fails() -> None:
    outcome = await checked(CommandCheck(("/nowhere/check",)))
    assert outcome == Outcome(Result.FAILED, "command /nowhere/check: No such file or directory")


@pytest.mark.parametrize("argument", ["\ud800", "a\0b"])
async def test_what_no_program_can_be_given_is_a_failure_too(argument: str) -> None:
    outcome = await checked(CommandCheck(("/bin/true", argument)))
    assert outcome.result is Result.FAILED
    assert outcome.why.startswith("command /bin/true: ")
    assert outcome.why.isascii()


async def test_there_is_no_shell() -> None:
    code = "import sys; sys.exit(sys.argv[1] != '$HOME; x')"
    assert await checked(CommandCheck((sys.executable, "-c", code, "$HOME; x"))) == PASSED


async def test_a_program_that_hangs_fails_when_its_time_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outcome = await checked(python("import time; time.sleep(1000)"), timeout_s=1.0)
    assert outcome == Outcome(Result.FAILED, f"command {sys.executable}: no end after 1s")


async def test_a_program_whose_check_ends_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    # Whatever holds the pipe's other end open lives; its end says that all of them are gone.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = trio.lowlevel.FdStream(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
    script = f'exec 3>"{fifo}"; sleep 1000 & sleep 1000 & echo begun >&3; wait'
    async with reading, trio.open_nursery() as nursery:
        nursery.start_soon(checked, CommandCheck(("/bin/sh", "-c", script)))
        while await reading.receive_some() != b"begun\n":
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            assert await reading.receive_some() == b""


async def test_what_a_program_leaves_in_the_background_holds_nobody_up(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # It keeps the program's output open until somebody opens the pipe's other end.
    assert await checked(CommandCheck(("/bin/sh", "-c", f'cat "{fifo}" & exit 0'))) == PASSED
    os.close(os.open(fifo, os.O_RDWR))


async def test_a_program_that_may_not_be_killed_holds_nobody_up_and_is_not_run_twice_at_once(
    tmp_path: Path,
) -> None:
    def refuse(_group: int, _signal: int) -> None:
        raise PermissionError(1, "Operation not permitted")  # as for one that became another user's

    fifo, begun = tmp_path / "fifo", tmp_path / "begun"
    os.mkfifo(fifo)
    # The first run ends when somebody opens the pipe's other end, and any other at once.
    command = CommandCheck(("/bin/sh", "-c", f'[ -e "{begun}" ] && exit 0; : >"{begun}"; cat "{fifo}"'))
    programs = Programs(kill=refuse)
    outcome = await check_app("hello", 1, HealthCheck(command, timeout_s=0.1), programs)
    assert outcome == Outcome(Result.FAILED, "command /bin/sh: no end after 100ms")
    patient = HealthCheck(command, timeout_s=PATIENT_S)
    still = Outcome(
        Result.FAILED, "command /bin/sh: it still runs from an earlier check, and this user may not kill it"
    )
    assert await check_app("hello", 1, patient, programs) == still
    assert await check_app("other", 1, patient, programs) == PASSED
    os.close(os.open(fifo, os.O_WRONLY))
    while (outcome := await check_app("hello", 1, patient, programs)) == still:
        await trio.lowlevel.checkpoint()
    assert outcome == PASSED

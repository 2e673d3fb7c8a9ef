"""One check of an app, from its beginning to its outcome: a request, a connection, or a program that is run.

Resource handling: a connection is closed before its check ends. A program that takes too long, or whose check is
cancelled, is killed with all that it started. Of an answer or a program's output ``MAX_READ`` bytes are kept at most.
Error handling: whatever the app does is an outcome.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Final, assert_never

import h11
import trio

import gossipmesh
from gossipmesh.config.durations import format_duration
from gossipmesh.config.readers import LOOPBACK
from gossipmesh.routing.checks import CommandCheck, HealthCheck, HttpCheck, TcpCheck
from gossipmesh.routing.health import Outcome, Result

MAX_READ: Final = 16 * 1024
MAX_SHOWN: Final = 120
"""Characters of an app's own words in a reason."""
CHUNK: Final = 4 * 1024
OUTPUT_S: Final = 0.1
"""How long a program's output is waited for after it ended: something that it started may keep it open."""
USER_AGENT: Final = f"gossipmesh/{gossipmesh.__version__} (health)"
OURS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EADDRNOTAVAIL}
)
"""What keeps us from asking, and says nothing of the app."""
PASSED: Final = Outcome(Result.PASSED)


class Programs:
    """The programs that checks run.

    One that could not be ended, having become another user's (``sudo``), is not run again before it has ended: else
    each check would leave one more of them.

    Args:
        kill: sends a signal to a group of processes.
    """

    def __init__(self, *, kill: Callable[[int, int], None] = os.killpg) -> None:
        self._kill = kill
        self._left: dict[str, trio.Process] = {}

    async def run(self, service: str, method: CommandCheck) -> Outcome:
        """Run the program of a check of ``service`` to its end; when cancelled, kill it with all that it started."""
        self._left = {name: each for name, each in self._left.items() if each.poll() is None}
        if service in self._left:
            text = f"{method}: it still runs from an earlier check, and this user may not kill it"
            return Outcome(Result.FAILED, text)
        process = await trio.lowlevel.open_process(
            method.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own, so that what it started can be ended with it.
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "GOSSIPMESH_TOKEN"},
        )
        output = bytearray()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read_output, process, output)
                status = await process.wait()
                nursery.cancel_scope.deadline = trio.current_time() + OUTPUT_S
        finally:
            if process.returncode is None:
                await self._end(service, process)
        if status == 0:
            return PASSED
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        first = _shown(bytes(output.strip().partition(b"\n")[0]))
        return Outcome(Result.FAILED, f"{method}: {how}" + (f": {first}" if first else ""))

    async def _end(self, service: str, process: trio.Process) -> None:
        try:
            # Not reaped yet, so the number is still its own.
            self._kill(process.pid, signal.SIGKILL)
        except PermissionError:
            self._left[service] = process
            return
        except ProcessLookupError:
            pass
        with trio.CancelScope(shield=True):
            await process.wait()


async def check_app(service: str, port: int, check: HealthCheck, programs: Programs) -> Outcome:
    """Check the app of ``service``, which listens on ``port`` of loopback, once."""
    method = check.method
    with trio.move_on_after(check.timeout_s):
        try:
            match method:
                case HttpCheck():
                    return await _ask(service, port, method)
                case TcpCheck():
                    with trio.socket.socket() as sock:
                        await sock.connect((LOOPBACK, port))
                    return PASSED
                case CommandCheck():
                    return await programs.run(service, method)
                case _:
                    assert_never(method)
        except ConnectionRefusedError:
            return Outcome(Result.REFUSED, f"nobody listens on port {port}")
        except OSError as error:
            result = Result.UNKNOWN if error.errno in OURS else Result.FAILED
            return Outcome(result, f"{method}: {error.strerror or error}")
        except ValueError as error:
            # Of a program or argument that no system call takes; configuration should have refused it.
            return Outcome(
                Result.FAILED, f"{method}: {_shown(str(error).encode('ascii', 'backslashreplace'))}"
            )
        except trio.BrokenResourceError:
            return Outcome(Result.FAILED, f"{method}: the app broke the connection off")
    return Outcome(Result.FAILED, f"{method}: no end after {format_duration(check.timeout_s)}")


async def _ask(service: str, port: int, method: HttpCheck) -> Outcome:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_READ)
    headers = [("Host", service), ("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Connection", "close")]
    request = connection.send(h11.Request(method="GET", target=method.path, headers=headers))
    with trio.socket.socket() as sock:
        await sock.connect((LOOPBACK, port))
        stream = trio.SocketStream(sock)
        await stream.send_all(request or b"")
        connection.send(h11.EndOfMessage())
        read, outcome = 0, None
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                return outcome or Outcome(Result.FAILED, f"{method}: what came is not HTTP: {error}")
            if isinstance(event, h11.Response):
                outcome = _judge(method, event)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif event is h11.NEED_DATA:
                # Some of the body is taken, so that the app can write it out; the head alone decides.
                if read >= MAX_READ or not (data := await stream.receive_some(CHUNK)):
                    break
                read += len(data)
                connection.receive_data(data)
    return outcome or Outcome(Result.FAILED, f"{method}: the connection was closed unanswered")


def _judge(method: HttpCheck, response: h11.Response) -> Outcome:
    status = response.status_code
    if method.expects(status):
        return PASSED
    why = f"{method}: status {status}"
    if 300 <= status < 400:
        to = next((value for name, value in response.headers if name == b"location"), b"")
        why += f" to {_shown(to)}" if to else ""
        why += "; redirects are not followed: check that path, or list the status in expect"
    return Outcome(Result.FAILED, why)


async def _read_output(process: trio.Process, output: bytearray) -> None:
    """Keep the beginning of what a program says; the rest is read too, or it would wait for us at a full pipe."""
    assert process.stdout is not None
    async with process.stdout as stream:
        while data := await stream.receive_some(CHUNK):
            output += data[: MAX_READ - len(output)]


def _shown(words: bytes) -> str:
    """Give an app's words as one line that cannot do any harm where it is shown."""
    text = words.decode("utf-8", "replace").strip()
    return "".join(each if each.isprintable() else "?" for each in text)[:MAX_SHOWN]

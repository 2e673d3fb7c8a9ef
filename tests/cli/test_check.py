"""``gossipmesh check``: what people and scripts see, what only the command can see, and its exit status."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from click.testing import CliRunner, Result

import gossipmesh
from adminlab import Node as Plain
from adminlab import over_unix
from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.check_view import Checked


def entry(name: str, state: str, found: str, hint: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "found": found, "hint": hint, "details": []}


WELL = entry("join", "ok", "in step with 2 other members")
AUDIT = entry("policy", "warn", "in audit mode", "apply it with enforce")
ILL = entry("services", "fail", "unhealthy: hello\x1b[31m", "start the app")


class Node(Plain):
    """Shows what it was told to."""

    def __init__(self, *checks: dict[str, Any], version: str) -> None:
        super().__init__()
        self.checks = list(checks)
        self.version = version

    def check(self) -> Checked:
        ok = all(each["state"] != "fail" for each in self.checks)
        document = {
            "ok": ok,
            "version": self.version,
            "node": "web-1",
            "id": "ab" * 32,
            "checks": self.checks,
        }
        return cast("Checked", document)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "s"
    path.mkdir(mode=0o700)
    (path / "node.key").touch(mode=0o600)
    return path


@asynccontextmanager
async def daemon(
    state: Path, *checks: dict[str, Any], version: str = gossipmesh.__version__
) -> AsyncIterator[Callable[..., Awaitable[Result]]]:
    async def ask(*args: str) -> Result:
        return await trio.to_thread.run_sync(CliRunner().invoke, cli, ["check", *args, "--state", str(state)])

    async with over_unix(Node(*checks, version=version), state / "admin.sock"):
        yield ask


def states(result: Result) -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(result.stdout)["checks"]}


async def test_all_is_well(state: Path) -> None:
    async with daemon(state, WELL) as ask:
        result = await ask()
        assert result.exit_code == 0
        rows = [line.split()[:2] for line in result.stdout.splitlines()]
        assert rows == [
            ["CHECK", "STATE"],
            ["daemon", "ok"],
            ["version", "ok"],
            ["state", "ok"],
            ["join", "ok"],
        ]
        assert (await ask("--strict")).exit_code == 0
        document = json.loads((await ask("--json")).stdout)
        assert (document["ok"], document["node"], document["checks"][-1]) == (True, "web-1", WELL)


async def test_a_warning_is_exit_status_zero_unless_it_is_to_be_strict(state: Path) -> None:
    async with daemon(state, WELL, AUDIT) as ask:
        assert (await ask()).exit_code == 0
        assert (await ask("--strict")).exit_code == 1
        assert json.loads((await ask("--json")).stdout)["ok"] is True


async def test_a_failure_is_exit_status_one_with_a_hint(state: Path) -> None:
    async with daemon(state, WELL, AUDIT, ILL) as ask:
        result = await ask()
        assert result.exit_code == 1
        hints = result.stdout.partition("WHAT TO DO")[2].split("\n")
        assert [line.split(maxsplit=1) for line in hints if line] == [
            ["policy", "apply it with enforce"],
            ["services", "start the app"],
        ]
        assert "\x1b" not in result.stdout
        as_json = await ask("--json")
        assert (as_json.exit_code, json.loads(as_json.stdout)["ok"]) == (1, False)


async def test_a_daemon_of_another_release_is_told_of(state: Path) -> None:
    async with daemon(state, WELL, version="0.0.1") as ask:
        result = await ask()
        assert (result.exit_code, "the daemon 0.0.1" in result.stdout) == (0, True)
        assert states(await ask("--json"))["version"] == "warn"


async def test_a_daemon_that_has_no_checks_says_what_to_do(state: Path) -> None:
    async def answers(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65_536)
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listener.bind(str(state / "admin.sock"))
    listener.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answers, [trio.SocketListener(listener)])
        args = ["check", "--state", str(state)]
        result = await trio.to_thread.run_sync(CliRunner().invoke, cli, args)
        nursery.cancel_scope.cancel()
    assert (result.exit_code, result.stderr.count("\n"), "start it again" in result.stderr) == (1, 1, True)


@pytest.mark.parametrize(
    ("name", "mode", "state_of_it"),
    [
        ("", 0o750, "warn"),
        ("", 0o770, "fail"),
        ("", 0o702, "fail"),
        ("node.key", 0o604, "fail"),
        ("root.key", 0o640, "fail"),
        ("root.key", 0o600, "ok"),
    ],
)
async def test_a_state_directory_that_is_not_its_owners_alone_is_told_of(
    state: Path, name: str, mode: int, state_of_it: str
) -> None:
    path = state / name
    path.touch()
    path.chmod(mode)
    async with daemon(state, WELL) as ask:
        result = await ask("--json")
        (found,) = [each for each in json.loads(result.stdout)["checks"] if each["name"] == "state"]
        assert (result.exit_code, found["state"]) == (int(state_of_it == "fail"), state_of_it)
        assert str(path if state_of_it != "ok" else state) in found["found"]
        assert bool(found["hint"]) is (state_of_it != "ok")


async def test_what_a_bug_left_behind_is_told_of(state: Path) -> None:
    (state / "crash.trace").touch(mode=0o600)
    async with daemon(state, WELL) as ask:
        assert states(await ask("--json"))["state"] == "warn"


def test_without_a_daemon_it_is_exit_status_three(state: Path) -> None:
    result = CliRunner().invoke(cli, ["check", "--state", str(state)])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)

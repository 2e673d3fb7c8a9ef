"""Apps and daemons that are stopped and go on later: their connections stand, and nothing comes from them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from harness import Mesh, eventually, unused_port
from webapp import WebApp, app_process
from webclient import Asking

if TYPE_CHECKING:
    from conftest import Five

CALLERS = 8
"""So many that enough of them wait at who is frozen while others are answered elsewhere."""


def start(proxy: str) -> list[Asking]:
    asking = [Asking(proxy, "http://hello/") for _ in range(CALLERS)]
    for each in asking:
        each.start()
    return asking


def go_on(asking: list[Asking]) -> None:
    """Wait until every caller has ten more answers: none of them waits for who is frozen any longer."""
    before = [len(each.answers) for each in asking]
    eventually(lambda: all(len(each.answers) >= had + 10 for each, had in zip(asking, before, strict=True)))


def finish(asking: list[Asking]) -> None:
    for each in asking:
        each.finish()
    assert {answer.status for each in asking for answer in each.answers} == {200}
    assert [each.errors for each in asking] == [[]] * CALLERS


def test_what_waits_at_an_app_that_is_frozen_is_answered_elsewhere_and_it_serves_again_later(
    mesh: Mesh,
) -> None:
    port = unused_port()
    with WebApp("hello-1") as app, app_process(port) as process:
        seed = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        mesh.node("hello-2", join=seed, services={"hello": port}).start()
        client = mesh.node("client", join=seed).start()
        eventually(lambda: client.healthy("hello") == 2)
        asking = start(client.listen("proxy"))

        def answered_by_the_process() -> int:
            return sum(len(each.answers) - each.answered_by("hello-1") for each in asking)

        eventually(lambda: answered_by_the_process() >= 100)
        process.send_signal(signal.SIGSTOP)
        go_on(asking)
        before = answered_by_the_process()
        process.send_signal(signal.SIGCONT)
        eventually(lambda: answered_by_the_process() >= before + 10)
        finish(asking)


def test_what_waits_at_a_daemon_that_is_frozen_is_answered_elsewhere_and_it_serves_again_later(
    five: Five,
) -> None:
    asking = start(five.proxy)
    frozen = five.nodes["hello-2"].process
    assert frozen is not None

    def answered_by_the_frozen() -> int:
        return sum(each.answered_by("hello-2") for each in asking)

    eventually(lambda: answered_by_the_frozen() >= 100)
    frozen.send_signal(signal.SIGSTOP)
    go_on(asking)
    before = answered_by_the_frozen()
    frozen.send_signal(signal.SIGCONT)
    eventually(lambda: answered_by_the_frozen() >= before + 10)
    finish(asking)

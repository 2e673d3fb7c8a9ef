"""Every spelling of a denied path that we know of, by every way that leads to an app: none gets there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final

import pytest
import trio

from gossipmesh.model import Address
from gossipmesh.policy.rules import Policy, Rule
from gossipmesh.proxy.gateway import Gate
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.routes import Route, Routes

DENIES: Final = Policy(
    (Rule(False, "no-admin", services=("hello",), paths=(b"/admin/*",)),), default_allow=True, version=1
)
NOTHING_ABOUT_PATHS: Final = Policy.of_default(True)
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SPELLINGS: Final = (
    b"/admin",
    b"/admin/",
    b"/admin/users",
    b"/admin?x",
    b"/admin/users?y=/open",
    b"/ADMIN/users",
    b"/Admin",
    b"/%61dmin/users",
    b"/%61%64%6d%69%6e",
    b"/%2561dmin/users",
    b"/adm%49n/users",
    b"/admin;a=b/users",
    b"/admin;/users",
    b"/admin%3ba=b/users",
    b"/admin%2fusers",
    b"/admin%252fusers",
    b"/%2fadmin/users",
    b"//admin/users",
    b"/admin//users",
    b"/open//admin",
    b"/./admin/users",
    b"/open/../admin/users",
    b"/open/..;/admin/users",
    b"/open/..;a=b/admin",
    b"/open/%2e%2e/admin/users",
    b"/open/.%2e/admin/users",
    b"/open/%252e%252e/admin/users",
    b"/open/..%2fadmin/users",
    b"/open/..%5cadmin/users",
    b"/open\\..\\admin\\users",
    b"\\admin\\users",
    b"/\\admin",
    b"/;/admin/users",
    b"/%3b/admin",
    b"/admin%00",
    b"/admin/%00",
    b"/%c0%afadmin",
    b"/%c1%a1dmin",
    b"/admin/..;/x",
    b"/admin/%zz",
    b"/adm%C4%B1n/users",
    b"/admin#x",
)
"""As routers, proxies and frameworks have read them, and were got around by them (CVE-2021-31920 is one):
case, encoding once and twice, parameters, empty and dot segments, other slashes, bytes that no
UTF-8 has, a dotless i."""
NEVER: Final = frozenset({b"\\admin\\users", b"/admin#x"})
"""What is no request's target in any case."""


class App:
    """Answers all, and keeps the targets that it was asked for."""

    def __init__(self, lab: ModuleType) -> None:
        self._lab = lab
        self.targets: list[bytes] = []

    async def __call__(self, stream: trio.SocketStream) -> None:
        while request := await self._lab.read_request(stream):
            self.targets.append(request.split(b" ")[1])
            await stream.send_all(OK)


@asynccontextmanager
async def ways(lab: ModuleType, app: App, policy: Policy) -> AsyncIterator[tuple[Any, Any]]:
    """Give a local proxy and a gateway in front of hello, which decides by ``policy``."""
    async with lab.pair(app, speaks_as="web") as (web, hello):
        hello.enforce(policy)
        gate = Gate(Routes([Route("hello")]), scheme="http", trusted_hops=0)
        outbound = Outbound(web.outbound._ports, gate=gate, wrap=None)
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(outbound.serve, Address("127.0.0.1", 0))
            yield web, Front(bound)
            nursery.cancel_scope.cancel()


class Front:
    """Where strangers come in."""

    def __init__(self, proxy: Address) -> None:
        self.proxy = proxy


def requests(path: bytes) -> list[bytes]:
    """Give a path as a target in origin form, in absolute form, and with an upgrade asked for."""
    plain = b"Host: hello\r\nConnection: close\r\n\r\n"
    upgrade = b"Host: hello\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    return [
        b"GET " + path + b" HTTP/1.1\r\n" + plain,
        b"GET http://hello" + path + b" HTTP/1.1\r\n" + plain,
        b"GET " + path + b" HTTP/1.1\r\n" + upgrade,
    ]


async def test_no_spelling_of_a_denied_path_reaches_the_app_by_any_way(lab: ModuleType) -> None:
    app = App(lab)
    async with ways(lab, app, DENIES) as (web, gateway):
        for path in SPELLINGS:
            for front in (web, gateway):
                for request in requests(path):
                    answer = await lab.ask(front, request)
                    assert answer.split(b" ", 2)[1] in (b"400", b"403"), (request, answer)
        assert app.targets == []
        # What is denied is the path, and not the service; and what is let through is not rewritten.
        for target in (b"/open/x?y=//admin/../z", b"/administration", b"/caf%C3%A9/%7euser"):
            await lab.ask(web, requests(target)[0])
            assert app.targets.pop() == target


async def test_without_the_rule_the_app_gets_these_spellings_as_they_were_sent(lab: ModuleType) -> None:
    app = App(lab)
    async with ways(lab, app, NOTHING_ABOUT_PATHS) as (web, _):
        for path in SPELLINGS:
            await lab.ask(web, requests(path)[0])
    assert set(SPELLINGS) - set(app.targets) == NEVER


@pytest.mark.parametrize("authority", [b"hello:80", b"hello", b"hello:443", b"HELLO:80"])
async def test_a_tunnel_around_the_rules_on_paths_is_refused(lab: ModuleType, authority: bytes) -> None:
    app = App(lab)
    smuggled = b"GET /admin/users HTTP/1.1\r\nHost: hello\r\n\r\n"
    async with ways(lab, app, DENIES) as (web, gateway):
        for front in (web, gateway):
            head = b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + b"\r\n\r\n"
            answer = await lab.ask(front, head + smuggled)
            assert answer.split(b" ", 2)[1] in (b"400", b"403", b"404", b"405")
            assert answer.count(b"HTTP/1.1 ") == 1
        # Nor is what follows a refused upgrade read as a request of its own.
        upgrade = b"GET /open HTTP/1.1\r\nHost: hello\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n"
        async with await lab.connect(web) as stream:
            await stream.send_all(upgrade + smuggled)
            await lab.read_until(stream, b"\r\n\r\n")
    assert b"/admin/users" not in app.targets

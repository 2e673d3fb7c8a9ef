"""What the data plane of one node tells of its requests, and whom it lets its callers speak as."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from gossipmesh.config.model import AdminConfig, Config, LogConfig, NodeConfig, ProxyConfig, ServiceConfig
from gossipmesh.config.policy_text import PolicyText, read_policy
from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.disk.root import MeshRoot, make_root
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.telemetry.logs import AccessLog, event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import MeshError
from gossipmesh.identity.chain import join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.transport.counters import count_nothing
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

LOOPBACK = Address("127.0.0.1", 0)
KEY = NodeKey.from_seed(b"k" * 32)
NOW = int(wall_clock())


def new_root(*, default_allow: bool = True) -> MeshRoot:
    return make_root(os.urandom, default_allow=default_allow)


def life(root: MeshRoot, boot: int, *services: Service, may_offer: str = "*") -> Mesh:
    """Make the control plane of one life of a node: the same key each time, with a record of its own."""
    token = root.mint(Caveats(NOW - 300, NOW + 3_600, services=(may_offer,)), os.urandom)
    setup = Setup(
        key=KEY,
        trust=root.trust,
        chain=verify_chain_untrusted(join_chain(token, KEY.seed, "alone"), root.trust, wall=NOW),
        boot=boot,
        addresses=(Address("127.0.0.1", 7_946),),
        services=services,
    )
    mesh = Mesh(setup, rng=random.Random(1), entropy=os.urandom, now=trio.current_time(), wall=NOW)
    mesh.start(now=trio.current_time(), wall=NOW)
    return mesh


@define
class Node:
    """A running data plane that is its own only peer, and what it told."""

    plane: DataPlane
    proxy: Address
    metrics: Metrics
    written: io.StringIO
    unreachable: list[tuple[NodeId, str]] = field(factory=list)

    async def get(self, url: str) -> bytes:
        """Send a request to the proxy and give all of the answer."""
        host = url.split("/")[2]
        stream = await trio.open_tcp_stream(self.proxy.host, self.proxy.port)
        async with stream:
            await stream.send_all(f"GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return b"".join([data async for data in stream])

    async def access(self, lines: int) -> dict[str, dict[str, object]]:
        """Wait for as many lines of the access log and give them by direction."""
        while self.written.getvalue().count("\n") < lines:
            await wait_all_tasks_blocked()
        entries = [json.loads(line) for line in self.written.getvalue().splitlines()]
        assert len(entries) == lines
        return {str(entry["direction"]): entry for entry in entries}

    def counted(self, metric: str) -> list[str]:
        """Give the samples of a metric."""
        lines = self.metrics.text().decode().splitlines()
        return [line.removeprefix("gossipmesh_") for line in lines if line.startswith(f"gossipmesh_{metric}")]


async def app(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@asynccontextmanager
async def running(
    mesh: Callable[[Service], Mesh],
    *,
    shown: Callable[[Service], Mesh] | None = None,
    speaks_as: str | None = None,
    listens: bool = True,
    default_allow: bool = True,
) -> AsyncIterator[Node]:
    """Run the data plane of a node that offers hello.

    Args:
        mesh: makes its control plane, given hello.
        shown: makes the one whose record it shows in handshakes; by default the same.
        speaks_as: the service that its local apps speak as.
        listens: whether its own mesh port can be reached.
        default_allow: the decision on every request.
    """
    async with trio.open_nursery() as nursery:
        (sock,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, app, [sock])
        hello = Service("hello", sock.socket.getsockname()[1])
        ours = mesh(hello)
        theirs = ours if shown is None else shown(hello)
        config = Config(
            node=NodeConfig("alone", Path("unused")),
            services=(ServiceConfig(hello.name, hello.port),),
            proxy=ProxyConfig(listen=LOOPBACK, as_service=speaks_as),
            admin=AdminConfig(LOOPBACK),
        )
        metrics, written, unreachable = Metrics(), io.StringIO(), list[tuple[NodeId, str]]()
        where: list[Address] = []
        plane = DataPlane(
            config,
            ours,
            identity(theirs),
            metrics=metrics,
            access=AccessLog(LogConfig(), written),
            log=event_log(LogConfig(), io.StringIO()),
            default_allow=default_allow,
            resolve=lambda node: tuple(where),
            unreachable=lambda node, why: unreachable.append((node, why)),
            doubt=lambda port: None,
        )
        if listens:
            listener = Listener(
                LOOPBACK,
                identity(theirs),
                serve_hop=plane.serve_channel,
                serve_sync=no_sync,
                count=count_nothing,
            )
            where.append(await nursery.start(listener.run))
        proxy = await plane.start(nursery)
        yield Node(plane, proxy, metrics, written, unreachable)
        nursery.cancel_scope.cancel()


def identity(mesh: Mesh) -> ChannelIdentity:
    def authenticate(payload: bytes, remote_static: bytes, _: NodeId | None) -> Peer:
        return verify_credentials_untrusted(payload, remote_static, mesh.trust, wall=NOW)

    return ChannelIdentity(
        mesh_id=mesh.trust.mesh_id,
        credentials=lambda _: mesh.credentials(wall=NOW),
        authenticate=authenticate,
        static_private=lambda: mesh.static_private,
        entropy=os.urandom,
    )


async def no_sync(stream: SecureStream) -> None:
    raise AssertionError("nobody syncs in these tests")


# --- what is told


async def test_a_request_is_one_line_and_one_count_at_each_end() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello), speaks_as="hello") as node:
        answer = await node.get("http://hello/greet?secret=1")
        assert answer.startswith(b"HTTP/1.1 200 ")
        lines = await node.access(2)
        for direction, line in lines.items():
            assert line["service"] == line["source"] == "hello"
            assert (line["method"], line["path"], line["code"], line["flag"]) == ("GET", "/greet", 200, "")
            assert (line["bytes_in"], line["bytes_out"], line["endpoint"]) == (0, 5, "alone"), direction
        assert lines["inbound"]["request_id"] == lines["outbound"]["request_id"] != ""
        assert sorted(node.counted("requests_total")) == [
            f'requests_total{{code="200",direction="{way}",flag="",method="GET",service="hello"}} 1.0'
            for way in ("inbound", "outbound")
        ]
        assert len(node.counted("request_duration_seconds_count")) == 2
        assert node.counted("attempts_total") == ["attempts_total 1.0"]
        assert node.counted("retries_total") == []
        assert node.counted("retries_total") == []
        assert [line.partition("{")[2].partition(",")[0] for line in node.counted("authz_total")] == [
            'decision="allow"'
        ]
        assert node.plane.channels() == {"open": 1}
        assert node.plane.in_flight == 0


async def test_a_denied_request_is_counted_as_denied() -> None:
    root = new_root(default_allow=False)
    async with running(lambda hello: life(root, 1, hello), default_allow=False) as node:
        assert b"\r\nx-gossipmesh-error: AZ\r\n" in await node.get("http://hello/")
        lines = await node.access(2)
        assert [lines[way]["flag"] for way in ("inbound", "outbound")] == ["AZ", "AZ"]
        assert 'decision="deny"' in node.counted("authz_total")[0]


async def test_a_service_that_nobody_offers_becomes_no_label() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        await node.get("http://never-heard-of/")
        lines = await node.access(1)
        assert (lines["outbound"]["service"], lines["outbound"]["flag"]) == ("never-heard-of", "NR")
        (sample,) = node.counted("requests_total")
        assert 'flag="NR"' in sample
        assert 'service=""' in sample


async def test_the_endpoints_in_rotation_are_those_that_a_request_could_go_to() -> None:
    async with running(lambda hello: life(new_root(), 1, hello)) as node:
        (endpoint,) = node.plane.in_rotation("hello")
        assert endpoint.id == KEY.id
        assert node.plane.in_rotation("nobody") == ()
        await node.get("http://hello/")
        assert [each.id for each in node.plane.in_rotation("hello")] == [KEY.id]


async def test_a_node_that_cannot_be_reached_is_evidence_for_the_control_plane() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello), listens=False) as node:
        answer = await node.get("http://hello/")
        assert answer.startswith(b"HTTP/1.1 503 ")
        lines = await node.access(1)
        assert lines["outbound"]["flag"] == "UF"
        assert node.unreachable == [(KEY.id, "a connect to it failed")]
        assert node.counted("attempts_total") == ["attempts_total 1.0"]


async def test_a_plane_that_drains_takes_nothing_more_from_the_mesh() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        assert (await node.get("http://hello/")).startswith(b"HTTP/1.1 200 ")
        await node.plane.drain()
        assert not (await node.get("http://hello/")).startswith(b"HTTP/1.1 200 ")
        assert node.unreachable == []


async def test_a_plane_that_stops_ends_connections_and_lets_go_of_its_channels() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        async with await trio.open_tcp_stream(node.proxy.host, node.proxy.port) as stream:
            node.plane.end_connections()
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
            assert b"".join([data async for data in stream]).endswith(b"hello")
        assert node.plane.channels() == {"open": 1}
        await node.plane.finish()
        await wait_all_tasks_blocked(0.01)
        assert node.plane.channels() == {"open": 0}


# --- whom a caller may speak as

WEB = Service("web", 1)


@pytest.mark.parametrize(
    ("known", "shown", "flag"),
    [
        pytest.param((1, True), (1, True), "", id="what it declares"),
        pytest.param((1, False), (1, False), "AZ", id="nothing that it does not declare"),
        pytest.param((2, False), (1, True), "AZ", id="nothing that it has given up since the handshake"),
        pytest.param((2, True), (1, False), "", id="what it has declared since the handshake"),
        pytest.param(
            (1, True), (2, False), "AZ", id="nothing that the newer record of the handshake gives up"
        ),
        pytest.param((1, False), (2, True), "", id="what the newer record of the handshake declares"),
    ],
)
async def test_a_caller_may_speak_as(known: tuple[int, bool], shown: tuple[int, bool], flag: str) -> None:
    root = new_root()

    def living(boot: int, has_web: bool) -> Callable[[Service], Mesh]:
        return lambda hello: life(root, boot, hello, *((WEB,) if has_web else ()))

    async with running(living(*known), shown=living(*shown), speaks_as="web") as node:
        await node.get("http://hello/")
        lines = await node.access(2)
        assert lines["inbound"]["flag"] == flag


async def test_a_caller_may_not_speak_as_a_service_that_its_chain_does_not_grant() -> None:
    root = new_root()
    async with running(
        lambda hello: life(root, 2, hello, WEB, may_offer="hello"),
        shown=lambda hello: life(root, 1, hello, WEB, may_offer="hello"),
        speaks_as="web",
    ) as node:
        await node.get("http://hello/")
        lines = await node.access(2)
        assert lines["inbound"]["flag"] == "AZ"


async def test_a_request_that_policy_denies_would_be_refused_and_was() -> None:
    root = new_root(default_allow=False)
    async with running(lambda hello: life(root, 1, hello), default_allow=False) as node:
        explained = node.plane.explainer.dry_run("GET", "http://hello/", [])
        assert (explained["decision"], explained["flag"], explained["chosen"]) == ("refuse", "AZ", "alone")
        denied = {"version": 0, "rule": "default", "verdict": "deny", "mode": "enforce"}
        assert explained["policy"] == denied
        await node.get("http://hello/")
        entries = await node.access(2)
        past = node.plane.explainer.past(str(entries["outbound"]["request_id"]))
        assert (past["decision"], past["flag"], past["policy"]["verdict"]) == ("failed", "AZ", "deny")
        (there,) = past["related"]
        assert there["past"] is not None
        assert (there["past"]["direction"], there["chosen"]) == ("inbound", "alone")


async def test_a_request_that_is_not_known_is_answered_with_how_far_back_one_would_be() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        with pytest.raises(MeshError, match="it has seen no request yet"):
            node.plane.explainer.past("r-1")
        await node.get("http://hello/")
        await node.access(2)
        with pytest.raises(MeshError, match=r"it remembers 2 back to 20\d\d-"):
            node.plane.explainer.past("r-1")


async def test_who_named_a_service_in_place_of_a_request_is_told_what_to_write() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        with pytest.raises(MeshError, match="or give a URL such as http://hello/ for what would be"):
            node.plane.explainer.past("hello")


async def test_news_of_the_mesh_is_looked_at_in_a_turn_of_the_data_plane_once_for_all_of_it() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        assert (await node.get("http://hello/")).endswith(b"hello")
        (upstream,) = node.plane._upstreams
        assert upstream.eligible is None
        for _ in range(3):
            node.plane.snapshot_changed()
        # Whoever calls is the control task: nothing is done in its time.
        assert [each.eligible for each in node.plane._upstreams] == [None]
        assert len(node.plane._reactor._deferred) == 1
        while upstream.eligible is None:
            await wait_all_tasks_blocked()


def policy(text: str, version: int = 1) -> PolicyText:
    return read_policy(text, version=version)


async def test_a_policy_that_is_set_decides_whole_and_is_explained() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        assert b"200 OK" in await node.get("http://hello/")
        text = """default = "deny"
            [[rule]]
            name = "all-of-x"
            action = "allow"
            from = ["*"]
            to = ["hello"]
            paths = ["/x/*"]
            [service.hello]
            timeout = "7s"
            rate = { per_second = 0.01, burst = 1 }"""
        node.plane.set_policy(policy(text, 4))
        assert b"200 OK" in await node.get("http://hello/x/y")
        assert b"x-gossipmesh-error: RL" in await node.get("http://hello/x/y")
        assert b"x-gossipmesh-error: AZ" in await node.get("http://hello/")
        assert (await node.get("http://hello/x/%2e%2e/y")).startswith(b"HTTP/1.1 400 ")
        found = node.plane.explainer.dry_run("GET", "http://hello/x/y", [])
        assert (found["policy"]["rule"], found["policy"]["version"]) == ("all-of-x", 4)
        assert found["state"] is not None
        assert found["state"]["traffic"] == "policy"
        assert node.counted('authz_total{decision="deny",rule="ambiguous-path"}') == [
            'authz_total{decision="deny",rule="ambiguous-path"} 1.0'
        ]
        assert node.counted("policy_version") == ["policy_version 4.0"]
        node.plane.set_policy(policy('default = "allow"', 5))
        assert b"200 OK" in await node.get("http://hello/")


async def test_audit_mode_serves_counts_and_remembers_what_it_would_deny() -> None:
    root = new_root()
    async with running(lambda hello: life(root, 1, hello)) as node:
        node.plane.set_policy(policy('default = "deny"\nmode = "audit"'))
        assert b"200 OK" in await node.get("http://hello/x?secret")
        assert node.counted("authz_total{") == ['authz_total{decision="audit-deny",rule="default"} 1.0']
        ((asked, allowed, count, _),) = node.plane.seen.requests(now=trio.current_time())
        assert (asked.path, allowed, count) == (b"/x", False, 1)

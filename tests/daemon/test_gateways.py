"""A node's gateways: their listeners, and their certificates that are read again."""

from __future__ import annotations

import os
import ssl
from contextlib import aclosing
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
import trio
from attrs import define, field

from certificates import NAME, write_certificate
from gossipmesh.config.gateway import TlsFiles
from gossipmesh.config.model import GatewayConfig
from gossipmesh.daemon.gateways import Gateways
from gossipmesh.errors import ConfigError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.routes import Route
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.upstreams import Upstreams
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import ChannelIdentity

LOCAL = NodeId(b"w" * 32)
ROUTES = (Route("nobody"),)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@define
class Said:
    """A log that keeps what it is told, and wakes who waits for it."""

    lines: list[tuple[str, dict[str, Any]]] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))
        self.changed.set()

    warning = info

    async def wait(self, event: str) -> dict[str, Any]:
        while True:
            for index, (name, fields) in enumerate(self.lines):
                if name == event:
                    del self.lines[index]
                    return fields
            self.changed = trio.Event()
            await self.changed.wait()


def nobody(*_: object) -> Peer:
    raise AssertionError("there is nobody to shake hands with")


def ports(reactor: Reactor) -> OutboundPorts:
    identity = ChannelIdentity(bytes(32), lambda: b"", nobody, lambda: bytes(32), os.urandom)
    return OutboundPorts(
        node="edge-1",
        source_service="",
        snapshot=lambda: Snapshot(LOCAL),
        reactor=reactor,
        pool=ChannelPool(reactor, identity, lambda node: None, connect_timeout_s=1.0),
        upstreams=Upstreams({}, origin=LOCAL, key=b"", rng=Random(1)),
        report=lambda node, outcome: None,
        observe=lambda report: None,
        entropy=os.urandom,
        limits=ProxyLimits(),
    )


def port_of(fields: dict[str, Any]) -> int:
    return int(fields["listen"].rpartition(":")[2])


async def answered(port: int, cafile: Path | None = None) -> bytes:
    stream: Any = await trio.open_tcp_stream("127.0.0.1", port)
    if cafile is not None:
        context = ssl.create_default_context(cafile=cafile)
        stream = trio.SSLStream(stream, context, server_hostname=NAME, https_compatible=True)
    async with aclosing(stream):
        await stream.send_all(GET)
        received: bytes = await stream.receive_some(65_536)
        return received


async def test_each_listens_and_ends_its_connections_and_then_listens_no_more_when_the_node_ends(
    hops: ModuleType,
) -> None:
    said: Any = Said()
    configs = [GatewayConfig(Address("127.0.0.1", 0), ROUTES, drain_delay_s=0.1) for _ in range(2)]
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        gateways = Gateways(configs, ports(reactor), said)
        await gateways.start(nursery)
        listening = [port_of(await said.wait("gateway")) for _ in configs]
        for port in listening:
            answer = await answered(port)
            assert answer.startswith(b"HTTP/1.1 404 ")
            assert b"connection: close" not in answer.lower()
        gateways.end_connections()
        assert b"connection: close" in (await answered(listening[0])).lower()
        assert gateways.in_flight == 0
        idle = await trio.open_tcp_stream("127.0.0.1", listening[1])
        await gateways.finish()
        for port in listening:
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream("127.0.0.1", port)
        gateways.end_idle()
        async with idle:
            assert await idle.receive_some(1) == b""
        nursery.cancel_scope.cancel()


async def test_a_replaced_certificate_is_shown_without_a_restart(hops: ModuleType, tmp_path: Path) -> None:
    said: Any = Said()
    (tmp_path / "new").mkdir()
    live, new = write_certificate(tmp_path), write_certificate(tmp_path / "new")
    trusted = new.cert.read_bytes()
    config = GatewayConfig(Address("127.0.0.1", 0), ROUTES, TlsFiles(live.cert, live.key))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        await Gateways([config], ports(reactor), said).start(nursery)
        port = port_of(await said.wait("gateway"))
        assert (await answered(port, live.cert)).startswith(b"HTTP/1.1 404 ")
        new.cert.replace(live.cert)
        warned = await said.wait("tls.files")
        assert "the last good one stays in use" in warned["detail"]
        new.key.replace(live.key)
        await said.wait("gateway.certificate")
        (tmp_path / "trusted").write_bytes(trusted)
        assert (await answered(port, tmp_path / "trusted")).startswith(b"HTTP/1.1 404 ")
        nursery.cancel_scope.cancel()


async def test_a_certificate_that_cannot_be_used_prevents_the_start(hops: ModuleType, tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    config = GatewayConfig(Address("127.0.0.1", 0), ROUTES, tls)
    said: Any = Said()
    async with hops.reactor() as reactor:
        with pytest.raises(ConfigError, match="no such file"):
            Gateways([config], ports(reactor), said)

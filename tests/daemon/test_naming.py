"""What DNS is told, compared with what the control plane believes, and the server in a daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import dns.message
import pytest
import trio
from attrs import define, field

from gossipmesh.config.model import DnsConfig
from gossipmesh.daemon.naming import PICTURE_S, Naming, start_dns
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import ConfigError
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, Endpoint, MemberState, Service
from gossipmesh.sim.world import World
from gossipmesh.transport.reactor import Reactor

HELLO = Service("hello", 8_080)
PROXY = Address("127.0.0.1", 4_140)


@pytest.fixture
def world() -> World:
    """Alice, Bob and Carol, all but Carol with hello; Carol has died."""
    world = World(7)
    world.add("alice", services=(HELLO,))
    world.add("bob", services=(HELLO,), seeds=["alice"])
    world.add("carol", seeds=["alice"])
    world.run_until(world.complete, within=10)
    world.crash("carol")
    world.run_until(lambda: world.everyone_believes("carol", MemberState.DEAD), within=60)
    return world


def naming(mesh: Mesh) -> Naming:
    return Naming(mesh, in_rotation=mesh.snapshot.eligible, proxy=PROXY)


def test_a_picture_shows_members_and_endpoints_as_they_are_believed(world: World) -> None:
    mesh = world.nodes["alice"].running
    picture = naming(mesh).picture(now=0.0)
    assert {node.name: node.living for node in picture.nodes} == {"alice": True, "bob": True, "carol": False}
    assert picture.own.name == "alice"
    assert [end.node for end in picture.in_rotation("hello")] == [
        end.node for end in mesh.snapshot.eligible("hello")
    ]
    bob = picture.node_of(world.nodes["bob"].running.id)
    assert bob is not None
    assert (bob.name, bob.services) == ("bob", ("hello",))
    assert picture.proxy == PROXY


def test_a_picture_is_kept_for_a_moment_while_no_endpoint_changes(world: World) -> None:
    mesh = world.nodes["alice"].running
    pictures = naming(mesh)
    first = pictures.picture(now=0.0)
    assert pictures.picture(now=PICTURE_S / 2) is first
    later = pictures.picture(now=PICTURE_S)
    assert later is not first
    assert later.serial == first.serial + 1
    world.crash("bob")
    world.run_until(lambda: world.everyone_believes("bob", MemberState.DEAD), within=60)
    assert pictures.picture(now=PICTURE_S) is not later


@define
class Plane:
    """What the server needs of a data plane."""

    in_rotation: Callable[[str], tuple[Endpoint, ...]]
    reactor: Reactor = field(factory=Reactor)


async def start(mesh: Mesh, config: DnsConfig, metrics: Metrics, nursery: trio.Nursery) -> Address | None:
    plane = Plane(mesh.snapshot.eligible)
    await nursery.start(plane.reactor.run)
    served = await start_dns(
        config, mesh, cast("DataPlane", plane), proxy=PROXY, metrics=metrics, nursery=nursery
    )
    return served.address


async def test_the_server_answers_and_counts(world: World) -> None:
    mesh, metrics = world.nodes["alice"].running, Metrics()
    async with trio.open_nursery() as nursery:
        address = await start(mesh, DnsConfig(Address("127.0.0.1", 0)), metrics, nursery)
        assert address is not None
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.connect((address.host, address.port))
            await sock.send(dns.message.make_query("hello.proxy.mesh", "A").to_wire())
            reply = dns.message.from_wire(await sock.recv(2_000))
        assert reply.answer[0][0].to_text() == "127.0.0.1"
        assert b'gossipmesh_dns_answers_total{rcode="NOERROR",type="A"} 1.0' in metrics.text()
        nursery.cancel_scope.cancel()


async def test_off_is_nowhere(world: World) -> None:
    async with trio.open_nursery() as nursery:
        assert await start(world.nodes["alice"].running, DnsConfig(None), Metrics(), nursery) is None
        nursery.cancel_scope.cancel()


async def test_an_address_that_is_not_ours_is_told_with_its_flag(world: World) -> None:
    config = DnsConfig(Address("192.0.2.1", 0))
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match="192.0.2.1:0 is no address of this host; change --dns")
    ):
        async with trio.open_nursery() as nursery:
            await start(world.nodes["alice"].running, config, Metrics(), nursery)

"""What follows from a change of a node's services, and when."""

from __future__ import annotations

import io
import os
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from math import inf
from typing import cast

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from gossipmesh.config.model import LogConfig, ServiceConfig
from gossipmesh.daemon.control import Control, Question, wall_clock
from gossipmesh.daemon.disk.root import make_root
from gossipmesh.daemon.ending import NEWS_PERIODS
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.services.health import HealthChecks
from gossipmesh.daemon.services.offering import ConfiguredError
from gossipmesh.daemon.services.registrar import Declared, NotAllowedError, Registrar
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import ConfigError
from gossipmesh.identity.chain import join_chain, verify_chain_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, Service

KEY = NodeKey.from_seed(b"k" * 32)
NEWS_S = NEWS_PERIODS * LAN.gossip_period_s
WEB = ServiceConfig("web", 80, health=None)


@define
class Plane:
    """Takes requests for what it was told last."""

    services: dict[str, Service] = field(factory=dict)
    speaker: str = ""

    def set_services(self, services: Iterable[Service], *, speaker: str) -> None:
        self.services = {each.name: each for each in services}
        self.speaker = speaker


@define
class Orders:
    """A control task that has always just come round."""

    mesh: Mesh
    told: list[dict[str, int]] = field(factory=list)

    async def ask(self, question: Question) -> bytes:
        await trio.lowlevel.checkpoint()
        answer, _ = question(trio.current_time(), wall_clock())
        self.told.append({each.name: each.weight for each in self.mesh.own.services})
        return answer


@define
class Bench:
    registrar: Registrar
    plane: Plane
    orders: Orders

    @property
    def offered(self) -> list[str]:
        return [each["name"] for each in self.registrar.listing()["services"]]


@asynccontextmanager
async def running(*services: ServiceConfig, speaker: str | None = None) -> AsyncIterator[Bench]:
    now = int(wall_clock())
    root = make_root(os.urandom, default_allow=True)
    token = root.mint(Caveats(now - 300, now + 86_400, services=("web*", "cron")), os.urandom)
    setup = Setup(
        key=KEY,
        trust=root.trust,
        chain=verify_chain_untrusted(join_chain(token, KEY.seed, "n1"), root.trust, wall=now),
        boot=1,
        addresses=(Address("127.0.0.1", 7_946),),
        services=tuple(each.offered(healthy=True) for each in services),
    )
    mesh = Mesh(setup, rng=random.Random(1), entropy=os.urandom, now=trio.current_time(), wall=now)
    mesh.start(now=trio.current_time(), wall=now)
    log = event_log(LogConfig(), io.StringIO())
    health, plane, orders = HealthChecks(services, metrics=Metrics(), log=log), Plane(), Orders(mesh)
    registrar = Registrar(
        Declared(services, "mesh.toml", speaker),
        mesh=mesh,
        health=health,
        plane=cast("DataPlane", plane),
        control=cast("Control", orders),
        log=log,
        gossip_period_s=LAN.gossip_period_s,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(health.run)
        nursery.start_soon(registrar.run)
        yield Bench(registrar, plane, orders)
        nursery.cancel_scope.cancel()


async def test_what_goes_is_left_out_of_the_record_first_and_answered_until_others_know(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(WEB) as bench:
        await bench.registrar.remove("web")
        assert bench.orders.told == [{}]
        assert list(bench.plane.services) == ["web"]
        await trio.sleep(NEWS_S + 0.01)
        assert bench.plane.services == {}


async def test_what_comes_back_meanwhile_is_not_refused_when_its_former_time_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as bench:
        await bench.registrar.add("web", {"port": 80, "health": "off"}, ttl_s=inf)
        await bench.registrar.remove("web")
        await bench.registrar.add("web", {"port": 81, "health": "off"}, ttl_s=inf)
        await trio.sleep(10)
        assert bench.plane.services["web"].port == 81


async def test_what_nobody_renews_goes(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as bench:
        await bench.registrar.add("web", {"port": 80, "health": "off"}, ttl_s=30)
        for _ in range(3):
            await trio.sleep(20)
            await bench.registrar.renew("web")
        assert bench.offered == ["web"]
        assert bench.registrar.listing()["services"][0]["expires_in_s"] == 30
        await trio.sleep(30.1)
        assert bench.offered == []
        assert bench.orders.told[-1] == {}
        # Renewing alone is nothing to tell anybody.
        assert len(bench.orders.told) == 2


async def test_apps_speak_as_a_service_when_others_know_that_it_is_ours(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as bench:
        await bench.registrar.add("web", {"port": 80, "health": "off"}, ttl_s=inf)
        assert bench.plane.speaker == ""
        await trio.sleep(NEWS_S + 0.01)
        assert bench.plane.speaker == bench.registrar.listing()["speaker"] == "web"
        await bench.registrar.add("cron", {"port": 81, "health": "off"}, ttl_s=inf)
        assert bench.plane.speaker == ""
    async with running(WEB, speaker="web") as bench:
        await bench.registrar.add("cron", {"port": 81, "health": "off"}, ttl_s=inf)
        assert bench.plane.speaker == "web"
        await bench.registrar.remove("web")
        assert bench.plane.speaker == ""


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("hello", {"port": 80}, "this node's token does not allow the service hello; it allows web* or cron"),
        ("web-1", {"port": 0}, "the request: service.port: 0 is not a whole number from 1 to 65535"),
        ("web-1", {}, "the request: service: port is missing"),
        ("web-1", {"port": 80, "wieght": 1}, "there is no such key; did you mean weight?"),
        ("web-1", {"port": 80, "tags": ["a"] * 2}, "is not an array of different names"),
        ("web-1", {"port": 80, "name": "web-2"}, "it is web-1 already"),
        ("web", {"port": 80}, "web is declared by mesh.toml"),
    ],
)
async def test_what_is_refused_changes_nothing(name: str, fields: dict[str, object], words: str) -> None:
    async with running(WEB) as bench:
        with pytest.raises((ConfigError, NotAllowedError, ConfiguredError)) as refused:
            await bench.registrar.add(name, fields, ttl_s=inf)
        assert words in str(refused.value)
        assert (bench.offered, bench.orders.told) == (["web"], [])


async def test_what_the_record_has_no_room_for_is_refused_with_its_size() -> None:
    async with running() as bench:
        with pytest.raises(ConfigError, match=r"record is \d+ bytes, 1100 are allowed"):
            for number in range(64):
                await bench.registrar.add(f"web{'x' * 50}{number}", {"port": 80, "health": "off"}, ttl_s=inf)
        offered = bench.offered
        with pytest.raises(ConfigError, match="record is"):
            await bench.registrar.change(offered[0], {"tags": [f"{'t' * 60}{n}" for n in range(8)]})
        assert bench.offered == offered


async def test_a_reload_is_all_or_nothing() -> None:
    async with running(WEB) as bench:
        await bench.registrar.change("web", {"weight": 9})
        await bench.registrar.add("cron", {"port": 81, "health": "off"}, ttl_s=inf)
        long = [ServiceConfig(f"{'x' * 50}{n}", 80, health=None) for n in range(40)]
        with pytest.raises(ConfigError, match="record is"):
            bench.registrar.check(Declared(tuple(long), "mesh.toml", None))
        with pytest.raises(ConfigError, match="record is"):
            await bench.registrar.reload(Declared(tuple(long), "mesh.toml", None))
        assert bench.offered == ["web", "cron"]
        await bench.registrar.reload(Declared((evolve(WEB, name="web-2"),), "mesh.toml", "web-2"))
        assert bench.offered == ["web-2", "cron"]

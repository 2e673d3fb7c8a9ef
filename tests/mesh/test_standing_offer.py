"""What a node offers, changed while it runs: told soon, and not oftener than others pass it on."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gossipmesh.errors import ConfigError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, join_chain, verify_chain_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.token import new_token
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.pace import BURST
from gossipmesh.mesh.setup import Setup
from gossipmesh.mesh.standing import CHANGES
from gossipmesh.model import MAX_SERVICES, Address, Service

WALL = 1_800_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
TRUST = TrustStore(new_bundle([ROOT.id], default_allow=True))
KEY = NodeKey.from_seed(b"k" * 32)
PERIOD_S = LAN.gossip_period_s


@pytest.fixture
def mesh() -> Mesh:
    rng = random.Random(1)
    token = new_token(
        TRUST.path[0], ROOT.seed, Caveats(WALL - 300, WALL + 86_400, services=("*",)), rng.randbytes
    )
    setup = Setup(
        key=KEY,
        trust=TRUST,
        chain=verify_chain_untrusted(join_chain(token, KEY.seed, "n1"), TRUST, wall=WALL),
        boot=1,
        addresses=(Address("192.0.2.1", 7946),),
    )
    mesh = Mesh(setup, rng=rng, entropy=rng.randbytes, now=0.0, wall=WALL)
    mesh.start(now=0.0, wall=WALL)
    return mesh


def web(weight: int = 1, *, healthy: bool = True) -> list[Service]:
    return [Service("web", 80, weight=weight, healthy=healthy)]


def offered(mesh: Mesh) -> list[Service]:
    return list(mesh.own.services)


def test_the_first_change_is_told_at_once_and_the_next_with_the_next_gossip(mesh: Mesh) -> None:
    mesh.set_services(web(), now=10.0, wall=WALL)
    assert offered(mesh) == web()
    mesh.set_services(web(2), now=10.0, wall=WALL)
    mesh.set_services(web(3), now=10.1, wall=WALL)
    assert offered(mesh) == web()
    assert mesh.deadline <= 10.0 + PERIOD_S
    mesh.handle_timer(now=10.0 + PERIOD_S, wall=WALL)
    assert offered(mesh) == web(3)
    assert mesh.own.incarnation == 2


def test_what_is_offered_already_is_not_signed_again(mesh: Mesh) -> None:
    mesh.set_services(web(), now=10.0, wall=WALL)
    version = mesh.own.version
    assert mesh.set_services(web(), now=20.0, wall=WALL) == []
    assert mesh.own.version == version


def test_a_change_that_waits_goes_out_with_whatever_else_is_signed(mesh: Mesh) -> None:
    mesh.set_services(web(), now=10.0, wall=WALL)
    mesh.set_services(web(2), now=10.0, wall=WALL)
    mesh.set_health(frozenset({"web"}), now=10.0, wall=WALL)
    assert offered(mesh) == web(2, healthy=False)
    version = mesh.own.version
    mesh.handle_timer(now=11.0, wall=WALL)
    assert mesh.own.version == version


def test_the_health_of_what_is_not_offered_is_nothing_to_tell(mesh: Mesh) -> None:
    mesh.set_services(web(), now=10.0, wall=WALL)
    assert mesh.set_health(frozenset({"other"}), now=10.0, wall=WALL) == []
    mesh.set_services([*web(healthy=False), Service("db", 81)], now=20.0, wall=WALL)
    assert offered(mesh) == [*web(healthy=False), Service("db", 81)]


def told(mesh: Mesh, change: Callable[[int], list[Service]], *, seconds: float) -> int:
    """Change what is offered a hundred times a second; give how many records that made."""
    first = mesh.own.incarnation
    for step in range(int(seconds * 100)):
        now = 10.0 + step / 100
        mesh.set_services(change(step), now=now, wall=WALL)
        mesh.handle_timer(now=now, wall=WALL)
    return mesh.own.incarnation - first


def test_in_the_long_run_it_is_told_once_a_second(mesh: Mesh) -> None:
    records = told(mesh, lambda step: web(1 + step % 900), seconds=60)
    assert 60 <= records <= 60 + CHANGES
    # Others pass on more than that at once, so that there is room for a goodbye.
    assert CHANGES < BURST


def test_what_does_not_fit_is_refused_and_nothing_has_changed(mesh: Mesh) -> None:
    mesh.set_services(web(), now=10.0, wall=WALL)
    version = mesh.own.version
    many = [Service("s" * 60 + f"{number:03}", 80) for number in range(MAX_SERVICES)]
    for attempt in (
        lambda: mesh.check_services(many),
        lambda: mesh.set_services(many, now=20.0, wall=WALL),
    ):
        with pytest.raises(ConfigError) as refused:
            attempt()
        assert refused.value.code == "record.too-long"
    mesh.handle_timer(now=21.0, wall=WALL)
    assert (offered(mesh), mesh.own.version) == (web(), version)
    with pytest.raises(ConfigError, match="declares one service twice"):
        mesh.check_services([*web(), *web()])

"""When our record has to rise: once in ten seconds, and only above what our own key signed."""

from __future__ import annotations

import random

import pytest

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, join_chain, verify_chain_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MAX_COUNTER, RECORD_LIFETIME_S
from gossipmesh.identity.token import new_token
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.outputs import SendMessages
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.effects import Effect
from gossipmesh.mesh.outputs import BootRaised, Notice
from gossipmesh.mesh.own import Own
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.setup import Setup
from gossipmesh.mesh.standing import Standing
from gossipmesh.model import Address, Service, Serving
from gossipmesh.registry.store import Registry

WALL = 1_800_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
TRUST = TrustStore(new_bundle([ROOT.id], default_allow=True))
KEY = NodeKey.from_seed(b"k" * 32)


def node(boot: int = 1, services: tuple[Service, ...] = ()) -> tuple[Standing, Membership, Own]:
    rng = random.Random(1)
    caveats = Caveats(WALL - 300, WALL + 365 * 86_400, b"t" * 8, services=("web",))
    token = new_token(TRUST.path[0], ROOT.seed, caveats, rng.randbytes)
    setup = Setup(
        key=KEY,
        trust=TRUST,
        chain=verify_chain_untrusted(join_chain(token, KEY.seed, "n1"), TRUST, wall=WALL),
        boot=boot,
        addresses=(Address("192.0.2.1", 7946),),
        services=services,
    )
    secrecy = Secrecy(
        id=KEY.id, mesh_id=TRUST.mesh_id, generation=boot, entropy=rng.randbytes, rng=rng, now=0.0
    )
    own = Own(setup, secrecy=secrecy, registry=Registry(TRUST), rng=rng)
    membership = Membership(
        LAN,
        own.sign(wall=WALL),
        rng=rng,
        root=lambda: bytes(16),
        sign_accusation=lambda *subject: own.accuse(*subject, wall=WALL),
    )
    return Standing(own, membership, LAN), membership, own


def codes(effects: list[Effect]) -> list[str]:
    return [effect.code for effect in effects if isinstance(effect, Notice)]


def test_buried_at_our_present_version_we_sign_a_newer_one_and_say_nothing_about_clones() -> None:
    standing, membership, _ = node()
    buried = membership.own.signed.raw
    assert codes(standing.rise_above_buried_untrusted(buried, now=0.0, wall=WALL)) == []
    assert membership.own.version == (1, 1)
    # That a peer still buries the one before is answered already.
    assert standing.rise_above_buried_untrusted(buried, now=60.0, wall=WALL) == []
    assert standing.rise_above_buried_untrusted(b"", now=60.0, wall=WALL) == []
    assert membership.own.version == (1, 1)


def test_nobody_makes_us_sign_more_than_once_in_ten_seconds() -> None:
    standing, membership, _ = node()
    for now in range(100):
        standing.rise_above(membership.own.version, now=float(now), wall=WALL)
    assert membership.own.version == (1, 10)


def test_what_came_too_soon_is_done_when_its_time_has_come() -> None:
    standing, membership, _ = node()
    standing.rise_above((1, 0), now=0.0, wall=WALL)
    standing.rise_above((1, 1), now=1.0, wall=WALL)
    assert membership.own.version == (1, 1)
    assert standing.handle_timer(now=LAN.refute_gap_s - 0.1, wall=WALL) == []
    standing.handle_timer(now=LAN.refute_gap_s, wall=WALL)
    assert membership.own.version == (1, 2)
    assert standing.handle_timer(now=60.0, wall=WALL) == []


def test_what_waits_is_moot_once_we_signed_for_another_reason() -> None:
    standing, membership, _ = node()
    standing.rise_above((1, 0), now=0.0, wall=WALL)
    standing.rise_above((1, 1), now=1.0, wall=WALL)
    standing.serve(Serving.DRAINING, now=2.0, wall=WALL)
    assert membership.own.serving is Serving.DRAINING
    assert membership.own.version == (1, 2)
    assert standing.handle_timer(now=30.0, wall=WALL) == []


def test_a_version_that_we_did_not_sign_in_this_life_is_gone_above_and_reported() -> None:
    _, _, former = node(boot=9)
    former.sign(wall=WALL)
    shown = former.sign(wall=WALL).signed.raw
    standing, membership, _ = node(boot=4)
    assert codes(standing.rise_above_buried_untrusted(shown, now=0.0, wall=WALL)) == ["own.clone"]
    assert membership.own.version == (9, 3)


def boots(effects: list[Effect]) -> list[int]:
    return [effect.boot for effect in effects if isinstance(effect, BootRaised)]


def test_a_boot_that_we_had_to_rise_to_is_kept_before_anybody_hears_of_it_and_only_once() -> None:
    standing, membership, _ = node(boot=4)
    effects = standing.rise_above((9, 2), now=0.0, wall=WALL)
    assert boots(effects) == [9]
    kept = next(i for i, effect in enumerate(effects) if isinstance(effect, BootRaised))
    assert not any(isinstance(effect, SendMessages) for effect in effects[:kept])
    assert membership.own.version == (9, 3)
    assert boots(standing.rise_above((9, 7), now=20.0, wall=WALL)) == []
    assert boots(standing.rise_above((9, MAX_COUNTER), now=40.0, wall=WALL)) == [10]
    assert boots(standing.serve(Serving.DRAINING, now=41.0, wall=WALL)) == []


def test_a_record_of_our_very_version_that_is_another_is_a_clone_too() -> None:
    standing, membership, _ = node()
    assert codes(standing.rise_above((1, 0), now=0.0, wall=WALL, foreign=True)) == ["own.clone"]
    assert membership.own.version == (1, 1)


def test_a_number_without_our_signature_moves_nothing() -> None:
    standing, membership, _ = node()
    liar = membership.own.signed.raw[:-1] + bytes([membership.own.signed.raw[-1] ^ 1])
    for shown in (liar, b"garbage"):
        with pytest.raises(RemoteProtocolError):
            standing.rise_above_buried_untrusted(shown, now=0.0, wall=WALL)
    assert membership.own.version == (1, 0)


def test_a_clone_that_used_up_all_versions_is_reported_and_breaks_nothing() -> None:
    standing, membership, _ = node()
    effects = standing.rise_above((MAX_COUNTER, MAX_COUNTER), now=0.0, wall=WALL)
    assert codes(effects) == ["own.clone", "own.exhausted"]
    assert membership.own.version == (1, 0)


def test_a_clone_is_told_of_once_a_minute_however_often_it_shows_itself() -> None:
    standing, membership, _ = node()
    told = []
    for now in range(0, 150):
        effects = standing.rise_above(membership.own.version, now=float(now), wall=WALL, foreign=True)
        effects += standing.handle_timer(now=float(now), wall=WALL)
        told += [now] * len(codes(effects))
    assert told == [0, 60, 120]


def test_whoever_leaves_does_not_come_back_to_contradict() -> None:
    standing, membership, _ = node()
    standing.serve(Serving.LEAVING, now=0.0, wall=WALL)
    left = membership.own.version
    assert standing.rise_above(left, now=30.0, wall=WALL) == []
    assert membership.own.version == left


def test_a_record_is_signed_again_before_it_grows_old() -> None:
    standing, membership, own = node()
    assert standing.handle_timer(now=1.0, wall=WALL + 60) == []
    wall = WALL + 0.65 * RECORD_LIFETIME_S
    standing.handle_timer(now=2.0, wall=wall)
    assert membership.own.version == (1, 1)
    assert membership.own.issued_at == int(wall)
    assert own.refresh_wall > wall


def test_what_a_clock_signed_that_was_ahead_is_signed_again_when_it_is_right() -> None:
    standing, membership, _ = node()
    standing.resign(now=1.0, wall=WALL + 3_600)
    assert standing.handle_timer(now=2.0, wall=WALL + 3_600 - 100) == []
    assert standing.handle_timer(now=3.0, wall=WALL)
    assert membership.own.issued_at == WALL


def test_services_outside_the_token_are_complained_of_once() -> None:
    standing, _, _ = node(services=(Service("web", 1), Service("payments", 2)))
    assert codes(standing.complain()) == ["own.services-refused"]
    assert codes(standing.resign(now=0.0, wall=WALL)) == []


def test_a_greeting_shows_the_newest_chain_and_record() -> None:
    standing, membership, own = node()
    standing.resign(now=0.0, wall=WALL)
    assert standing.greeting() == (own.chain.raw, membership.own.signed.raw)
    assert standing.adopt(None, now=0.0, wall=WALL) == []


def test_what_is_said_of_our_services_health_is_signed_once() -> None:
    services = Service("web", 8080, healthy=False), Service("db", 5432)
    standing, membership, own = node(services=services)
    assert [each.healthy for each in membership.own.services] == [False, True]
    assert standing.set_health(frozenset({"web"}), now=0.0, wall=WALL) == []
    standing.set_health(frozenset({"db"}), now=0.0, wall=WALL)
    assert [each.healthy for each in membership.own.services] == [True, False]
    assert own.sign(wall=WALL).services == membership.own.services


def test_a_node_that_moves_says_so_in_a_newer_record() -> None:
    standing, membership, _ = node()
    before, there = membership.own, (Address("198.51.100.7", 7946),)
    assert standing.move(before.addresses, now=0.0, wall=WALL) == []
    assert standing.move(there, now=0.0, wall=WALL) != []
    assert membership.own.addresses == there
    assert membership.own.version > before.version

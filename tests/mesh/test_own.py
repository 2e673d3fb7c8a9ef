"""What this node signs of itself: versions that only rise, whatever somebody shows."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.accusation import verify_decoded_accusation
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, join_chain, verify_chain_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import (
    MAX_COUNTER,
    MAX_GATE,
    POLICY_PREFIX,
    RECORD_LIFETIME_S,
    MemberRecord,
)
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.own import REFRESH_JITTER, Own
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import MAX_SERVICES, MAX_WEIGHT, Address, NodeId, Service, Serving
from gossipmesh.registry.store import Registry

WALL = 1_800_000_000
DAY = 86_400
ROOT = NodeKey.from_seed(b"r" * 32)
TRUST = TrustStore(new_bundle([ROOT.id], default_allow=True))
KEY = NodeKey.from_seed(b"k" * 32)
OTHER = NodeKey.from_seed(b"o" * 32)


def own(
    key: NodeKey = KEY, *, boot: int = 1, services: tuple[Service, ...] = (), ttl_s: int = 365 * DAY
) -> tuple[Own, Registry]:
    rng = random.Random(1)
    caveats = Caveats(WALL - 300, WALL + ttl_s, b"t" * 8, services=("web*",))
    token = new_token(TRUST.path[0], ROOT.seed, caveats, rng.randbytes)
    setup = Setup(
        key=key,
        trust=TRUST,
        chain=verify_chain_untrusted(join_chain(token, key.seed, "n1"), TRUST, wall=WALL),
        boot=boot,
        addresses=(Address("192.0.2.1", 7946),),
        services=services,
    )
    secrecy = Secrecy(
        id=key.id, mesh_id=TRUST.mesh_id, generation=boot, entropy=rng.randbytes, rng=rng, now=0.0
    )
    registry = Registry(TRUST)
    return Own(setup, secrecy=secrecy, registry=registry, rng=rng), registry


def test_the_first_record_of_a_life_has_its_boot_and_counts_from_zero() -> None:
    machine, registry = own(boot=7)
    assert [machine.sign(wall=WALL).version for _ in range(3)] == [(7, 0), (7, 1), (7, 2)]
    held = registry.lookup(KEY.id)
    assert held is not None
    assert held.version == (7, 2)


def test_a_record_says_what_the_node_is_now() -> None:
    machine, _ = own(services=(Service("web", 8080),))
    machine.serving = Serving.DRAINING
    record = machine.sign(wall=WALL)
    assert (record.name, record.serving, record.services) == ("n1", Serving.DRAINING, (Service("web", 8080),))
    assert (record.chain_hash, record.issued_at) == (machine.chain.hash, WALL)


@given(
    st.lists(st.none() | st.tuples(st.integers(0, MAX_COUNTER - 1), st.integers(0, MAX_COUNTER)), max_size=6)
)
@settings(max_examples=30)
def test_whatever_it_has_to_go_above_versions_rise(shown: list[tuple[int, int] | None]) -> None:
    machine, _ = own()
    last = (0, 0)
    for above in shown:
        record = machine.sign(wall=WALL, above=above)
        assert record.version > max(last, above or last)
        last = record.version


def test_a_full_counter_carries_into_the_boot() -> None:
    machine, _ = own()
    assert machine.sign(wall=WALL, above=(1, MAX_COUNTER - 1)).version == (1, MAX_COUNTER)
    assert machine.sign(wall=WALL).version == (2, 0)


def test_a_record_is_refreshed_at_about_half_its_life() -> None:
    machine, _ = own()
    machine.sign(wall=WALL)
    share = (machine.refresh_wall - WALL) / RECORD_LIFETIME_S
    assert 0.5 - REFRESH_JITTER <= share <= 0.5 + REFRESH_JITTER


def test_a_record_that_would_not_fit_is_an_error_with_the_size_before_anything_is_signed() -> None:
    with pytest.raises(ConfigError, match=r"1\d\d\d bytes") as caught:
        own(services=tuple(Service(f"web-{i:058}", 1) for i in range(20)))
    assert caught.value.code == "record.too-long"


def test_services_outside_the_token_are_known_as_refused() -> None:
    machine, _ = own(services=(Service("web", 1), Service("payments", 2)))
    machine.sign(wall=WALL)
    assert machine.refused == {"payments"}


def test_an_expired_chain_does_not_keep_a_node_from_signing() -> None:
    machine, registry = own(ttl_s=DAY)
    machine.sign(wall=WALL)
    later = WALL + 2 * DAY
    assert len(registry.expire(wall=later)) == 1
    assert machine.sign(wall=later).version == (1, 1)
    # It is no member that others would believe in, ourselves included.
    assert registry.lookup(KEY.id) is None


def test_only_what_our_own_key_signed_has_a_version() -> None:
    machine, _ = own()
    former, _ = own(boot=9)
    other, _ = own(OTHER)
    assert machine.version_of_untrusted(former.sign(wall=WALL).signed.raw) == (9, 0)
    stranger = other.sign(wall=WALL)
    with pytest.raises(TrustError) as caught:
        machine.version_of_untrusted(stranger.signed.raw)
    assert caught.value.code == "record.other"
    forged = relabelled(stranger, KEY.id)
    with pytest.raises(TrustError) as caught:
        machine.version_of_untrusted(forged)
    assert caught.value.code == "record.signature"
    with pytest.raises(RemoteProtocolError):
        machine.version_of_untrusted(b"garbage")


def relabelled(record: MemberRecord, node: NodeId) -> bytes:
    """Give another's record with our id put in place of its own."""
    return record.signed.raw.replace(record.id, node)


def test_an_accusation_is_signed_and_quotes_what_was_asked() -> None:
    machine, _ = own()
    accusation = machine.accuse(OTHER.id, 3, 4, wall=WALL)
    assert verify_decoded_accusation(accusation, TRUST.mesh_id, wall=WALL) == accusation
    assert (accusation.accuser, accusation.subject, accusation.version) == (KEY.id, OTHER.id, (3, 4))


def test_a_record_that_only_fits_while_its_counters_are_low_is_refused_at_the_start() -> None:
    names = [f"service-{number:02}" for number in range(60)]
    fits = 0
    for count in range(1, len(names)):
        try:
            own(services=tuple(Service(name, 8080) for name in names[:count]))
        except ConfigError as error:
            assert error.code == "record.too-long"
            break
        fits = count
    assert fits
    signer, _ = own(services=tuple(Service(name, 8080) for name in names[:fits]))
    assert signer.sign(wall=WALL, above=(MAX_COUNTER - 1, MAX_COUNTER - 1)).version > (MAX_COUNTER - 1, 0)


def test_whatever_is_taken_at_run_time_fits_with_any_counters_and_any_policy() -> None:
    machine, _ = own(boot=300)
    taken: list[Service] = []
    lengths = range(63, 0, -1)
    for number in range(MAX_SERVICES):
        for length in lengths:
            # The longest name that still fits, so that the last one fills the record to its last byte.
            service = Service(f"{number:02}".ljust(length, "x")[-length:], 65_535, weight=MAX_WEIGHT)
            try:
                machine.offer([*taken, service])
            except ConfigError as error:
                assert error.code in ("record.too-long", "record.invalid")
            else:
                taken.append(service)
                break
    assert len(taken) > 5
    machine.serving = Serving.LEAVING
    machine.shown = (MAX_COUNTER, b"p" * POLICY_PREFIX, MAX_GATE)
    assert machine.sign(wall=WALL, above=(MAX_COUNTER - 1, MAX_COUNTER - 1)).policy == machine.shown

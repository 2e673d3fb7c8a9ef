"""Member records: the owner's own words, bounded, and in one spelling."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import (
    MAX_RECORD,
    NO_POLICY,
    RECORD_LABEL,
    RECORD_LIFETIME_S,
    MemberRecord,
    decode_record_untrusted,
    refused_services,
    resign_record,
    sign_record,
    verify_decoded_record,
    verify_record_untrusted,
)
from gossipmesh.identity.signed import seal
from gossipmesh.identity.token import new_token
from gossipmesh.model import Address, Protocol, Service, Serving

NOW = 1_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
NODE = NodeKey.from_seed(b"n" * 32)
OTHER = NodeKey.from_seed(b"o" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TRUST = TrustStore(BUNDLE)
TOKEN = new_token(BUNDLE, ROOT.seed, Caveats(NOW, 2 * NOW, services=("web",)), random.Random(7).randbytes)
WEB = Service("web", 8080, tags=("v2", "eu"), weight=3, healthy=False)


def chain(key: NodeKey = NODE, name: str = "node") -> VerifiedChain:
    return verify_chain_untrusted(join_chain(TOKEN, key.seed, name), TRUST, wall=NOW)


CHAIN = chain()


def record(**changes: Any) -> MemberRecord:
    fields: dict[str, Any] = {
        "seed": NODE.seed,
        "mesh_id": TRUST.mesh_id,
        "boot": 3,
        "incarnation": 5,
        "name": "node",
        "addresses": (Address("192.0.2.7", 7946), Address("2001:db8::7", 7946)),
        "dh_key": b"d" * 32,
        "dh_generation": 9,
        "zone": "eu-1a",
        "services": (WEB,),
        "serving": Serving.SERVING,
        "chain_hash": CHAIN.hash,
        "issued_at": NOW,
    }
    return sign_record(**(fields | changes))


def refused(
    raw: bytes, *, wall: float = NOW, by: VerifiedChain = CHAIN, mesh_id: bytes = TRUST.mesh_id
) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_record_untrusted(raw, by, mesh_id, wall=wall)
    return caught.value.code


def test_a_record_verifies_as_it_was_signed() -> None:
    made = record()
    assert verify_record_untrusted(made.signed.raw, CHAIN, TRUST.mesh_id, wall=NOW) == made
    assert made.id == NODE.id
    assert made.version == (3, 5)
    assert made.expires_at == NOW + RECORD_LIFETIME_S
    assert made.services == (WEB,)


def test_two_records_of_one_version_have_two_hashes() -> None:
    assert len(record().hash) == 16
    assert record().hash == record().hash
    assert record().hash != record(zone="eu-1b").hash


NAMES = st.text("abcxyz019-", min_size=1, max_size=12)
SERVICES = st.lists(
    st.builds(
        Service,
        name=NAMES,
        port=st.integers(1, 65_535),
        protocol=st.sampled_from(Protocol),
        weight=st.integers(0, 1_000),
        tags=st.lists(NAMES, max_size=3).map(tuple),
        healthy=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda service: service.name,
).map(tuple)
HOSTS = st.ip_addresses().filter(
    lambda ip: (
        not (ip.is_multicast or ip.is_link_local or ip.is_unspecified)
        and not (ip.version == 4 and (ip.packed[0] == 0 or ip.packed[0] >= 240))
        and not (ip.version == 6 and ip.packed[:10] == bytes(10))
    )
)
ADDRESSES = st.lists(st.builds(Address, HOSTS.map(str), st.integers(0, 65_535)), min_size=1, max_size=4).map(
    tuple
)


@settings(max_examples=60)
@given(SERVICES, ADDRESSES, st.just("") | NAMES, st.sampled_from(Serving), st.integers(0, 2**32 - 1))
def test_every_record_survives_the_wire(
    services: tuple[Service, ...], addresses: tuple[Address, ...], zone: str, serving: Serving, counter: int
) -> None:
    made = record(
        services=services, addresses=addresses, zone=zone, serving=serving, boot=counter, incarnation=counter
    )
    assert (made.services, made.zone, made.serving) == (services, zone, serving)
    assert [address.packed for address in made.addresses] == [address.packed for address in addresses]
    assert decode_record_untrusted(made.signed.raw) == made


def test_a_changed_record_is_signed_again_and_lives_anew() -> None:
    changed = attrs.evolve(record(), incarnation=6, serving=Serving.LEAVING)
    again = resign_record(changed, seed=NODE.seed, mesh_id=TRUST.mesh_id, issued_at=NOW + 50)
    assert verify_record_untrusted(again.signed.raw, CHAIN, TRUST.mesh_id, wall=NOW) == again
    assert (again.version, again.serving, again.issued_at) == ((3, 6), Serving.LEAVING, NOW + 50)
    assert again.expires_at == NOW + 50 + RECORD_LIFETIME_S


def test_another_signer_chain_name_or_mesh_is_refused() -> None:
    made = record()
    forged = seal(RECORD_LABEL, TRUST.mesh_id, made.signed.body, OTHER.seed)
    assert refused(forged.raw) == "record.signature"
    assert refused(made.signed.raw, mesh_id=bytes(32)) == "record.signature"
    assert refused(made.signed.raw, by=chain(OTHER)) == "record.chain"
    assert refused(made.signed.raw, by=chain(NODE, "renamed")) == "record.chain"
    assert refused(record(name="nobody").signed.raw) == "record.name"
    assert refused(record(chain_hash=bytes(16)).signed.raw) == "record.chain"


def test_a_record_is_valid_for_its_day_and_two_minutes_around_it() -> None:
    made = record()
    for wall in (NOW - 120, NOW, made.expires_at + 120):
        assert verify_decoded_record(made, CHAIN, TRUST.mesh_id, wall=wall) is made
    assert refused(made.signed.raw, wall=NOW - 121) == "record.not-yet-valid"
    assert refused(made.signed.raw, wall=made.expires_at + 121) == "record.expired"


def test_services_outside_the_chain_are_named_and_the_record_still_stands() -> None:
    made = record(services=(WEB, Service("db", 5432), Service("web-admin", 1)))
    assert verify_record_untrusted(made.signed.raw, CHAIN, TRUST.mesh_id, wall=NOW) == made
    assert refused_services(made, CHAIN) == ("db", "web-admin")
    assert refused_services(record(), CHAIN) == ()


def test_a_record_that_does_not_fit_is_a_configuration_error_with_the_byte_count() -> None:
    many = tuple(Service(f"{i}-{'s' * 58}", 1) for i in range(20))
    with pytest.raises(ConfigError, match=r"record is \d{4} bytes, 1100 are allowed") as caught:
        record(services=many)
    assert caught.value.code == "record.too-long"
    fits = record(services=many[:10])
    assert len(fits.signed.raw) <= MAX_RECORD


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "No Name"},
        {"name": ""},
        {"zone": "EU"},
        {"addresses": ()},
        {"addresses": (Address("192.0.2.7", 1),) * 5},
        {"addresses": (Address("192.0.2.7", 1), Address("169.254.169.254", 80))},
        *(
            {"addresses": (Address(host, 80),)}
            for host in (
                "0.0.0.0",
                "224.0.0.1",
                "255.255.255.255",
                "::",
                "::127.0.0.1",
                "::ffff:169.254.169.254",
                "fe80::1",
                "ff02::1",
            )
        ),
        {"boot": 2**32},
        {"incarnation": -1},
        {"dh_key": b"short"},
        {"dh_generation": 256},
        {"services": (WEB, WEB)},
        {"services": (Service("web", 0),)},
        {"services": (Service("web", 1, weight=1_001),)},
        {"services": (Service("web", 1, tags=("a",) * 9),)},
        {"services": (Service("web", 1, tags=("A",)),)},
        {"chain_hash": bytes(15)},
        {"issued_at": 2**60},
    ],
)
def test_what_others_would_refuse_is_never_signed_out(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        record(**changes)
    assert caught.value.code == "record.invalid"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.0.0.1", "fd00::1", "100.64.0.1", "223.255.255.255"])
def test_addresses_of_this_host_and_of_private_networks_are_addresses(host: str) -> None:
    assert record(addresses=(Address(host, 7_946),)).addresses[0].host == host


def test_a_record_that_lives_too_long_or_not_at_all_is_malformed() -> None:
    body = wire.unpack_untrusted(record().signed.body, code="x")
    assert isinstance(body, list)
    for expires_at in (NOW, NOW - 1, NOW + RECORD_LIFETIME_S + 1):
        signed = seal(RECORD_LABEL, TRUST.mesh_id, wire.pack([*body[:-2], expires_at]), NODE.seed)
        assert refused(signed.raw) == "record.malformed"


def test_a_record_of_release_0_1_is_taken_and_told_from_ours() -> None:
    body = wire.unpack_untrusted(record().signed.body, code="x")
    assert isinstance(body, list)
    signed = seal(RECORD_LABEL, TRUST.mesh_id, wire.pack(body[:-1]), NODE.seed)
    old = verify_record_untrusted(signed.raw, CHAIN, TRUST.mesh_id, wall=NOW)
    assert (old.enforces, old.policy, old.signed.raw) == (False, NO_POLICY, signed.raw)
    assert record().enforces
    assert record(policy=(7, b"12345678", 3)).enforces


def test_what_a_newer_release_appends_is_relayed_as_it_came() -> None:
    body = wire.unpack_untrusted(record().signed.body, code="x")
    assert isinstance(body, list)
    signed = seal(RECORD_LABEL, TRUST.mesh_id, wire.pack([*body, b"new", [1]]), NODE.seed)
    kept = verify_record_untrusted(signed.raw, CHAIN, TRUST.mesh_id, wall=NOW)
    assert kept.signed.raw == signed.raw
    assert kept.version == record().version


def test_every_bit_flip_and_every_truncation_is_refused() -> None:
    raw = record().signed.raw
    for size in range(len(raw)):
        assert refused(raw[:size]) == "record.malformed"
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(flipped)).startswith("record.")


def test_refusing_is_a_trust_error_once_the_bytes_are_a_record() -> None:
    with pytest.raises(TrustError):
        verify_decoded_record(record(), chain(OTHER), TRUST.mesh_id, wall=NOW)


def test_repr_shows_no_raw_bytes() -> None:
    assert "signed" not in repr(record())

"""Members that misbehave, and whoever recorded what they said: identities without number, replays, swapped keys."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import handshakes
from gossipmesh.channel.datagram import DatagramOpener, DatagramSealer, derive_pair_keys
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, HandshakeDone, Record, SecureChannel
from gossipmesh.crypto import dh_public
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import Token, new_token
from gossipmesh.model import Address, NodeId
from gossipmesh.registry.store import Accepted, Refused, Registry, RegistryLimits

WALL: Final = 1_700_000_000
RNG: Final = random.Random(12)
ROOT: Final = NodeKey.generate(RNG.randbytes)
BUNDLE: Final = new_bundle([ROOT.id], default_allow=True)
FAKES: Final = 400
PER_TOKEN: Final = 40
ROOM: Final = 300
"""Members that a registry holds here: fewer than the fakes, as the default of 16,384 is than 100,000."""

# --- identities without number ---


def token() -> Token:
    return new_token(BUNDLE, ROOT.seed, Caveats(WALL - 300, WALL + 86_400), RNG.randbytes)


def newcomer(of: Token, name: str) -> tuple[NodeId, bytes, bytes]:
    """Give id, chain and record of a new identity."""
    key = NodeKey.generate(RNG.randbytes)
    chain = join_chain(of, key.seed, name)
    record = sign_record(
        seed=key.seed,
        mesh_id=BUNDLE.hash,
        boot=1,
        incarnation=0,
        name=name,
        addresses=[Address("192.0.2.1", 7_946)],
        dh_key=key.id,
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
    )
    return key.id, chain, record.signed.raw


def admit(registry: Registry, who: tuple[NodeId, bytes, bytes]) -> bool:
    node, chain, record = who
    registry.offer_chain_untrusted(chain, wall=WALL)
    return isinstance(registry.offer_record_untrusted(record, source=node, wall=WALL), Accepted)


def flood(limits: RegistryLimits) -> tuple[Registry, list[NodeId], int]:
    """Give a registry of ten honest members after a flood from one token, those ten, and the bytes it took."""
    honest_token, stolen = token(), token()
    registry = Registry(TrustStore(BUNDLE), limits=limits)
    honest = [newcomer(honest_token, f"honest-{number}") for number in range(10)]
    assert all(admit(registry, each) for each in honest)
    fakes = [newcomer(stolen, f"fake-{number}") for number in range(FAKES)]
    tracemalloc.start()
    for fake in fakes:
        admit(registry, fake)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    late = newcomer(honest_token, "late")
    assert admit(registry, late) is (len(registry) < limits.members)
    return registry, [node for node, _, _ in honest], grown


def test_identities_without_number_from_one_token_fill_its_own_quota_only() -> None:
    registry, honest, grown = flood(RegistryLimits(members=ROOM, per_token=PER_TOKEN, spare_chains=64))
    assert len(registry) == PER_TOKEN + len(honest) + 1
    assert all(registry.lookup(node) is not None for node in honest)
    assert grown < 8 * 1024 * PER_TOKEN


def test_without_a_quota_they_take_every_place_and_honest_newcomers_find_none() -> None:
    registry, _, grown = flood(RegistryLimits(members=ROOM, per_token=ROOM, spare_chains=64))
    assert len(registry) == ROOM
    assert registry.offer_chain_untrusted(newcomer(token(), "late")[1], wall=WALL) == Refused("registry.full")
    assert grown > 1024 * (ROOM - 10)


def test_a_crowd_that_leaves_and_comes_again_does_not_find_its_places_taken_by_itself() -> None:
    """Nor does it grow what is remembered: tombstones are as bounded as members are."""
    limits = RegistryLimits(members=ROOM, per_token=10, spare_chains=8, tombstones=32)
    registry = Registry(TrustStore(BUNDLE), limits=limits)
    stolen = token()
    for number in range(100):
        who = newcomer(stolen, f"fake-{number}")
        assert admit(registry, who)
        registry.forget(who[0])
    assert len(registry) == 0
    assert len(registry._tombstones) <= 32
    assert len(registry._chains) <= 8


# --- replays ---


class Forgetful(DatagramOpener):
    """Opens what it opened before: a receiver without a window."""

    __slots__ = ()

    def open_untrusted(self, datagram: bytes) -> bytes:
        self._windows = ()
        return super().open_untrusted(datagram)


def pair(opener: Callable[..., DatagramOpener], private: bytes) -> tuple[DatagramSealer, DatagramOpener]:
    """Give what Mallory seals with to Alice, who has the X25519 key ``private``, and what Alice opens it with."""
    mallory, names = bytes([3] * 32), (NodeId(b"m" * 32), NodeId(b"a" * 32))
    theirs = derive_pair_keys(
        mallory, dh_public(private), mesh_id=BUNDLE.hash, own_id=names[0], peer_id=names[1]
    )
    ours = derive_pair_keys(
        private, dh_public(mallory), mesh_id=BUNDLE.hash, own_id=names[1], peer_id=names[0]
    )
    sealer = DatagramSealer(
        theirs.sealing, own_id=names[0], own_generation=1, peer_generation=1, entropy=bytes
    )
    return sealer, opener(ours.opening, peer_id=names[0], peer_generation=1, own_generation=1)


def opened(opener: DatagramOpener, recorded: list[bytes]) -> int:
    count = 0
    for datagram in recorded:
        try:
            opener.open_untrusted(datagram)
        except RemoteProtocolError as error:
            assert error.code in ("datagram.replay", "datagram.forged")
        else:
            count += 1
    return count


def test_what_was_recorded_opens_once_and_never_after_a_restart() -> None:
    sealer, opener = pair(DatagramOpener, bytes([1] * 32))
    recorded = [sealer.seal(b"news %d" % number) for number in range(1_500)]
    assert opened(opener, recorded) == 1_500
    assert opened(opener, recorded) == 0
    assert opened(opener, recorded[::-1]) == 0
    # The restarted daemon has no windows, and no key that would open any of it either.
    _, restarted = pair(DatagramOpener, bytes([2] * 32))
    assert opened(restarted, recorded) == 0


def test_without_a_window_or_with_a_key_that_survives_restarts_all_of_it_opens_again() -> None:
    sealer, forgetful = pair(Forgetful, bytes([1] * 32))
    recorded = [sealer.seal(b"news %d" % number) for number in range(10)]
    assert opened(forgetful, recorded) == opened(forgetful, recorded) == 10
    _, same_key = pair(DatagramOpener, bytes([1] * 32))
    assert opened(same_key, recorded) == 10


# --- keys and certificates swapped ---


def channel(name: str, role: Role, believe: bool, *, shows: str | None = None) -> SecureChannel[Any]:
    """Give one side. Who does not ``believe`` verifies what it is shown, as daemons do."""

    def authenticate(credentials: bytes, remote_static: bytes) -> object:
        if believe:
            return credentials
        return handshakes.verify_credentials_untrusted(
            credentials, remote_static, handshakes.TRUST, wall=handshakes.WALL
        )

    return SecureChannel(
        role,
        mesh_id=handshakes.TRUST.mesh_id,
        static_private=handshakes.static(name),
        ephemeral_private=RNG.randbytes(32),
        credentials=handshakes.shown(shows or name),
        authenticate=authenticate,
    )


def in_the_middle(*, believe: bool) -> Iterator[object]:
    """Let Mallory talk to Alice as Bob and to Bob as Alice, with the credentials of both; give what each heard."""
    alice = channel("alice", Role.INITIATOR, believe)
    bob = channel("bob", Role.RESPONDER, believe)
    as_bob = channel("mallory", Role.RESPONDER, True, shows="bob")
    as_alice = channel("mallory", Role.INITIATOR, True, shows="alice")
    for one, other in ((alice, as_bob), (as_alice, bob)):
        try:
            other.receive_bytes_untrusted(one.bytes_to_send())
            events = one.receive_bytes_untrusted(other.bytes_to_send())
            one.send_record(HOP, b"application data")
            events += other.receive_bytes_untrusted(one.bytes_to_send())
        except RemoteProtocolError as error:
            yield error.code
            assert not (one if one is alice else other).established
        else:
            yield [event for event in events if isinstance(event, Record)]
            assert any(isinstance(event, HandshakeDone) for event in events)


def test_whoever_shows_anothers_credentials_gets_no_application_byte_from_either_end() -> None:
    assert list(in_the_middle(believe=False)) == ["credentials.dh", "credentials.dh"]


def test_without_the_binding_of_key_and_identity_both_ends_talk_to_who_sits_between() -> None:
    heard = [Record(HOP, b"application data")]
    assert list(in_the_middle(believe=True)) == [heard, heard]


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_honest_ends_that_verify_do_talk(name: str) -> None:
    """What is refused above is the lie, and not everybody."""
    alice, bob = channel("alice", Role.INITIATOR, False), channel("bob", Role.RESPONDER, False)
    bob.receive_bytes_untrusted(alice.bytes_to_send())
    events = {"bob": alice.receive_bytes_untrusted(bob.bytes_to_send())}
    events["alice"] = bob.receive_bytes_untrusted(alice.bytes_to_send())
    ((done,),) = [events[name]]
    assert isinstance(done, HandshakeDone)
    assert done.peer.id == handshakes.KEYS[name].id

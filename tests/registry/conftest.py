"""Members of one mesh with their chains and records, and registries that hold them.

Test files cannot import each other here, as the folder is no package; they get this module as the fixture ``lab``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType

import attrs
import pytest

from gossipmesh.crypto import blake2b
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.identity.token import Token, new_token
from gossipmesh.model import Address, NodeId, Service, Serving
from gossipmesh.registry.store import Accepted, ChainAccepted, CloneAlarm, Registry, RegistryLimits
from gossipmesh.registry.sync import (
    AccusationLearned,
    Accusations,
    ChainLearned,
    Learned,
    RecordLearned,
    SyncRound,
    answer_untrusted,
)
from gossipmesh.registry.sync_messages import MAX_PAGE, MAX_SYNC_MESSAGE


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    return sys.modules[__name__]


NOW = 1_700_000_000
DAY = 86_400
ROOT = NodeKey.from_seed(b"r" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
PEER = NodeId(b"p" * 32)


def entropy(label: str) -> functools.partial[bytes]:
    return functools.partial(lambda label, size: blake2b(label.encode(), size), label)


@functools.cache
def token(label: str = "first", days: int = 365) -> Token:
    caveats = Caveats(NOW, NOW + days * DAY, blake2b(label.encode(), 8), services=("web*",))
    return new_token(BUNDLE, ROOT.seed, caveats, entropy(label))


@attrs.frozen
class Node:
    """One node that may be offered: its key and its chain."""

    key: NodeKey
    name: str
    chain: bytes

    def record(
        self,
        boot: int = 1,
        incarnation: int = 0,
        age_s: int = 0,
        zone: str = "",
        services: Sequence[Service] = (),
        serving: Serving = Serving.SERVING,
    ) -> MemberRecord:
        return sign_record(
            seed=self.key.seed,
            mesh_id=BUNDLE.hash,
            boot=boot,
            incarnation=incarnation,
            name=self.name,
            addresses=[Address("192.0.2.1", 7946)],
            dh_key=bytes(32),
            dh_generation=0,
            chain_hash=chain_hash(self.chain),
            issued_at=NOW - age_s,
            zone=zone,
            services=services,
            serving=serving,
        )


@functools.cache
def node(name: str, of: str = "first", days: int = 365) -> Node:
    key = NodeKey.from_seed(blake2b(name.encode(), 32))
    return Node(key, name, join_chain(token(of, days), key.seed, name))


ALICE, BOB = node("alice"), node("bob")


def registry(*held: tuple[Node, MemberRecord], limits: RegistryLimits | None = None) -> Registry:
    made = Registry(TrustStore(BUNDLE), limits=limits)
    for owner, record in held:
        assert isinstance(made.offer_chain_untrusted(owner.chain, wall=NOW), ChainAccepted)
        assert isinstance(offer(made, record), Accepted)
    return made


def offer(to: Registry, record: MemberRecord, source: NodeId = PEER, wall: float = NOW) -> object:
    return to.offer_record_untrusted(record.signed.raw, source=source, wall=wall)


# --- for rounds of sync

FEW = tuple(node(f"n-{n}") for n in range(8))


VERSIONS = tuple((None, each.record(1), each.record(2), each.record(3)) for each in FEW)


def take(held: Registry, learned: Iterable[Learned]) -> list[CloneAlarm]:
    """Offer all that was learned, as the owner of a registry does; give the alarms."""
    outcomes: list[object] = []
    for each in learned:
        match each:
            case ChainLearned(raw):
                chain = held.offer_chain_untrusted(raw, wall=NOW)
                assert isinstance(chain, ChainAccepted)
            case RecordLearned(raw):
                outcomes.append(held.offer_record_untrusted(raw, source=PEER, wall=NOW))
            case AccusationLearned():
                pass
    return [outcome for outcome in outcomes if isinstance(outcome, CloneAlarm)]


def nobody_accused(_: NodeId) -> tuple[bytes, ...]:
    return ()


def synchronise(
    initiator: Registry, responder: Registry, accusations: Accusations = nobody_accused
) -> tuple[SyncRound, list[bytes], list[Learned]]:
    """Run one round; give it, its messages in turn, and what the initiator learned."""
    sync, messages, learned = SyncRound(initiator, accusations), list[bytes](), list[Learned]()
    while (request := sync.next_request()) is not None:
        response, pushed = answer_untrusted(request, responder, accusations)
        messages += [request, response]
        take(responder, pushed)
        brought = sync.receive_response_untrusted(response)
        take(initiator, brought)
        learned += brought
    assert max(map(len, messages)) <= MAX_SYNC_MESSAGE
    return sync, messages, learned


def chosen(versions: Iterable[int]) -> Registry:
    picked = ((FEW[n], VERSIONS[n][version]) for n, version in enumerate(versions))
    return registry(*((owner, record) for owner, record in picked if record is not None))


@functools.cache
def many() -> tuple[tuple[Node, MemberRecord], ...]:
    """More members than one page holds, each with a few services."""
    services = [Service(f"service-{n}", 8_000 + n, tags=("blue",)) for n in range(3)]
    nodes = [node(f"node-{n:04}") for n in range(MAX_PAGE + 76)]
    return tuple((each, each.record(zone="eu-west-1", services=services)) for each in nodes)


@functools.cache
def thousand() -> Registry:
    """Give the first thousand of them, for tests that only read it."""
    return registry(*many()[:1_000])

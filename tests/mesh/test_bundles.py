"""Newer roots: taken in order, from whomever, and what the dropped ones leave behind."""

from __future__ import annotations

import random

from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.bundles import Bundles
from gossipmesh.mesh.outputs import BundlesChanged, Notice, Refused
from gossipmesh.model import Address
from gossipmesh.registry.store import Registry

WALL = 1_800_000_000
OLD, NEW, NODE = (NodeKey.from_seed(letter * 32) for letter in (b"o", b"n", b"k"))
BUNDLE = new_bundle([OLD.id], default_allow=True)
BOTH = successor(BUNDLE, [OLD.id, NEW.id], OLD.seed)
ONLY = successor(BOTH, [NEW.id], NEW.seed, mesh_id=BUNDLE.hash)


def machine() -> tuple[TrustStore, Registry, Bundles]:
    """Give a machine whose registry holds one member, under the old root."""
    trust = TrustStore(BUNDLE)
    registry = Registry(trust)
    token = new_token(BUNDLE, OLD.seed, Caveats(WALL, WALL + 10**6), random.Random(1).randbytes)
    chain = join_chain(token, NODE.seed, "node")
    record = sign_record(
        seed=NODE.seed,
        mesh_id=BUNDLE.hash,
        boot=1,
        incarnation=0,
        name="node",
        addresses=[Address("192.0.2.1", 7946)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
    )
    registry.offer_chain_untrusted(chain, wall=WALL)
    registry.offer_record_untrusted(record.signed.raw, source=NODE.id, wall=WALL)
    return trust, registry, Bundles(trust, registry)


def test_with_both_roots_listed_everybody_stays_and_with_the_old_one_dropped_what_hung_on_it_goes() -> None:
    trust, registry, bundles = machine()
    first, said = bundles.learn_untrusted([BOTH.raw], wall=WALL)
    assert first == BundlesChanged(1, ())
    assert isinstance(said, Notice)
    assert said.code == "bundle.changed"
    second, _ = bundles.learn_untrusted([ONLY.raw], wall=WALL)
    assert second == BundlesChanged(2, (NODE.id,))
    assert not registry.records
    assert trust.roots == (NEW.id,)


def test_several_at_once_are_one_piece_of_news_and_again_are_none() -> None:
    _, _, bundles = machine()
    assert bundles.learn_untrusted([BOTH.raw, ONLY.raw], wall=WALL)[0] == BundlesChanged(2, (NODE.id,))
    assert bundles.learn_untrusted([BOTH.raw, ONLY.raw], wall=WALL) == []


def test_what_does_not_follow_is_counted_and_changes_nothing() -> None:
    trust, registry, bundles = machine()
    stranger = successor(new_bundle([NODE.id], default_allow=True), [NODE.id], NODE.seed)
    for raw, code in ((ONLY.raw, "bundle.gap"), (stranger.raw, "bundle.link"), (b"junk", "bundle.malformed")):
        assert bundles.learn_untrusted([raw, BOTH.raw], wall=WALL) == [Refused(code)]
    assert (trust.n, len(registry)) == (0, 1)


def test_a_second_bundle_of_one_number_raises_the_alarm_once_and_ours_is_kept() -> None:
    trust, _, bundles = machine()
    bundles.learn_untrusted([BOTH.raw], wall=WALL)
    other = successor(BUNDLE, [OLD.id, NODE.id], OLD.seed)
    codes = [output.code for output in bundles.learn_untrusted([other.raw], wall=WALL)]  # type: ignore[union-attr]
    assert codes == ["bundle.conflict"] * 2
    assert bundles.learn_untrusted([other.raw], wall=WALL) == [Refused("bundle.conflict")]
    assert trust.latest == BOTH

"""A registry has room for so many members, and for so many of each token."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from gossipmesh.identity.bundle import successor
from gossipmesh.identity.chain import (
    Capability,
    Caveats,
    chain_hash,
    join_chain,
    verify_chain_untrusted,
)
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.renewal import renew
from gossipmesh.identity.token import Token, narrow, new_token
from gossipmesh.model import Serving
from gossipmesh.registry.digest import entry_of
from gossipmesh.registry.store import Accepted, ChainAccepted, Refused, Registry, RegistryLimits


def test_a_full_registry_keeps_its_members_and_refuses_newcomers(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()), limits=RegistryLimits(members=1))
    assert held.offer_chain_untrusted(lab.BOB.chain, wall=lab.NOW) == Refused("registry.full")
    assert lab.offer(held, lab.BOB.record()) == Refused("registry.full")
    assert not held.wants(entry_of(lab.BOB.record()))
    assert isinstance(lab.offer(held, lab.ALICE.record(2)), Accepted)
    held.forget(lab.ALICE.key.id)
    assert isinstance(held.offer_chain_untrusted(lab.BOB.chain, wall=lab.NOW), ChainAccepted)
    assert isinstance(lab.offer(held, lab.BOB.record()), Accepted)


def test_one_token_admits_no_more_than_its_quota_and_others_are_not_touched(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()), limits=RegistryLimits(per_token=1))
    assert held.offer_chain_untrusted(lab.BOB.chain, wall=lab.NOW) == Refused("registry.token-quota")
    other = lab.node("erin", "second")
    assert isinstance(held.offer_chain_untrusted(other.chain, wall=lab.NOW), ChainAccepted)
    assert isinstance(lab.offer(held, other.record()), Accepted)
    assert set(held.records) == {lab.ALICE.key.id, other.key.id}


def test_a_chain_that_came_before_the_quota_was_reached_admits_nobody_after(lab: ModuleType) -> None:
    held = lab.registry(limits=RegistryLimits(per_token=1))
    held.offer_chain_untrusted(lab.BOB.chain, wall=lab.NOW)
    held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW)
    lab.offer(held, lab.ALICE.record())
    assert lab.offer(held, lab.BOB.record()) == Refused("registry.token-quota")
    assert not held.wants(entry_of(lab.BOB.record()))


def test_a_refused_newcomer_is_not_asked_for_again_until_there_is_room(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()), limits=RegistryLimits(per_token=1))
    lab.offer(held, lab.BOB.record())
    held.offer_chain_untrusted(lab.BOB.chain, wall=lab.NOW)
    assert held.waiting == 0
    assert held.wants(entry_of(lab.BOB.record()))
    assert lab.offer(held, lab.BOB.record()) == Refused("registry.token-quota")
    assert not held.wants(entry_of(lab.BOB.record()))
    held.forget(lab.ALICE.key.id)
    assert held.wants(entry_of(lab.BOB.record()))


def test_narrowing_a_token_does_not_make_a_second_quota(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()), limits=RegistryLimits(per_token=1))
    narrower = narrow(lab.token(), Caveats(lab.NOW, lab.NOW + lab.DAY), lab.entropy("narrower"))
    chain = join_chain(narrower, b"f" * 32, "frank")
    assert held.offer_chain_untrusted(chain, wall=lab.NOW) == Refused("registry.token-quota")


def test_a_chain_that_names_a_strangers_key_does_not_use_up_that_strangers_place(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()), limits=RegistryLimits(per_token=1))
    erin = lab.node("erin", "second")
    theirs = join_chain(lab.token(), erin.key.seed, "erin")
    assert held.offer_chain_untrusted(theirs, wall=lab.NOW) == Refused("registry.token-quota")
    assert held.wants(entry_of(erin.record()))
    held.offer_chain_untrusted(erin.chain, wall=lab.NOW)
    assert isinstance(lab.offer(held, erin.record()), Accepted)


def test_a_member_may_change_its_token_whatever_the_quota_and_its_old_chain_goes(lab: ModuleType) -> None:
    moved = lab.Node(lab.BOB.key, "bob", join_chain(lab.token("second"), lab.BOB.key.seed, "bob"))
    erin = lab.node("erin", "second")
    held = lab.registry(
        (lab.BOB, lab.BOB.record()), (erin, erin.record()), limits=RegistryLimits(per_token=1)
    )
    assert isinstance(held.offer_chain_untrusted(moved.chain, wall=lab.NOW), ChainAccepted)
    assert isinstance(lab.offer(held, moved.record(2)), Accepted)
    assert held.chain(chain_hash(lab.BOB.chain)) is None
    assert isinstance(held.offer_chain_untrusted(lab.ALICE.chain, wall=lab.NOW), ChainAccepted)


def test_chains_without_a_record_are_bounded_and_never_push_out_one_in_use(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()), limits=RegistryLimits(spare_chains=2))
    spare = [lab.node(f"spare-{n}") for n in range(4)]
    for each in spare:
        held.offer_chain_untrusted(each.chain, wall=lab.NOW)
    assert [held.chain(chain_hash(each.chain)) is not None for each in spare] == [False, False, True, True]
    assert held.chain_of(lab.ALICE.key.id) is not None


# The quota that a token states itself.


def bound(lab: ModuleType, quota: int, label: str = "bound") -> Token:
    wide: Token = lab.token(label)
    return narrow(wide, Caveats(lab.NOW, lab.NOW + lab.DAY, quota=quota), lab.entropy(f"{label} {quota}"))


def joined(lab: ModuleType, token: Token, seed: bytes) -> Any:
    key = NodeKey.from_seed(seed * 32)
    name = f"node-{seed.hex()}"
    return lab.Node(key, name, join_chain(token, key.seed, name))


def holds(lab: ModuleType, held: Registry, node: Any, version: int = 1, **changes: object) -> object:
    held.offer_chain_untrusted(node.chain, wall=lab.NOW)
    return lab.offer(held, node.record(version, **changes))


def test_a_token_admits_as_many_living_nodes_as_it_says(lab: ModuleType) -> None:
    held, token = lab.registry(), bound(lab, 2)
    one, two, three = (joined(lab, token, seed) for seed in (b"1", b"2", b"3"))
    assert isinstance(holds(lab, held, one), Accepted)
    assert isinstance(holds(lab, held, two), Accepted)
    assert held.offer_chain_untrusted(three.chain, wall=lab.NOW) == Refused("registry.quota")
    assert holds(lab, held, three) == Refused("registry.quota")
    # Those held are kept, and renew their records as before; and the token that it was made of is not bound.
    assert isinstance(holds(lab, held, two, 2), Accepted)
    assert isinstance(holds(lab, held, joined(lab, lab.token("bound"), b"4")), Accepted)
    held.forget(one.key.id)
    assert isinstance(holds(lab, held, three), Accepted)


def test_a_narrower_token_counts_against_every_quota_before_it(lab: ModuleType) -> None:
    held, token = lab.registry(), bound(lab, 2)
    wider = narrow(token, Caveats(lab.NOW, lab.NOW + lab.DAY, quota=100), lab.entropy("wider"))
    assert isinstance(holds(lab, held, joined(lab, token, b"1")), Accepted)
    assert isinstance(holds(lab, held, joined(lab, wider, b"2")), Accepted)
    assert holds(lab, held, joined(lab, wider, b"3")) == Refused("registry.quota")


def test_two_tokens_do_not_use_up_each_other_s_quota_though_they_bear_one_id(lab: ModuleType) -> None:
    one, other = (
        narrow(
            lab.token("bound"),
            Caveats(lab.NOW, lab.NOW + lab.DAY, token_id=b"the same", quota=1),
            lab.entropy(label),
        )
        for label in ("one", "other")
    )
    held = lab.registry()
    assert isinstance(holds(lab, held, joined(lab, one, b"1")), Accepted)
    assert isinstance(holds(lab, held, joined(lab, other, b"2")), Accepted)
    assert holds(lab, held, joined(lab, other, b"3")) == Refused("registry.quota")


def test_who_leaves_makes_room_at_once_and_comes_back_as_a_newcomer(lab: ModuleType) -> None:
    held, token = lab.registry(), bound(lab, 1)
    one, two = joined(lab, token, b"1"), joined(lab, token, b"2")
    holds(lab, held, one)
    assert holds(lab, held, two) == Refused("registry.quota")
    assert isinstance(holds(lab, held, one, 2, serving=Serving.LEAVING), Accepted)
    assert held.wants(entry_of(two.record()))
    assert isinstance(holds(lab, held, two), Accepted)
    assert isinstance(holds(lab, held, one, 3, serving=Serving.LEAVING), Accepted)
    assert holds(lab, held, one, 4) == Refused("registry.quota")
    held.forget(two.key.id)
    assert isinstance(holds(lab, held, one, 5), Accepted)


def test_a_renewed_chain_counts_as_the_one_before(lab: ModuleType) -> None:
    held, token = lab.registry(), bound(lab, 1)
    trust = token.trust()
    issuer_caveats = Caveats(lab.NOW, lab.NOW + lab.DAY, caps=frozenset(Capability))
    issuing = new_token(token.bundles[0], lab.ROOT.seed, issuer_caveats, lab.entropy("issuing"))
    issuer = joined(lab, issuing, b"i")
    old = joined(lab, token, b"1")
    fresh = renew(
        verify_chain_untrusted(issuer.chain, trust, wall=lab.NOW),
        issuer.key.seed,
        verify_chain_untrusted(old.chain, trust, wall=lab.NOW),
        mesh_id=trust.mesh_id,
        wall=lab.NOW,
    )
    renewed = lab.Node(old.key, old.name, fresh)
    assert isinstance(holds(lab, held, renewed), Accepted)
    assert holds(lab, held, joined(lab, token, b"2")) == Refused("registry.quota")


def test_what_hangs_on_a_root_that_was_dropped_is_let_go_of(lab: ModuleType) -> None:
    held = lab.registry((lab.ALICE, lab.ALICE.record()))
    trust = held._trust
    spare = lab.node("erin", "second")
    held.offer_chain_untrusted(spare.chain, wall=lab.NOW)
    new_root = NodeKey.from_seed(b"R" * 32)
    both = successor(trust.latest, [lab.ROOT.id, new_root.id], lab.ROOT.seed)
    trust.offer_successor_untrusted(both.raw)
    assert held.expire(wall=lab.NOW) == ()
    trust.offer_successor_untrusted(successor(both, [new_root.id], new_root.seed, mesh_id=trust.mesh_id).raw)
    assert [record.id for record in held.expire(wall=lab.NOW)] == [lab.ALICE.key.id]
    assert held.chain(chain_hash(spare.chain)) is None

"""A registry has room for so many members, and for so many of each token."""

from __future__ import annotations

from types import ModuleType

from gossipmesh.identity.chain import Caveats, chain_hash, join_chain
from gossipmesh.identity.token import narrow
from gossipmesh.registry.digest import entry_of
from gossipmesh.registry.store import Accepted, ChainAccepted, Refused, RegistryLimits


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

"""What is signed for the whole mesh reaches all of it, heals after a cut, and costs a liar more than the mesh."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gossipmesh.errors import ConfigError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.chain import Capability
from gossipmesh.identity.revocation import MAX_SPARED, RevocationKind, sign_revocation
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.messages import MAX_RAW, CharterNews
from gossipmesh.mesh.carrying import LINGER_S, LOOK_S
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.model import MemberState, NodeId
from gossipmesh.policy.document import MAX_TEXT, POLICY_LABEL, Stage, new_document
from gossipmesh.sim.world import World

DAY_S = 86_400


def offer(world: World, at: str, kind: str, raw: bytes) -> str:
    node = world.nodes[at]
    word, outputs = node.running.offer_untrusted(kind, raw, now=world.now, wall=world.wall)
    world.perform(node, outputs)
    return word


def revocation(
    world: World, kind: RevocationKind, target: bytes, *, by: Authority | None = None, **said: Any
) -> bytes:
    return sign_revocation(
        kind,
        target,
        by or Authority(world.root_seed),
        world.trust.mesh_id,
        reason="stolen",
        revoked_at=int(world.wall),
        expires_at=int(world.wall) + 400 * DAY_S,
        **said,
    )


def policy(world: World, version: int, text: str = "", *, by: Authority | None = None) -> bytes:
    body = new_document(version, text, signed_at=int(world.wall)).body
    return sign_as_authority(POLICY_LABEL, body, by or Authority(world.root_seed), world.trust.mesh_id)


def version_at(world: World, name: str) -> int:
    held = world.nodes[name].running.charter.policy
    return 0 if held is None else held.document.version


def revoke_everywhere(world: World, victim: str, at: str) -> float:
    target = world.nodes[victim].key.id
    assert offer(world, at, "revocation", revocation(world, RevocationKind.NODE, target)) == "taken"
    return world.run_until(
        lambda: all(target not in n.running.members for n in world.up if n.name != victim), within=10
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_document_and_a_revocation_reach_all_of_64_nodes_within_two_seconds(seed: int) -> None:
    world = World(seed)
    names = world.populate(64)
    world.run(5)
    assert offer(world, "n7", "policy", policy(world, 3, "text")) == "taken"
    took = world.run_until(lambda: all(version_at(world, name) == 3 for name in names), within=10)
    assert took < 2, seed
    took = revoke_everywhere(world, "n40", "n9")
    assert took < 2, seed
    digests = {node.running.charter.digest for node in world.up if node.name != "n40"}
    assert len(digests) == 1
    # All is told, and nothing goes on being asked.
    world.run(5)
    before = sum(node.exchanges for node in world.up)
    world.run(60)
    assert sum(node.exchanges for node in world.up) - before < 64 * 60 / 4


def test_a_node_that_is_handed_its_own_revocation_tells_the_others_before_it_ends() -> None:
    world = World(7)
    world.populate(8)
    world.run(5)
    target = world.nodes["n5"].key.id
    assert offer(world, "n5", "revocation", revocation(world, RevocationKind.NODE, target)) == "taken"
    world.crash("n5")  # As its daemon ends at once.
    took_s = world.run_until(
        lambda: all(len(n.running.charter.revocations) == 1 for n in world.up), within=10
    )
    assert took_s < 2


def test_a_revocation_that_fits_no_datagram_is_asked_of_the_node_that_it_ends_before_it_ends() -> None:
    world = World(8)
    names = world.populate(8)
    world.run(5)
    spared = {world.nodes[name].key.id for name in names if name != "n5"}
    spared |= {NodeId(bytes([number]) * 32) for number in range(MAX_SPARED - len(spared))}
    token_id = world.token.token_ids[-1]
    entry = revocation(world, RevocationKind.TOKEN, token_id, spared=sorted(spared))
    assert len(entry) > MAX_RAW
    assert offer(world, "n5", "revocation", entry) == "taken"
    victim = world.nodes["n5"]
    assert victim.revoked == ""
    assert victim.told("own.revoked") == 1
    world.run_until(lambda: bool(victim.revoked), within=LINGER_S + 0.1)
    world.crash("n5")
    assert all(len(each.running.charter.revocations) == 1 for each in world.up)
    assert all(victim.key.id not in each.running.members for each in world.up)


def test_who_is_revoked_is_told_and_cannot_come_back_not_even_after_a_restart() -> None:
    world = World(4)
    names = world.populate(8)
    world.run(5)
    revoke_everywhere(world, "n5", "n1")
    world.run(2)
    assert "revoked" in world.nodes["n5"].revoked
    why = [change.why for node in world.up for _, change in node.changes if change.new is MemberState.DEAD]
    assert len(why) >= 7
    assert all("revoked: node" in text for text in why if "n5" not in text or "revoked" in text)
    target = world.nodes["n5"].key.id
    others = [name for name in names if name != "n5"]

    def gone() -> bool:
        return all(target not in world.nodes[name].running.members for name in others)

    world.run(60)
    assert gone()
    world.bounce("n5", down_s=1)
    world.run(60)
    assert gone()
    # A node that is new meets the revoked one first, learns the truth from the others, and drops it.
    world.add("late", seeds=["n0"])
    world.run_until(lambda: world.nodes["late"].running.joined, within=20)
    assert target not in world.nodes["late"].running.members
    # A whole mesh that starts again remembers, each from its own disk.
    for name in others:
        world.bounce(name, down_s=1)
    world.run(60)
    assert gone()
    assert all(world.nodes[name].running.joined for name in others)


def test_who_was_revoked_by_a_key_that_a_root_voids_comes_back_by_starting_again() -> None:
    world = World(6)
    world.populate(4)
    world.run(5)
    stolen = world.new_token(ttl_s=DAY_S, caps=(Capability.REVOKE,))
    target = world.nodes["n3"].key.id
    entry = revocation(world, RevocationKind.NODE, target, by=Authority.of_token(stolen))
    assert offer(world, "n1", "revocation", entry) == "taken"
    world.run_until(lambda: bool(world.nodes["n3"].revoked), within=5)
    world.crash("n3")
    token_id = stolen.token_ids[-1]
    assert (
        offer(world, "n1", "revocation", revocation(world, RevocationKind.TOKEN, token_id, voids=True))
        == "taken"
    )
    # Its own disk knows of the one and not of the other.
    node = world.nodes["n3"]
    node.revoked = ""
    world.start("n3")
    assert node.told("own.revoked") == 1
    world.run_until(world.complete, within=10)
    world.run(10)
    assert (node.revoked, node.running.joined) == ("", True)
    assert node.told("own.revocation-void") == 1
    assert node.running.registry.lookup(target) == node.running.own
    # Where it still holds it ends a little later, and not before it had a chance to hear otherwise.
    assert offer(world, "n1", "revocation", revocation(world, RevocationKind.NODE, target)) == "taken"
    world.run_until(lambda: bool(node.revoked), within=5)
    world.crash("n3")
    node.revoked = ""
    world.start("n3")
    world.run(LOOK_S - 0.5)
    assert node.revoked == ""
    world.run(1.0)
    assert "this node is revoked" in node.revoked


def test_a_tokens_revocation_takes_all_that_joined_with_it_but_those_spared() -> None:
    world = World(5)
    world.populate(4)
    stolen = world.new_token(ttl_s=DAY_S)
    for name in ("s0", "s1", "s2"):
        world.add(name, seeds=["n0"], token=stolen)
    world.run_until(world.complete, within=20)
    spared = world.nodes["s1"].key.id
    raw = revocation(world, RevocationKind.TOKEN, stolen.token_ids[0], spared=[spared])
    offer(world, "n2", "revocation", raw)
    world.run_until(
        lambda: world.believes("n0", "s0") is None and world.believes("n3", "s2") is None, within=5
    )
    world.run(20)
    assert world.believes("n0", "s1") is MemberState.ALIVE
    world.add("s3", seeds=["n0"], token=stolen)
    world.run(20)
    assert all(world.believes(name, "s3") is None for name in ("n0", "n1", "n2", "n3", "s1"))


def test_both_halves_of_a_cut_hold_everything_after_it_and_the_higher_version_is_in_force() -> None:
    world = World(6)
    names = world.populate(12)
    world.run(5)
    here, there = names[:6], names[6:]
    world.partition(here, there)
    world.run(5)
    offer(world, "n0", "policy", policy(world, 2, "here"))
    offer(world, "n7", "policy", policy(world, 3, "there"))
    target = world.nodes["n11"].key.id
    offer(world, "n1", "revocation", revocation(world, RevocationKind.NODE, target))
    other = world.nodes["n5"].key.id
    offer(world, "n8", "revocation", revocation(world, RevocationKind.NODE, other))
    world.run(60)
    assert {version_at(world, name) for name in here} == {2}
    world.repair()

    def one() -> bool:
        rest = [node.running for node in world.up if node.name not in {"n5", "n11"}]
        return len({mesh.charter.digest for mesh in rest}) == 1 and all(
            target not in mesh.members and other not in mesh.members for mesh in rest
        )

    world.run_until(one, within=45)
    assert version_at(world, "n0") == 3


def test_two_documents_of_one_version_end_as_one_with_an_alarm() -> None:
    world = World(7)
    names = world.populate(8)
    world.run(2)
    raws = [policy(world, 4, text) for text in ("one", "other")]
    offer(world, "n0", "policy", raws[0])
    offer(world, "n6", "policy", raws[1])

    def digests() -> set[bytes]:
        return {world.nodes[name].running.charter.digest for name in names}

    world.run_until(lambda: len(digests()) == 1, within=10)
    hashes = {world.nodes[name].running.charter.policy.document.hash for name in names}  # type: ignore[union-attr]
    assert len(hashes) == 1
    assert sum(node.told("policy.conflict") for node in world.up) >= 1


def test_a_newcomer_is_not_ready_before_it_holds_the_policy() -> None:
    world = World(8)
    world.populate(6)
    world.run(2)
    offer(world, "n3", "policy", policy(world, 5, "text"))
    world.run(5)
    late = world.add("late", seeds=["n0"])
    world.run_until(lambda: late.running.joined, within=20)
    assert version_at(world, "late") == 5


@pytest.mark.parametrize("size", [10, MAX_TEXT])
def test_a_newcomer_in_a_rollout_gets_the_policy_that_is_returned_to_within_a_second_of_joining(
    size: int,
) -> None:
    world = World(15)
    names = world.populate(6)
    world.run(2)
    base = new_document(1, "b" * size, signed_at=int(world.wall))
    staged = new_document(
        2, "s" * size, signed_at=int(world.wall), stages=[Stage(500, 3_600)], return_to=base.hash
    )
    for document in (base, staged):
        raw = sign_as_authority(POLICY_LABEL, document.body, Authority(world.root_seed), world.trust.mesh_id)
        assert offer(world, "n3", "policy", raw) == "taken"
        world.run_until(lambda: len({n.running.charter.digest for n in world.up}) == 1, within=5)
    late = world.add("late", seeds=["n0"])
    world.run_until(lambda: late.running.joined, within=20)
    took = world.run_until(lambda: late.running.charter.document(base.hash) == base, within=5)
    assert took <= 1
    # One that lost it asks until somebody has it, and is not asked for in vain by those who have.
    late.running.charter._returning.document = None
    late.kept = late.running.charter.kept()
    world.bounce("late", down_s=1)
    world.run(2)
    world.run_until(lambda: late.running.charter.document(base.hash) == base, within=10)
    world.run(5)
    before = sum(node.exchanges for node in world.up)
    world.run(60)
    assert sum(node.exchanges for node in world.up) - before < (len(names) + 1) * 60 / 4


def test_a_mesh_without_a_policy_makes_nobody_wait() -> None:
    world = World(9)
    world.populate(4)
    late = world.add("late", seeds=["n0"])
    world.run_until(lambda: late.running.joined, within=10)


def test_a_policy_falls_with_its_signer_everywhere_whoever_holds_it() -> None:
    world = World(10)
    names = world.populate(8)
    world.run(2)
    stolen = world.new_token(ttl_s=DAY_S, caps=[Capability.POLICY])
    offer(world, "n0", "policy", policy(world, 1, "good"))
    world.run(3)
    offer(world, "n0", "policy", policy(world, 9, "bad", by=Authority.of_token(stolen)))
    world.run_until(lambda: all(version_at(world, name) == 9 for name in names), within=5)
    offer(world, "n4", "revocation", revocation(world, RevocationKind.TOKEN, stolen.token_ids[0]))
    world.run_until(lambda: all(version_at(world, name) == 1 for name in names), within=5)
    again = offer(world, "n5", "policy", policy(world, 10, "bad", by=Authority.of_token(stolen)))
    assert again.startswith("refused: the signer of this policy is revoked")
    late = world.add("late", seeds=["n0"])
    world.run_until(lambda: late.running.joined, within=20)
    assert version_at(world, "late") == 1


class Flooder(Mesh):
    """Tells everybody another digest all the time, and answers each question with a policy that nobody takes."""

    asked = 0
    bad = b""

    def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
        outputs = super().handle_timer(now=now, wall=wall, late_s=late_s)
        dice = random.Random(now)
        tells = [believed.SendMessages(node, (CharterNews(dice.randbytes(8)),)) for node in self.members]
        return [*outputs, *self._carry(tells)]

    def answer_untrusted(
        self, peer: Any, request: bytes, *, now: float, wall: float
    ) -> tuple[bytes, list[Output]]:
        from gossipmesh import wire

        if request[1] == 31:
            type(self).asked += 1
            zeros = bytes(32)
            return wire.pack([32, 0, 0, self.trust.latest.hash, 7, zeros, [], [self.bad], []]), []
        return super().answer_untrusted(peer, request, now=now, wall=wall)


def test_a_member_that_floods_digests_and_refused_documents_is_asked_once_a_minute_and_changes_nothing() -> (
    None
):
    world = World(11)

    def check(text: str) -> None:
        if text == "bad":
            raise ConfigError("config.value", "line 1: bad")

    world.check_policy = check
    names = world.populate(15)
    flooder = world.add("liar", seeds=["n0"], machine=Flooder)
    Flooder.bad, Flooder.asked = policy(world, 7, "bad"), 0
    world.run_until(world.complete, within=20)
    offer(world, "n2", "policy", policy(world, 1, "good"))
    world.run(60)
    assert all(version_at(world, name) == 1 for name in names)
    begin = Flooder.asked
    world.run(300)
    # 15 honest members, once a minute each for five minutes.
    assert 0 < Flooder.asked - begin <= 15 * 6
    assert not flooder.revoked
    offer(world, "n3", "policy", policy(world, 2, "better"))
    took = world.run_until(lambda: all(version_at(world, name) == 2 for name in names), within=10)
    assert took < 2
    assert all(world.believes("n0", name) is MemberState.ALIVE for name in names[1:])


@pytest.mark.parametrize("seed", [12, 13])
def test_hundreds_of_revocations_are_paged_to_a_newcomer(seed: int) -> None:
    world = World(seed)
    world.populate(3)
    world.run(1)
    dice = random.Random(seed)
    for _ in range(600):
        raw = revocation(world, RevocationKind.NODE, NodeId(dice.randbytes(32)))
        assert offer(world, "n0", "revocation", raw) == "taken"
    late = world.add("late", seeds=["n0"])
    world.run_until(lambda: late.running.joined and len(late.running.charter.revocations) == 600, within=20)
    world.run(5)
    assert len({node.running.charter.digest for node in world.up}) == 1


def test_a_mesh_is_as_quiet_with_a_charter_as_without() -> None:
    def packets(with_policy: bool) -> int:
        world = World(14)
        world.populate(16)
        world.run(2)
        if with_policy:
            offer(world, "n0", "policy", policy(world, 1, "text"))
        world.run(10)
        before = sum(node.sent for node in world.up)
        world.run(60)
        return sum(node.sent for node in world.up) - before

    assert packets(with_policy=True) <= packets(with_policy=False) * 1.1

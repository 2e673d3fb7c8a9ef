"""The facts of a check, compared with what a control plane believes and with what was done to it."""

from __future__ import annotations

from typing import cast

import pytest
import trio.testing
from attrs import define, evolve, field

from gossipmesh.config.load import load
from gossipmesh.daemon.admin.report import Listening
from gossipmesh.daemon.admin.services_view import OwnService
from gossipmesh.daemon.checkup.facts import Called, Ejected, OwnFound, Quota, Seed
from gossipmesh.daemon.checkup.gathering import Examiner
from gossipmesh.daemon.checkup.noted import Noted
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.policy.policies import Policies
from gossipmesh.discovery.seeds import Resolved
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.chain import Capability, Caveats
from gossipmesh.identity.token import narrow
from gossipmesh.mesh.exchanges import NO_ROOM, Reached
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, MemberState, NodeId, Service
from gossipmesh.policy.document import POLICY_LABEL, new_document
from gossipmesh.policy.rules import Policy
from gossipmesh.sim.world import World

HELLO = Service("hello", 8_080)
NOBODY = Address("192.0.2.99", 7_946)
OWN: OwnService = {"name": "hello", "port": 8_080, "state": "unhealthy", "reason": "refused", "check": "tcp"}


@define
class Around:
    """What an examiner asks of the daemon around the control plane."""

    resolved: Resolved = field(factory=lambda: Resolved((), ()))
    asked_for: frozenset[str] = frozenset()
    left_out: dict[tuple[str, NodeId], str] = field(factory=dict)
    policy: Policy = field(factory=lambda: Policy(version=7, mode="audit", default_allow=False))
    noted: Noted = field(factory=Noted)
    report: None = None

    def called(self, since: float) -> frozenset[str]:
        return self.asked_for

    def why_ejected(self, service: str, node: NodeId) -> str:
        return self.left_out.get((service, node), "")

    def examiner(self, mesh: Mesh, **flags: object) -> Examiner:
        return Examiner(
            load(None, {}, {"node.name": mesh.own.name, **flags}, root=False).config,
            mesh,
            cast("DataPlane", self),
            cast("Policies", self),
            self.noted,
            listening=lambda: Listening(Address("0.0.0.0", 7_946), proxy=Address("127.0.0.1", 4_140)),
            resolved=lambda: self.resolved,
            own_services=lambda: [OWN],
            keeps_root=True,
        )


@pytest.fixture
def world(mock_clock: trio.testing.MockClock) -> World:
    """Alice and Bob, who joined by her and offers hello, and Carol, who has died."""
    world = World(7)
    world.add("alice")
    world.add("bob", services=(HELLO,), seeds=["alice"])
    world.add("carol", seeds=["alice"])
    world.run_until(world.complete, within=10)
    world.crash("carol")
    world.run_until(lambda: world.everyone_believes("carol", MemberState.DEAD), within=60)
    mock_clock.jump(world.now)
    return world


def mesh_of(world: World, name: str) -> Mesh:
    return world.nodes[name].running


async def test_what_the_control_plane_knows_is_what_is_looked_at(world: World) -> None:
    alice, bob = mesh_of(world, "alice"), mesh_of(world, "bob")
    around = Around(asked_for=frozenset({"hello", "helo"}))
    around.noted.met(bob.id, 3)
    around.left_out["hello", bob.id] = "5 failures"
    facts = around.examiner(alice).facts("waiting")
    assert (facts.name, facts.shown_as, facts.id) == ("alice", "alice", alice.id.hex())
    assert (facts.not_ready, facts.address) == ("waiting", str(alice.own.addresses[0]))
    assert facts.listening == (("proxy", "127.0.0.1:4140"),)
    members = {each.name: each for each in facts.members}
    assert {name: each.state for name, each in members.items()} == {
        "bob": MemberState.ALIVE,
        "carol": MemberState.DEAD,
    }
    assert members["bob"].root == facts.root == world.trust.newest_root.hex()
    assert (facts.chain_expires_at, facts.roots, facts.bundle) == (
        alice.chain.grants.expires_at,
        (world.trust.newest_root.hex(),),
        0,
    )
    assert facts.clocks == (("bob", 3),)
    assert facts.called == (Called("hello", 1, 1), Called("helo", 0, 0))
    assert facts.ejected == (Ejected("hello", "bob", "5 failures"),)
    assert facts.services == (OwnFound("hello", "unhealthy", "refused"),)
    assert (facts.policy.enforced, facts.policy.audit, facts.policy.default_allow) == (7, True, False)
    assert facts.record_bytes == len(alice.own.signed.raw)
    assert facts.files_open > 0
    assert facts.keeps_root


async def test_a_seed_is_good_if_it_answers_or_a_living_member_has_its_address(world: World) -> None:
    bob = mesh_of(world, "bob")
    alices, carols = (world.nodes[name].address for name in ("alice", "carol"))
    seeds = (alices, carols, NOBODY, bob.own.addresses[0])
    bob.set_seeds(seeds, now=world.now, wall=world.wall)
    around = Around(Resolved(seeds, ("the seed x does not resolve",)))
    facts = around.examiner(bob).facts("")
    assert facts.unresolved == ("the seed x does not resolve",)
    assert facts.seeds == (Seed(str(alices), True), Seed(str(carols), False), Seed(str(NOBODY), False))
    world.run_until(lambda: {carols, NOBODY} <= bob.circumstances.asked_seeds.keys(), within=600)
    whys = {each.address: each.why for each in around.examiner(bob).facts("").seeds}
    assert whys[str(alices)] == ""
    assert whys[str(carols)]
    assert whys[str(NOBODY)]


async def test_who_looked_whether_this_node_is_reached_is_named(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    facts = Around().examiner(mesh_of(world, "bob")).facts("")
    assert (facts.reached, facts.witness) == (Reached.YES, "alice")
    assert 0 < facts.reached_ago_s < world.now


async def test_who_differs_says_since_when(world: World, mock_clock: trio.testing.MockClock) -> None:
    alice = mesh_of(world, "alice")
    world.cut(["alice"], ["bob"], one_way=True)
    world.add("dave", seeds=["alice"])
    world.cut(["dave"], ["bob"])
    world.run_until(lambda: alice.agreement < 1, within=10)
    mock_clock.jump(world.now - trio.current_time() + 40)
    members = {each.name: each for each in Around().examiner(alice).facts("").members}
    assert members["bob"].differs_s >= 40
    assert members["dave"].differs_s == 0


async def test_ports_of_their_own_count_as_called_and_what_is_unhealthy_says_why(world: World) -> None:
    world.drain("bob")
    world.run(5)
    facts = Around().examiner(
        mesh_of(world, "alice"), upstream=[{"service": "hello", "listen": "127.0.0.1:0"}]
    )
    (called,) = facts.facts("").called
    assert called == Called("hello", 1, 0, ("bob: its node is draining",))


async def test_quotas_count_who_holds_a_place(world: World) -> None:
    alice = mesh_of(world, "alice")
    assert Around().examiner(alice).facts("").quotas == ()
    caveats = Caveats(int(world.wall), int(world.wall) + 10**6, quota=2)
    world.add("eve", seeds=["alice"], token=narrow(world.token, caveats, lambda size: b"q" * size))
    world.run_until(world.complete, within=10)
    (quota,) = Around().examiner(alice).facts("").quotas
    assert quota == Quota(2, ("eve",), own=False)
    (own,) = Around().examiner(mesh_of(world, "eve")).facts("").quotas
    assert own == evolve(quota, own=True)


async def test_who_is_refused_for_want_of_room_holds_no_place_and_knows_that_its_seed_said_no(
    world: World,
) -> None:
    caveats = Caveats(int(world.wall), int(world.wall) + 10**6, quota=1)
    token = narrow(world.token, caveats, lambda size: b"q" * size)
    world.add("db-1", seeds=["alice"], token=token)
    world.run_until(world.complete, within=10)
    world.add("db-2", seeds=["alice"], token=token)
    world.run(10)
    alices = world.nodes["alice"].address
    facts = Around(Resolved((alices,), ())).examiner(mesh_of(world, "db-2")).facts("not in step")
    assert facts.quotas == ()
    (seed,) = facts.seeds
    assert (seed.known, seed.refusal) == (True, NO_ROOM)
    assert "the quota of this node's token is used up (1 nodes)" in seed.why
    (quota,) = Around().examiner(mesh_of(world, "alice")).facts("").quotas
    assert quota.members == ("db-1",)


async def test_an_issuer_is_one_for_this_node_with_what_its_own_chain_lacks_or_for_others(
    world: World,
) -> None:
    alice = mesh_of(world, "alice")
    issuing = world.new_token(ttl_s=10**6, caps=(Capability.JOIN, Capability.ISSUE))
    narrow_to = Caveats(int(world.wall), int(world.wall) + 10**6, services=("web",))
    world.add("ops", seeds=["alice"], token=narrow(issuing, narrow_to, lambda size: b"o" * size))
    named = Caveats(int(world.wall), int(world.wall) + 10**6, names=("issuer-*",))
    world.add("issuer-1", seeds=["alice"], token=narrow(issuing, named, lambda size: b"n" * size))
    world.run_until(world.complete, within=10)
    members = {each.name: each for each in Around().examiner(alice).facts("").members}
    assert not members["bob"].issuer
    assert (members["ops"].issuer, members["ops"].loses) == (True, ("services but web",))
    assert (members["issuer-1"].issuer, members["issuer-1"].issues_others) == (False, True)


async def test_the_newest_document_and_what_was_refused_are_among_the_facts(world: World) -> None:
    alice = mesh_of(world, "alice")
    document = new_document(3, 'default = "deny"', signed_at=int(world.wall), before=None, stages=())
    raw = sign_as_authority(POLICY_LABEL, document.body, Authority(world.root_seed), world.trust.mesh_id)
    assert alice.offer_untrusted("policy", raw, now=world.now, wall=world.wall)[0] == "taken"
    assert Around().examiner(alice).facts("").policy.newest == (3, document.hash[:8].hex())


async def test_a_clone_shows_both_records() -> None:
    world = World(7)
    world.add("alice")
    first = world.add("bob", seeds=["alice"])
    world.run_until(world.complete, within=10)
    twin = world.add("twin", key=first.key, seeds=["alice"], start=False)
    twin.chain_raw = first.chain_raw
    world.start("twin")
    alice = mesh_of(world, "alice")
    world.run_until(lambda: bool(alice.registry.clones), within=60)
    clone = Around().examiner(alice).facts("").clones[0]
    assert clone.id == first.key.id.hex()
    assert clone.ours != clone.theirs
    assert not clone.own


async def test_the_answer_is_the_checks_of_the_facts(world: World) -> None:
    checked = Around().examiner(mesh_of(world, "alice")).check("not everything listens yet")
    states = {each["name"]: each["state"] for each in checked["checks"]}
    assert (checked["ok"], states["join"], states["members"]) == (False, "fail", "warn")

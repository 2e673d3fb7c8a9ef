"""The snapshot of endpoints: who offers what, and who is left out for which reason."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.membership.members import Member
from gossipmesh.mesh.routes import EXPIRED, Routes, why_not, why_not_member
from gossipmesh.model import Address, MemberState, NodeId, Service, Serving
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.sim.world import World

WEB = Service("web", 8080)


def record(name: str, *services: Service, serving: Serving = Serving.SERVING, zone: str = "") -> MemberRecord:
    return sign_record(
        seed=name.encode().ljust(32, b"."),
        mesh_id=bytes(32),
        boot=1,
        incarnation=0,
        name=name,
        addresses=[Address("192.0.2.1", 7946), Address("192.0.2.2", 7946)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=bytes(16),
        issued_at=0,
        services=services,
        serving=serving,
        zone=zone,
    )


def member(of: MemberRecord, state: MemberState = MemberState.ALIVE, doubt: str = "") -> Member:
    return Member(of.id, of, state, 0.0, doubt=doubt)


OWN = record("own", WEB)


class Believed:
    """What routes read of membership and registry: our record, the members, and whose record is still valid."""

    def __init__(self, *members: Member, expired: tuple[NodeId, ...] = ()) -> None:
        self.own = OWN
        self.members = {each.id: each for each in members}
        self.expired = expired

    def lookup(self, node: NodeId) -> MemberRecord | None:
        return None if node in self.expired else self.members[node].record


def snapshot(
    *members: Member,
    refused: dict[NodeId, frozenset[str]] | None = None,
    expired: tuple[NodeId, ...] = (),
) -> Snapshot:
    table, believed = refused or {}, Believed(*members, expired=expired)
    routes = Routes(OWN.id, believed, believed, lambda node: table.get(node, frozenset()))
    return routes.rebuild(now=0.0)


def reasons(of: Snapshot, service: str = "web") -> dict[str, str]:
    return {each.node: each.reason for each in of.endpoints(service)}


def test_our_own_services_are_endpoints_like_any_other() -> None:
    found = snapshot(member(record("b", WEB, Service("db", 5432))))
    assert reasons(found) == {"own": "", "b": ""}
    assert reasons(found, "db") == {"b": ""}
    assert list(found.endpoints("other")) == []
    assert [each.id for each in found.endpoints("web")] == sorted(each.id for each in found.endpoints("web"))
    assert {each.address for each in found.endpoints("web")} == {Address("192.0.2.1", 7946)}


def test_the_dead_and_the_departed_offer_nothing_that_a_living_member_offers() -> None:
    gone = [member(record(s.value, WEB), s) for s in MemberState if s in (MemberState.DEAD, MemberState.LEFT)]
    assert reasons(snapshot(*gone)) == {"own": ""}


def test_a_service_that_only_the_gone_offered_is_down_and_not_unknown() -> None:
    db = Service("db", 5432)
    gone = [member(record(s.value, db), s) for s in MemberState if s in (MemberState.DEAD, MemberState.LEFT)]
    found = snapshot(*gone)
    assert found.knows("db")
    assert reasons(found, "db") == {"dead": "its node is dead", "left": "its node has left"}
    assert not any(endpoint.eligible for endpoint in found.endpoints("db"))


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (member(record("b", WEB), MemberState.SUSPECT), ""),
        (member(record("b", WEB), MemberState.SUSPECT, "no answer"), "no answer"),
        (member(record("b", WEB), doubt="connect refused"), "connect refused"),
        (member(record("b", WEB, serving=Serving.DRAINING)), "its node is draining"),
        (member(record("b", evolve(WEB, healthy=False))), "its own health check fails"),
    ],
)
def test_who_is_out_of_rotation_is_shown_with_the_reason(of: Member, reason: str) -> None:
    found = {each.node: each for each in snapshot(of).endpoints("web")}
    assert found["b"].reason == reason
    assert found["b"].eligible == (reason == "")


def test_the_reasons_are_for_living_members_and_their_records() -> None:
    assert why_not(OWN, WEB) == ""
    assert why_not_member(member(OWN, MemberState.DEAD)) == "dead"


def test_no_route_leads_to_a_service_outside_its_nodes_token() -> None:
    b = record("b", WEB, Service("db", 5432))
    found = snapshot(member(b), refused={b.id: frozenset({"web"})})
    assert reasons(found) == {"own": ""}
    assert reasons(found, "db") == {"b": ""}


def test_an_expired_record_is_known_and_gets_no_requests() -> None:
    b = record("b", WEB)
    found = snapshot(member(b), expired=(b.id,))
    assert reasons(found) == {"own": "", "b": EXPIRED}


def test_endpoints_carry_the_names_that_nodes_are_shown_as() -> None:
    a, b = record("b", WEB), evolve(record("c", WEB), name="b")
    found = snapshot(member(a), member(b))
    shown = {each.node for each in found.endpoints("web")}
    assert shown in ({"own", "b", f"b~{b.id.hex()[:4]}"}, {"own", "b", f"b~{a.id.hex()[:4]}"})


def everything(routes: Routes) -> object:
    return dict(routes.names), dict(routes.snapshot.services)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_mended_step_by_step_is_what_would_be_made_anew(seed: int) -> None:
    rng = random.Random(seed)
    services = (WEB, Service("db", 5432), Service("api", 80))
    believed = Believed()
    mended = Routes(OWN.id, believed, believed, lambda _: frozenset())
    # The labels of namesakes depend on who held the name before, so each step is compared with all made anew at once.
    for step in range(60):
        key = rng.choice("abcdef")
        node = record(key).id
        if rng.random() < 0.2:
            believed.members.pop(node, None)
        else:
            offered = rng.sample(services, rng.randint(0, 3))
            name = rng.choice(["x", "y", key])
            changed = evolve(record(key, *offered), name=name)
            believed.members[node] = member(changed, rng.choice([*MemberState]), rng.choice(["", "doubt"]))
        mended.touch(node)
        mended.rebuild(now=float(step))
        now = everything(mended)
        mended.stale = True
        mended.rebuild(now=float(step))
        assert everything(mended) == now
        plain = {name: each for each, name in mended.names.items() if "~" not in name}
        assert set(plain) == {"own", *(m.record.name for m in believed.members.values())}


# Inside a mesh: what makes the picture new.


def endpoint_reasons(world: World, observer: str) -> dict[str, str]:
    return {each.node: each.reason for each in world.nodes[observer].running.snapshot.endpoints("web")}


def test_what_a_member_newly_says_of_itself_changes_the_snapshot() -> None:
    world = World(1)
    world.add("a", services=(WEB,))
    world.add("b", services=(WEB,), seeds=["a"])
    world.run(2)
    assert endpoint_reasons(world, "a") == {"a": "", "b": ""}
    world.drain("b")
    world.run(2)
    assert endpoint_reasons(world, "a") == {"a": "", "b": "its node is draining"}
    assert endpoint_reasons(world, "b") == {"a": "", "b": "its node is draining"}


def test_a_name_is_known_before_the_next_snapshot_and_for_strangers_too() -> None:
    world = World(2)
    mesh = world.add("a").running
    stranger = NodeKey.from_seed(b"s" * 32).id
    assert mesh.names == {mesh.id: "a"}
    assert stranger not in mesh.names


def test_an_endpoint_stands_in_the_zone_that_its_record_says() -> None:
    found = snapshot(member(record("b", WEB, zone="eu-1a")))
    assert {each.node: each.zone for each in found.endpoints("web")} == {"own": "", "b": "eu-1a"}


def test_the_living_are_counted_by_zone_where_our_own_node_has_one() -> None:
    believed = Believed(
        member(record("b", WEB, zone="eu-1a")), member(record("c", zone="eu-1b")), member(record("d"))
    )
    routes = Routes(OWN.id, believed, believed, lambda _: frozenset())
    assert (routes.rebuild(now=0.0).zone, routes.snapshot.zones) == ("", {})

    believed.own = evolve(OWN, zone="eu-1a")
    routes.touch(OWN.id)
    found = routes.rebuild(now=0.0)
    assert (found.zone, found.zones) == ("eu-1a", {"eu-1a": 2, "eu-1b": 1, "": 1})
    assert found.eligible("web").zone == "eu-1a"
    assert found.eligible("web").callers == found.zones

    gone, moved = believed.members[record("c", zone="eu-1b").id], record("b", WEB, zone="eu-1b")
    believed.members[gone.id] = evolve(gone, state=MemberState.DEAD)
    believed.members[moved.id] = member(moved)
    for node in (gone.id, moved.id):
        routes.touch(node)
    assert routes.rebuild(now=1.0).zones == {"eu-1a": 1, "eu-1b": 1, "": 1}
    assert found.zones == {"eu-1a": 2, "eu-1b": 1, "": 1}
    assert routes.rebuild(now=1.0) is routes.snapshot


def test_a_member_that_is_forgotten_stands_nowhere() -> None:
    believed = Believed(member(record("b", zone="eu-1a")))
    believed.own = evolve(OWN, zone="eu-1a")
    routes = Routes(OWN.id, believed, believed, lambda _: frozenset())
    assert routes.rebuild(now=0.0).zones == {"eu-1a": 2}
    (node,) = believed.members
    del believed.members[node]
    routes.touch(node)
    assert routes.rebuild(now=1.0).zones == {"eu-1a": 1}

"""What a node tells of itself: every answer compared with what its control plane believes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

import gossipmesh
from gossipmesh.daemon.admin.changes import FOLLOWED, MEMBERS, READY, SERVICES
from gossipmesh.daemon.admin.report import Listening, NodeReport
from gossipmesh.daemon.admin.requests_view import RequestsAsked
from gossipmesh.daemon.admin.view import Readiness
from gossipmesh.daemon.control import wall_clock
from gossipmesh.errors import MeshError
from gossipmesh.membership.trace import decode_trace_untrusted
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, MemberState, Service
from gossipmesh.sim.world import World
from reportlab import EVERYWHERE, OWN, Around

HELLO = Service("hello", 8_080, weight=3, tags=("v2",))


@pytest.fixture
def world() -> World:
    """Alice, Bob and Carol, each of whom offers hello; Carol has died."""
    world = World(7)
    world.add("alice", services=(HELLO,))
    world.add("bob", services=(HELLO,), seeds=["alice"])
    world.add("carol", services=(HELLO,), seeds=["alice"])
    world.run_until(world.complete, within=10)
    world.crash("carol")
    world.run_until(lambda: world.everyone_believes("carol", MemberState.DEAD), within=60)
    return world


def mesh_of(world: World, name: str = "alice") -> Mesh:
    return world.nodes[name].running


def metric(report: NodeReport, name: str) -> dict[str, float]:
    """Give a metric's samples by their labels, as they are written."""
    lines = report.metrics_text().decode().splitlines()
    samples = [line.removeprefix(f"gossipmesh_{name}").rsplit(" ", 1) for line in lines if f"_{name}" in line]
    return {labels: float(value) for labels, value in samples if not labels.startswith("#")}


async def test_the_status_is_the_node_in_short(world: World, autojump_clock: trio.testing.MockClock) -> None:
    alice = mesh_of(world)
    report = Around().report(alice)
    await trio.sleep(1.25)
    assert report.status() == {
        "name": "alice",
        "id": alice.id.hex(),
        "mesh": world.trust.mesh_id.hex(),
        "version": gossipmesh.__version__,
        "uptime_s": 1.25,
        "listen": {
            "mesh": "0.0.0.0:7946",
            "proxy": "127.0.0.1:4140",
            "admin": "127.0.0.1:4191",
            "dns": None,
            "gateways": [],
        },
        "address": str(world.nodes["alice"].address),
        "members": {"alive": 2, "suspect": 0, "dead": 1, "left": 0},
        "agreement": 1.0,
        "awareness": 0,
        "policy_version": 7,
        "services": [OWN],
        "chain_expires_at": alice.chain.grants.expires_at,
        "bundle": 0,
        "roots": [{"root": world.trust.newest_root.hex(), "newest": True, "members": 2}],
        "clones": [],
    }


async def test_who_has_left_hangs_on_no_root_any_more(world: World) -> None:
    report = Around().report(mesh_of(world))
    assert [each["members"] for each in report.status()["roots"]] == [2]
    world.leave("bob")
    world.run_until(lambda: world.believes("alice", "bob") is MemberState.LEFT, within=10)
    assert mesh_of(world).registry.lookup(world.nodes["bob"].key.id) is not None
    assert [each["members"] for each in report.status()["roots"]] == [1]


async def test_where_dns_is_asked_is_said(world: World) -> None:
    dns = Address("127.0.0.1", 8_600)
    status = Around(evolve(EVERYWHERE, dns=dns)).report(mesh_of(world)).status()
    assert status["listen"]["dns"] == "127.0.0.1:8600"


async def test_what_does_not_listen_yet_has_no_address(world: World) -> None:
    status = Around(Listening(Address("::", 7_946))).report(mesh_of(world)).status()
    assert status["listen"] == {
        "mesh": "[::]:7946",
        "proxy": None,
        "admin": None,
        "dns": None,
        "gateways": [],
    }


async def test_a_member_whose_registry_differs_does_not_agree(world: World) -> None:
    alice = mesh_of(world)
    report = Around().report(alice)
    world.cut(["alice"], ["bob"], one_way=True)  # Alice hears from Bob what he has not heard of
    world.add("dave", seeds=["alice"])
    world.cut(["dave"], ["bob"])
    world.run_until(lambda: alice.agreement < 1, within=10)
    assert report.status()["members"]["alive"] == 3
    assert report.status()["agreement"] == 0.5
    world.heal()
    world.run(30)
    assert report.status()["agreement"] == 1.0


async def test_members_are_all_shown_with_this_node_among_them_by_name(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.jump(world.now)
    alice, died_s_ago = mesh_of(world), 100.0
    report = Around().report(alice)
    since = {member.record.name: member.since for member in alice.members.values()}
    mock_clock.jump(since["carol"] + died_s_ago - trio.current_time())
    shown = report.members()["members"]
    assert [entry["name"] for entry in shown] == ["alice", "bob", "carol"]
    assert [entry["state"] for entry in shown] == ["alive", "alive", "dead"]
    carol = shown[2]
    assert carol.pop("since") == pytest.approx(wall_clock() - died_s_ago, abs=5.0)  # type: ignore[misc]
    assert carol == {
        "name": "carol",
        "id": world.nodes["carol"].key.id.hex(),
        "address": str(world.nodes["carol"].address),
        "state": "dead",
        "serving": "serving",
        "incarnation": 1 << 32 | alice.members[world.nodes["carol"].key.id].record.incarnation,
        "zone": "",
        "services": ["hello"],
        "policy_version": 0,
        "enforces": True,
    }


async def test_two_nodes_of_one_name_are_told_apart(world: World) -> None:
    former = world.nodes["bob"].key.id
    world.crash("bob")
    world.restart_with_lost_state("bob")
    world.run_until(lambda: world.everyone_believes("bob", MemberState.ALIVE), within=30)
    alice = mesh_of(world)
    shown = {entry["id"]: entry["name"] for entry in Around().report(alice).members()["members"]}
    both = {shown[former.hex()], shown[world.nodes["bob"].key.id.hex()]}
    assert len(both) == 2
    assert all(name.startswith("bob") for name in both)
    assert shown == {node.hex(): name for node, name in alice.names.items()}


async def test_services_count_their_endpoints_and_those_that_may_be_chosen(world: World) -> None:
    report = Around().report(mesh_of(world))
    assert report.services() == {"services": [{"name": "hello", "endpoints": 2, "healthy": 2}]}
    world.drain("bob")
    world.run(5)
    assert report.services() == {"services": [{"name": "hello", "endpoints": 2, "healthy": 1}]}


async def test_an_endpoint_that_gets_no_requests_says_why(world: World) -> None:
    world.drain("bob")
    world.run(5)
    found = Around().report(mesh_of(world)).endpoints("hello")
    assert found is not None
    assert found["service"] == "hello"

    def entry(name: str, *, healthy: bool, reason: str) -> dict[str, Any]:
        node = world.nodes[name]
        at = {"node": name, "id": node.key.id.hex(), "address": str(node.address)}
        return {**at, "weight": 3, "tags": ["v2"], "healthy": healthy, "reason": reason}

    by_name = sorted(found["endpoints"], key=lambda each: each["node"])
    assert by_name == [
        entry("alice", healthy=True, reason=""),
        entry("bob", healthy=False, reason="its node is draining"),
    ]


async def test_a_service_that_nobody_offers_has_no_endpoints_to_tell_of(world: World) -> None:
    assert Around().report(mesh_of(world)).endpoints("unheard-of") is None


async def test_a_node_is_ready_once_it_joined_and_everything_listens() -> None:
    world = World(7)
    world.add("alice", start=False)
    world.add("bob", seeds=["alice"])
    around = Around()
    report = around.report(mesh_of(world, "bob"), seeds=("alice:7946", "other:7946"))
    world.run(3)
    waiting = report.ready()
    assert not waiting.ok
    assert "alice:7946, other:7946" in waiting.reason
    world.start("alice")
    world.run_until(lambda: mesh_of(world, "bob").joined, within=30)
    for half in (evolve(EVERYWHERE, proxy=None), evolve(EVERYWHERE, admin=None)):
        around.listening = half
        assert not report.ready().ok
    around.listening = EVERYWHERE
    assert report.ready().ok
    assert report.ready().reason == ""


async def test_metrics_show_what_is_so_at_the_moment_they_are_read(world: World) -> None:
    around = Around(channels={"open": 2}, in_flight=5)
    alice = mesh_of(world)
    report = around.report(alice)
    known = f'{{mesh="{alice.trust.mesh_id.hex()}",name="alice",version="{gossipmesh.__version__}"}}'
    assert metric(report, "info") == {known: 1.0}
    assert metric(report, "members") == {
        '{state="alive"}': 2.0,
        '{state="suspect"}': 0.0,
        '{state="dead"}': 1.0,
        '{state="left"}': 0.0,
    }
    assert metric(report, "endpoints") == {'{service="hello",state="healthy"}': 2.0}
    assert metric(report, "channels") == {'{state="open"}': 2.0}
    assert metric(report, "inflight_requests") == {"": 5.0}
    assert metric(report, "awareness") == {"": float(alice.awareness)}
    assert metric(report, "chain_expiry") == {"_timestamp_seconds": float(alice.chain.grants.expires_at)}
    around.ejected.add(("hello", alice.id))
    assert sum(metric(report, "endpoints").values()) == 2.0
    (other,) = (each.id for each in alice.snapshot.endpoints("hello") if each.node == "bob")
    around.ejected.add(("hello", other))
    assert metric(report, "endpoints")['{service="hello",state="ejected"}'] >= 1.0
    shown = report.endpoints("hello")
    assert shown is not None
    bob = next(each for each in shown["endpoints"] if each["node"] == "bob")
    assert (bob["healthy"], bob["reason"]) == (False, "silence of 1 s")
    around.channels, around.in_flight = {"open": 0}, 0
    around.ejected.clear()
    world.drain("bob")
    world.run(5)
    assert metric(report, "endpoints") == {
        '{service="hello",state="healthy"}': 1.0,
        '{service="hello",state="unhealthy"}': 1.0,
    }
    assert metric(report, "channels") == {'{state="open"}': 0.0}
    assert metric(report, "inflight_requests") == {"": 0.0}


async def test_the_configuration_is_shown_with_its_origins(world: World) -> None:
    shown = Around().report(mesh_of(world)).config()
    name = shown["node.name"]
    assert isinstance(name, dict)
    assert name["value"] == "alice"


async def test_draining_returns_when_what_was_taken_is_over(world: World) -> None:
    around = Around()
    await around.report(mesh_of(world)).drain()
    assert (around.drained, around.left) == (1, 0)


async def test_a_node_that_drains_is_not_ready_and_says_why(world: World) -> None:
    report = Around().report(mesh_of(world))
    assert report.ready().ok
    world.drain("alice")
    assert report.ready() == Readiness(False, "this node is draining")


async def test_leaving_returns_when_others_were_told(world: World) -> None:
    around = Around()
    await around.report(mesh_of(world)).leave()
    assert around.left == 1


async def test_a_recording_is_given_as_it_is_and_its_absence_with_a_reason(world: World) -> None:
    around = Around()
    with pytest.raises(MeshError, match="there is no recording"):
        around.report(mesh_of(world)).trace()
    around.recorder.begin(b"keyframe")
    trace = decode_trace_untrusted(around.report(mesh_of(world)).trace())
    assert trace.segments[0].keyframe == b"keyframe"
    assert trace.wall == pytest.approx(wall_clock(), abs=60)


async def test_requests_are_explained_by_whoever_knows_them(world: World) -> None:
    report = Around().report(mesh_of(world))
    assert report.explain("GET", "http://hello/", [("a", "b")]) == {
        "asked": ("GET", "http://hello/", [("a", "b")])
    }
    assert report.explain_past("r-1") == {"asked": "r-1"}
    assert report.requests(RequestsAsked(last=3)) == {"asked": RequestsAsked(last=3)}


async def test_who_is_reached_is_told_by_whoever_reaches_for_them(world: World) -> None:
    around = Around()
    assert await around.report(mesh_of(world)).reachability() == await around.survey()


async def test_what_is_signed_for_the_mesh_is_handed_on_and_identities_say_what_a_revocation_may_name(
    world: World,
) -> None:
    mesh = mesh_of(world)
    report = Around().report(mesh)
    assert await report.offer("policy", b"123") == "policy: 3"
    assert report.revocations() == {"revocations": []}
    shown = report.identities()["identities"]
    assert {each["name"] for each in shown} >= {mesh.own.name}
    mine = next(each for each in shown if each["id"] == mesh.id.hex())
    assert mine["token_ids"] == [token_id.hex() for token_id in mesh.chain.token_ids]
    assert mine["expires_at"] == mesh.chain.grants.expires_at


async def test_what_changes_in_the_mesh_changes_the_index_of_what_is_about_it(world: World) -> None:
    alice = mesh_of(world)
    report = Around().report(alice)
    about = [(SERVICES, "hello"), (SERVICES, ""), (MEMBERS, ""), (READY, "")]
    before = [report.news.index(topic) for topic in about]
    world.crash("bob")
    world.run_until(lambda: not alice.members[world.nodes["bob"].key.id].routable, within=30)
    report.news.touch()
    after = [report.news.index(topic) for topic in about]
    assert [now > then for now, then in zip(after, before, strict=True)] == [True, True, True, False]
    kinds = {SERVICES: {"name": "hello", "endpoints": 2, "healthy": 1}}
    events = report.news.after(before[0], frozenset(FOLLOWED))
    assert events is not None
    assert {event.kind: json.loads(event.data) for event in events if event.kind == SERVICES} == kinds
    assert {json.loads(event.data)["name"] for event in events if event.kind == MEMBERS} == {"bob"}
    # An ejection is this node's own word, and no snapshot's.
    report.rotation_changed("hello")
    assert report.news.index(about[0]) > after[0]
    assert report.news.index(about[2]) == after[2]

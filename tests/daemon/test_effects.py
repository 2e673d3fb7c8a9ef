"""Outputs carried out with real parts: sockets on the loopback, a state directory, logs and metrics."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import evolve, field, frozen
from trio.testing import wait_all_tasks_blocked

from gossipmesh.config.model import LogConfig
from gossipmesh.daemon.control import Control, wall_clock
from gossipmesh.daemon.disk.root import MeshRoot, make_root
from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.effects import Effects
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import MeshError
from gossipmesh.identity.chain import join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import (
    BootRaised,
    ChainRenewed,
    Converged,
    Exchange,
    Level,
    MemberChanged,
    Notice,
    Output,
    ProbeMeasured,
    Refused,
    SendDatagram,
    SnapshotChanged,
)
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.sim.world import World
from gossipmesh.transport.counters import count_nothing
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream
from gossipmesh.transport.sync import serve_sync
from gossipmesh.transport.udp import Datagram, UdpSocket

LOOPBACK = Address("127.0.0.1", 0)
BOB = NodeId(b"b" * 32)
JOIN_REFUSED = Notice(Level.WARNING, "join.refused", "no seed takes this node in")


@frozen
class Node:
    """One node's control plane and the parts that carry out what it wants."""

    mesh: Mesh
    effects: Effects
    control: Control
    bound: Address
    state: StateDirectory
    metrics: Metrics
    said: io.StringIO = field(factory=io.StringIO)

    def events(self, code: str) -> list[dict[str, object]]:
        """Give the log lines of this event."""
        lines = [json.loads(line) for line in self.said.getvalue().splitlines()]
        return [line for line in lines if line["event"] == code]

    def counted(self, line: str) -> bool:
        return f"gossipmesh_{line}\n" in self.metrics.text().decode()


def new_root() -> MeshRoot:
    return make_root(os.urandom, default_allow=True)


def member(root: MeshRoot, name: str, *, seeds_expected: bool = False) -> Mesh:
    """Make the control plane of a node that holds a token of this mesh, at the present time."""
    now, key = int(wall_clock()), NodeKey.generate(os.urandom)
    token = root.mint(Caveats(now - 300, now + 3_600), os.urandom)
    setup = Setup(
        key=key,
        trust=root.trust,
        chain=verify_chain_untrusted(join_chain(token, key.seed, name), root.trust, wall=now),
        boot=1,
        addresses=(Address("127.0.0.1", 1),),
        seeds_expected=seeds_expected,
    )
    return Mesh(setup, rng=random.Random(1), entropy=os.urandom, now=trio.current_time(), wall=now)


def identity(mesh: Mesh) -> ChannelIdentity:
    def authenticate(payload: bytes, remote_static: bytes, _: NodeId | None) -> Peer:
        return verify_credentials_untrusted(payload, remote_static, mesh.trust, wall=wall_clock())

    return ChannelIdentity(
        mesh_id=mesh.trust.mesh_id,
        credentials=lambda _: mesh.credentials(wall=wall_clock()),
        authenticate=authenticate,
        static_private=lambda: mesh.static_private,
        entropy=os.urandom,
    )


@asynccontextmanager
async def running(
    mesh: Mesh, path: Path, *, may_give_up: bool = True, control: bool = False
) -> AsyncIterator[Node]:
    """Run a node's effects, and its control task too where that is wanted."""
    said, metrics = io.StringIO(), Metrics()
    with StateDirectory(path / "state") as state:
        async with trio.open_nursery() as nursery:
            udp = UdpSocket(LOOPBACK, count=count_nothing)
            bound = await nursery.start(udp.run)
            effects = Effects(
                mesh,
                udp,
                identity(mesh),
                state=state,
                metrics=metrics,
                log=event_log(LogConfig(), said),
                nursery=nursery,
                resolve=lambda node: None,
                may_give_up=may_give_up,
                snapshot_changed=lambda: None,
                end_channels=lambda hit: None,
                policy_changed=lambda document: None,
                joined_changed=lambda: None,
            )
            effects.control = Control(mesh, udp, effects)
            await nursery.start(effects.run)
            if control:
                await nursery.start(effects.control.run)
            yield Node(mesh, effects, effects.control, bound, state, metrics, said)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def seed(mesh: Mesh) -> AsyncIterator[Address]:
    """Run the part of a seed's daemon that answers exchanges, and give where."""

    async def answer(peer: Peer, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        now, wall = trio.current_time(), wall_clock()
        return mesh.answer_untrusted(peer, request, now=now, wall=wall)[0]

    async def serve(stream: SecureStream) -> None:
        await serve_sync(stream, answer)

    listener = Listener(LOOPBACK, identity(mesh), serve_hop=serve, serve_sync=serve, count=count_nothing)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(listener.run)
        nursery.cancel_scope.cancel()


async def nobody() -> Address:
    """Give an address where nobody listens."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        return Address("127.0.0.1", listener.socket.getsockname()[1])


def knows_bob() -> Mesh:
    world = World(7)
    world.add("bob")
    world.add("alice", seeds=["bob"])
    world.run_until(world.complete, within=5)
    return world.nodes["alice"].running


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await wait_all_tasks_blocked()


def ask_seeds(node: Node, *addresses: Address) -> None:
    node.control.post(lambda now, wall: node.mesh.set_seeds(addresses, now=now, wall=wall))


# --- datagrams


async def test_a_datagram_leaves_by_the_nodes_own_socket_and_is_counted(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node, trio.open_nursery() as nursery:
        other = UdpSocket(LOOPBACK, count=count_nothing)
        target = await nursery.start(other.run)
        node.effects.perform(SendDatagram(target, b"x" * 40, "ping"))
        await other.wait()
        assert other.take_all() == [Datagram(b"x" * 40, node.bound)]
        assert node.counted('gossip_datagrams_total{direction="out",kind="ping"} 1.0')
        assert node.counted('gossip_bytes_total{direction="out"} 40.0')
        nursery.cancel_scope.cancel()


async def test_datagrams_that_came_are_counted_by_what_their_length_says(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        for size in (16, 100, 1_000):
            node.effects.received(Datagram(bytes(size), node.bound))
        assert node.counted('gossip_datagrams_total{direction="in",kind="hint"} 1.0')
        assert node.counted('gossip_datagrams_total{direction="in",kind="sealed"} 2.0')
        assert node.counted('gossip_bytes_total{direction="in"} 1116.0')


# --- exchanges


async def test_a_seed_that_answers_takes_the_node_in(tmp_path: Path) -> None:
    root = new_root()
    bob, alice = member(root, "bob"), member(root, "alice", seeds_expected=True)
    async with seed(bob) as address, running(alice, tmp_path, control=True) as node:
        ask_seeds(node, address)
        await until(lambda: alice.joined)
        assert [each.record.name for each in alice.members.values()] == ["bob"]
        assert [each.record.name for each in bob.members.values()] == ["alice"]


async def test_a_seed_where_nobody_listens_fails_the_exchange_and_is_asked_again(tmp_path: Path) -> None:
    root, address = new_root(), await nobody()
    async with running(member(root, "alice", seeds_expected=True), tmp_path, control=True) as node:
        ask_seeds(node, address)
        await until(lambda: node.events("join.unanswered"))
        (said,) = node.events("join.unanswered")
        assert said["level"] == "warning"
        assert f"{address} refused the connection" in str(said["detail"])
        assert not node.mesh.joined
        async with seed(member(root, "bob")) as there:
            ask_seeds(node, there)
            await until(lambda: node.mesh.joined)


async def test_an_exchange_fails_once_its_answer_is_of_no_use_any_more(tmp_path: Path) -> None:
    alice = member(new_root(), "alice", seeds_expected=True)
    (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = Address("127.0.0.1", silent.socket.getsockname()[1])

    def hurry(now: float, wall: float) -> list[Output]:
        (asked,) = alice.set_seeds((address,), now=now, wall=wall)
        assert isinstance(asked, Exchange)
        return [evolve(asked, timeout_s=0.01)]

    async with silent, running(alice, tmp_path, control=True) as node:
        node.control.post(hurry)
        await until(lambda: node.events("join.unanswered"))
        assert "no answer in time" in str(node.events("join.unanswered")[0]["detail"])


# --- a node that nobody takes in


async def test_a_refusal_ends_a_daemon_that_never_joined(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        with pytest.raises(MeshError, match="no seed takes this node in"):
            node.effects.perform(JOIN_REFUSED)


async def test_a_seed_of_another_mesh_says_nothing_and_a_person_is_told_what_that_may_mean(
    tmp_path: Path,
) -> None:
    alice = member(new_root(), "alice", seeds_expected=True)
    async with (
        seed(member(new_root(), "stranger")) as stranger,
        running(alice, tmp_path, control=True) as node,
    ):
        ask_seeds(node, stranger, await nobody())
        await until(lambda: len(node.events("join.unanswered")) == 2)
        assert any("of this token's mesh" in str(said["detail"]) for said in node.events("join.unanswered"))
        assert node.events("join.refused") == []


async def test_a_refusal_does_not_end_a_daemon_that_knows_members(tmp_path: Path) -> None:
    async with running(knows_bob(), tmp_path) as node:
        node.effects.perform(JOIN_REFUSED)
        assert len(node.events("join.refused")) == 1


async def test_a_refusal_does_not_end_a_daemon_without_seeds(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path, may_give_up=False) as node:
        node.effects.perform(JOIN_REFUSED)
        assert len(node.events("join.refused")) == 1


# --- what is kept and what is told


async def test_a_renewed_chain_is_on_the_disk_for_the_next_start(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        node.state.save_chain(b"the one before")
        node.effects.perform(ChainRenewed(b"the new one", 1_900_000_000))
        await until(lambda: node.state.load_chain() == b"the new one")
        (said,) = node.events("chain.renewed")
        assert said["expires_at"] == 1_900_000_000
        assert "the new one" not in node.said.getvalue()


async def test_boots_that_were_raised_are_on_the_disk_the_highest_last(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        node.state.load_or_make_key(os.urandom)
        for boot in (7, 9, 8):
            node.effects.perform(BootRaised(boot))
        await until(lambda: (node.state.path / "boot").read_text() == "9\n")
        await wait_all_tasks_blocked()
        assert node.state.next_boot() == 10


async def test_a_boot_that_cannot_be_kept_is_said_and_ends_nothing(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        (node.state.path / "boot").mkdir()
        node.effects.perform(BootRaised(7))
        await until(lambda: len(node.said.getvalue()) > 0)
        assert "boot" in node.said.getvalue()


async def test_a_change_of_a_member_is_one_line(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        node.effects.perform(MemberChanged(BOB, "bob", None, MemberState.ALIVE, "it joined"))
        node.effects.perform(
            MemberChanged(BOB, "bob", MemberState.ALIVE, MemberState.SUSPECT, "no answer\nfor 1 s")
        )
        lines = [
            {name: line[name] for name in ("node", "id", "was", "now", "why")}
            for line in node.events("member")
        ]
        assert lines == [
            {"node": "bob", "id": "62626262", "was": None, "now": "alive", "why": "it joined"},
            {"node": "bob", "id": "62626262", "was": "alive", "now": "suspect", "why": "no answer\nfor 1 s"},
        ]


@pytest.mark.parametrize("level", list(Level))
async def test_a_notice_is_said_as_loud_as_it_is(tmp_path: Path, level: Level) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        node.effects.perform(Notice(level, "chain.overdue", "renew it"))
        (said,) = node.events("chain.overdue")
        assert (said["level"], said["detail"]) == (level.value, "renew it")


async def test_what_was_refused_is_counted_and_a_new_snapshot_says_nothing(tmp_path: Path) -> None:
    async with running(member(new_root(), "alice"), tmp_path) as node:
        node.effects.perform(Refused("datagram.replay"))
        node.effects.perform(SnapshotChanged(Snapshot(local=node.mesh.id)))
        node.effects.perform(ProbeMeasured(0.002))
        node.effects.perform(Converged(0.75))
        assert node.counted("probe_rtt_seconds_sum 0.002")
        assert node.counted("convergence_seconds_sum 0.75")
        assert node.counted('gossip_errors_total{code="datagram.replay"} 1.0')
        assert node.said.getvalue() == ""

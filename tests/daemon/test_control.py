"""The control task: what came in goes first, then the clock; outputs are performed in order."""

from __future__ import annotations

import socket

import trio
import trio.testing
from attrs import define, field

from gossipmesh.daemon.control import ANSWERING_S, MAX_INBOX, Control
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import Ping
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Level, Notice, Output, Refused, SendDatagram
from gossipmesh.model import Address, MemberState
from gossipmesh.sim.world import World
from gossipmesh.transport.counters import count_nothing
from gossipmesh.transport.udp import Datagram, UdpSocket

HELLO = Notice(Level.INFO, "test.hello", "hello")


@define
class Performed:
    """Keeps what it was asked to perform."""

    outputs: list[Output] = field(factory=list)
    datagrams: list[Datagram] = field(factory=list)

    def received(self, datagram: Datagram) -> None:
        self.datagrams.append(datagram)

    def perform(self, output: Output) -> None:
        self.outputs.append(output)

    def turned(self) -> None:
        pass


def two_who_know_each_other() -> tuple[World, Mesh, Mesh]:
    world = World(7)
    world.add("alice")
    world.add("bob", seeds=["alice"])
    world.run_until(world.complete, within=5)
    world.run(5)
    return world, world.nodes["alice"].running, world.nodes["bob"].running


async def test_an_order_is_given_the_time_and_its_outputs_are_performed(
    mock_clock: trio.testing.MockClock,
) -> None:
    world, alice, _ = two_who_know_each_other()
    mock_clock.jump(world.now)
    performed = Performed()
    async with trio.open_nursery() as nursery:
        udp = UdpSocket(Address("127.0.0.1", 0), count=count_nothing)
        await nursery.start(udp.run)
        control = Control(alice, udp, performed)
        await nursery.start(control.run)
        times: list[float] = []

        def order(now: float, wall: float) -> list[Output]:
            times.append(now)
            return [HELLO]

        control.post(order)
        await trio.testing.wait_all_tasks_blocked()
        assert times == [world.now]
        assert HELLO in performed.outputs
        nursery.cancel_scope.cancel()


async def test_a_question_is_answered_in_its_turn(mock_clock: trio.testing.MockClock) -> None:
    world, alice, _ = two_who_know_each_other()
    mock_clock.jump(world.now)
    performed = Performed()
    async with trio.open_nursery() as nursery:
        udp = UdpSocket(Address("127.0.0.1", 0), count=count_nothing)
        await nursery.start(udp.run)
        control = Control(alice, udp, performed)
        await nursery.start(control.run)
        assert await control.ask(lambda now, wall: (b"answer", [HELLO])) == b"answer"
        await trio.testing.wait_all_tasks_blocked()
        assert HELLO in performed.outputs
        nursery.cancel_scope.cancel()


async def test_between_questions_that_cost_much_datagrams_are_taken_and_orders_are_carried_out(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Each question takes as long as a turn may; whoever asks many of them at once delays nobody else's probe."""
    world, alice, bob = two_who_know_each_other()
    mock_clock.jump(world.now)
    performed = Performed()
    seen: list[str] = []
    async with trio.open_nursery() as nursery:
        udp = UdpSocket(Address("127.0.0.1", 0), count=count_nothing)
        bound = await nursery.start(udp.run)
        control = Control(alice, udp, performed)
        await nursery.start(control.run)
        ping = bob._secrecy.seal(alice.id, encode_messages([Ping(1, alice.id, bytes(16))]))

        def dear(now: float, wall: float) -> tuple[bytes, list[Output]]:
            if not seen:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as network:
                    network.sendto(ping, (bound.host, bound.port))
                control.post(lambda now, wall: seen.append("order") or [])
            seen.append("answered" if performed.datagrams else "question")
            mock_clock.jump(ANSWERING_S)
            return b"", []

        async with trio.open_nursery() as askers:
            for _ in range(8):
                askers.start_soon(control.ask, dear)
        assert seen == ["question", "order", *["answered"] * 7]
        nursery.cancel_scope.cancel()


async def test_a_full_inbox_drops_orders_and_counts_them() -> None:
    _, alice, _ = two_who_know_each_other()
    performed = Performed()
    control = Control(alice, UdpSocket(Address("127.0.0.1", 0), count=count_nothing), performed)
    for _ in range(MAX_INBOX + 3):
        control.post(lambda now, wall: [])
    assert performed.outputs == [Refused("control.inbox-full")] * 3


async def test_after_a_stall_an_answer_that_is_here_already_is_no_silence(
    mock_clock: trio.testing.MockClock,
) -> None:
    world, alice, bob = two_who_know_each_other()
    mock_clock.jump(world.now)
    performed = Performed()
    async with trio.open_nursery() as nursery:
        udp = UdpSocket(Address("127.0.0.1", 0), count=count_nothing)
        bound = await nursery.start(udp.run)
        control = Control(alice, udp, performed)
        await nursery.start(control.run)
        while not (
            pings := [o for o in performed.outputs if isinstance(o, SendDatagram) and o.kind == "ping"]
        ):
            mock_clock.jump(max(0.0, alice.deadline - trio.current_time()))
            await trio.testing.wait_all_tasks_blocked()
        # Everything short of the verdict happens; then Bob's answers arrive at the socket, and before anybody looks,
        # this process does not run until the verdict is due, and a little longer.
        asked = trio.current_time()
        while alice.deadline < asked + 0.99 * LAN.probe_least_s:
            mock_clock.jump(max(0.0, alice.deadline - trio.current_time()))
            await trio.testing.wait_all_tasks_blocked()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as network:
            for ping in pings:
                for answer in bob.receive_datagram_untrusted(
                    ping.payload, alice.own.addresses[0], now=world.now, wall=world.wall
                ):
                    assert isinstance(answer, SendDatagram)
                    network.sendto(answer.payload, (bound.host, bound.port))
        mock_clock.jump(alice.deadline + 0.05 - trio.current_time())
        await trio.testing.wait_all_tasks_blocked()
        assert performed.datagrams
        assert [member.state for member in alice.members.values()] == [MemberState.ALIVE]
        assert all(member.routable for member in alice.members.values())
        nursery.cancel_scope.cancel()

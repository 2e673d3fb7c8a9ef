from __future__ import annotations

from gossipmesh.membership.messages import Ack, Nack, PingRequest
from gossipmesh.membership.outputs import SendMessages
from gossipmesh.mesh.outputs import SendDatagram
from gossipmesh.sim.attackers import Forger, Liar
from gossipmesh.sim.world import World


def a_world(kind: type[Liar] | type[Forger]) -> World:
    world = World(3, crypto="real")
    world.populate(4)
    world.add("bad", seeds=["n0"], machine=kind)
    world.run_until(world.complete, within=30)
    world.run(1)
    return world


def test_a_liar_answers_for_others_without_a_look() -> None:
    world = a_world(Liar)
    liar, asker, target = (world.nodes[name] for name in ("bad", "n0", "n1"))
    machine = liar.running
    assert isinstance(machine, Liar)
    answers = []
    for seq in (1, 2):
        outputs = machine._membership.receive(PingRequest(seq, target.key.id), asker.key.id, now=world.now)
        (output,) = outputs
        assert isinstance(output, SendMessages)
        assert output.target == asker.key.id
        answers += [type(message) for message in output.messages]
    assert set(answers) == {Ack, Nack}


def test_a_liar_is_heard_and_half_of_what_it_says_is_refused_at_sight() -> None:
    world = a_world(Liar)
    world.run(5)
    assert world.coverage["suspected"] > 0
    assert all(node.refused["accusation.unknown-version"] for node in world.up if node.name != "bad")


def test_each_forgery_is_refused_and_changes_no_view() -> None:
    world = a_world(Forger)
    bad, victim, target = (world.nodes[name] for name in ("bad", "n1", "n2"))
    machine = bad.running
    assert isinstance(machine, Forger)
    before = dict(target.running.members)
    refused = target.refused.total()
    outputs = machine.forge(
        target.key.id, machine.members[victim.key.id].record, now=world.now, wall=world.wall
    )
    sent = [output for output in outputs if isinstance(output, SendDatagram)]
    assert len(sent) == len(outputs) >= 6
    for output in sent:
        world.inject(target.name, output.payload, bad.address)
    assert target.refused.total() - refused >= len(sent)
    assert dict(target.running.members) == before

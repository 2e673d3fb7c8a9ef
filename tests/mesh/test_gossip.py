"""The datagram path between two machines: what each message means, and what unreadable ones cost."""

from __future__ import annotations

from gossipmesh.channel.datagram import HINT_BYTES, Hint, encode_hint, sender_tag
from gossipmesh.membership.messages import Ack, ChainNews, ChainRequest, Message, Ping, RecordNews
from gossipmesh.mesh.gossip import MAX_PROBES
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Exchange, MemberChanged, Output, Refused, SendDatagram
from gossipmesh.model import Address, Serving
from gossipmesh.sim.world import World

STRANGER = Address("203.0.113.9", 53)


class Talk:
    """Two members of a mesh, whose datagrams are carried by hand."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.world.add("a")
        self.world.add("b", seeds=["a"])
        self.world.run(3)
        self.a, self.b = (self.world.nodes[name].running for name in "ab")
        self.now = self.world.now

    def say(
        self, sender: Mesh, receiver: Mesh, *messages: Message, source: Address | None = None
    ) -> list[Output]:
        """Let ``sender`` seal messages and ``receiver`` take the datagram; give what it does."""
        (sealed,) = sender._gossip.seal(receiver.id, messages)
        assert isinstance(sealed, SendDatagram)
        assert sealed.target == receiver.own.addresses[0]
        return self.take(receiver, sealed.payload, source or sender.own.addresses[0])

    def take(self, receiver: Mesh, payload: bytes, source: Address) -> list[Output]:
        return receiver.receive_datagram_untrusted(payload, source, now=self.now, wall=self.world.wall)


def kinds(outputs: list[Output]) -> list[str]:
    return [output.kind for output in outputs if isinstance(output, SendDatagram)]


def test_a_ping_is_answered_to_the_signed_address_wherever_it_came_from() -> None:
    talk = Talk()
    outputs = talk.say(talk.a, talk.b, Ping(7, talk.b.id, bytes(16)), source=STRANGER)
    assert kinds(outputs) == ["ack"]
    assert [output.target for output in outputs if isinstance(output, SendDatagram)] == [
        talk.a.own.addresses[0]
    ]


def test_a_ping_for_a_former_owner_of_the_address_is_not_answered() -> None:
    talk = Talk()
    assert kinds(talk.say(talk.a, talk.b, Ping(7, talk.a.id, bytes(16)))) == []


def test_a_chain_that_is_asked_for_by_hash_is_sent_once_a_datagram() -> None:
    talk = Talk()
    question = ChainRequest(talk.a.chain.hash)
    assert kinds(talk.say(talk.b, talk.a, question)) == ["chainnews"]
    assert kinds(talk.say(talk.b, talk.a, question, question, question)) == ["chainnews"]
    assert kinds(talk.say(talk.b, talk.a, ChainRequest(bytes(16)))) == []


def test_news_of_somebody_new_asks_its_sender_for_the_chain_and_then_makes_a_member() -> None:
    talk = Talk()
    carol = talk.world.add("c")
    record, chain = carol.running.own, carol.running.chain
    asked = talk.say(talk.a, talk.b, RecordNews(record.signed.raw))
    assert kinds(asked) == ["chainrequest"]
    assert carol.key.id not in talk.b.members
    joined = talk.say(talk.a, talk.b, ChainNews(chain.raw))
    assert [output.name for output in joined if isinstance(output, MemberChanged)] == ["c"]
    assert carol.key.id in talk.b.members


def test_a_replay_is_counted_and_nothing_else() -> None:
    talk = Talk()
    (sealed,) = talk.a._gossip.seal(talk.b.id, (Ack(1, bytes(16)),))
    assert isinstance(sealed, SendDatagram)
    talk.take(talk.b, sealed.payload, STRANGER)
    assert talk.take(talk.b, sealed.payload, STRANGER) == [Refused("datagram.replay")]


def test_a_stranger_gets_one_hint_a_second_and_no_more_bytes_than_it_sent() -> None:
    talk = Talk()
    other = World(77)
    other.add("x")
    other.add("y", seeds=["x"])
    other.run(2)
    x, y = (other.nodes[name].running for name in "xy")
    (sealed,) = x._gossip.seal(y.id, (Ack(1, bytes(16)),))
    assert isinstance(sealed, SendDatagram)
    hints = 0
    for step in range(35):
        talk.now = talk.world.now + step / 10
        outputs = talk.take(talk.b, sealed.payload, STRANGER)
        assert outputs[0] == Refused("datagram.stranger")
        for hint in outputs[1:]:
            assert isinstance(hint, SendDatagram)
            assert (hint.target, hint.kind, len(hint.payload)) == (STRANGER, "hint", HINT_BYTES)
            assert len(hint.payload) < len(sealed.payload)
            hints += 1
    assert hints == 4


def test_a_hint_is_never_answered_with_a_hint() -> None:
    talk = Talk()
    for hint in (
        Hint(sender_tag(talk.a.id), sender_tag(talk.b.id)),
        Hint(bytes(6), sender_tag(talk.b.id)),
        Hint(sender_tag(talk.a.id), bytes(6)),
    ):
        assert not any(
            isinstance(output, SendDatagram) for output in talk.take(talk.b, encode_hint(hint), STRANGER)
        )


def test_a_hint_from_a_members_own_address_causes_one_exchange_in_five_seconds() -> None:
    talk = Talk()
    hint = encode_hint(Hint(sender_tag(talk.a.id), sender_tag(talk.b.id)))
    source = talk.a.own.addresses[0]
    begun: list[tuple[int, Exchange]] = []
    for step in range(120):
        talk.now = talk.world.now + step / 10
        for output in talk.take(talk.b, hint, source):
            assert isinstance(output, Exchange)
            begun.append((step, output))
            talk.b.exchange_failed(output.number, "no", refused=False, now=talk.now, wall=talk.world.wall)
    assert [step for step, _ in begun] == [0, 50, 100]
    assert {exchange.target for _, exchange in begun} == {talk.a.id}


def test_a_hint_from_elsewhere_causes_nothing() -> None:
    talk = Talk()
    hint = encode_hint(Hint(sender_tag(talk.a.id), sender_tag(talk.b.id)))
    assert talk.take(talk.b, hint, STRANGER) == []


def test_nothing_is_sealed_to_whom_we_do_not_know() -> None:
    talk = Talk()
    stranger = World(5).add("s")
    assert talk.a._gossip.seal(stranger.key.id, (Ack(1, bytes(16)),)) == []


def test_more_than_a_datagram_holds_is_counted_not_raised() -> None:
    talk = Talk()
    chain = ChainNews(talk.a.chain.raw)
    outputs = talk.a._gossip.seal(talk.b.id, (chain,) * 8)
    assert outputs == [Refused("gossip.too-long")]


def test_a_datagram_full_of_pings_is_answered_a_few_times_and_takes_news_once() -> None:
    talk = Talk()
    talk.a.set_serving(Serving.DRAINING, now=talk.now, wall=talk.world.wall)
    outputs = talk.say(talk.b, talk.a, *(Ping(number, talk.a.id, bytes(16)) for number in range(12)))
    sizes = sorted(len(output.payload) for output in outputs if isinstance(output, SendDatagram))
    assert len(sizes) == MAX_PROBES
    assert sizes[0] == sizes[-2] < sizes[-1]
    assert Refused("gossip.too-many-probes") in outputs

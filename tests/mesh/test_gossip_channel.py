"""Gossip over a channel between two machines, as dialogues: what rides in the answer, and what brings UDP back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import Ack, ChainRequest, Message, Nack, Ping, RecordNews
from gossipmesh.mesh.exchanges import Kind, decode_carried_untrusted, encode_carried
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Exchange, MemberChanged, Output, ProbeMeasured, Refused, SendDatagram
from gossipmesh.model import MemberState
from gossipmesh.sim.world import World

ROOT = bytes(16)


class Pair:
    """Two members that no datagram passes between, whose exchanges are carried by hand."""

    def __init__(self, *, blocked: bool = True) -> None:
        self.world = World(1, profile="local")
        self.world.add("a")
        self.world.add("b", seeds=["a"])
        self.world.run(3)
        self.a, self.b = (self.world.nodes[name].running for name in "ab")
        if blocked:
            self.world.cut(["a"], ["b"], udp_only=True)
            self.world.run_until(
                lambda: self.blocked(self.a, self.b) and self.blocked(self.b, self.a), within=30
            )
        self.now = self.world.now

    def blocked(self, here: Mesh, there: Mesh) -> bool:
        return here.members[there.id].udp_blocked

    def ask(self, asker: Mesh, other: Mesh, *messages: Message) -> tuple[list[Message], list[Output]]:
        """Let ``other`` answer what ``asker`` says over a channel; give the answer and what else it does."""
        request = encode_carried(Kind.CARRY, [encode_messages(messages)])
        answer, outputs = other.answer_untrusted(
            self.world.peer_of(asker), request, now=self.now, wall=self.world.wall
        )
        carried = decode_carried_untrusted(answer, Kind.CARRIED)
        return [message for messages in carried for message in messages], outputs


PAIR = Pair()


def state_of(machine: Mesh) -> object:
    members = {m.id: (m.record.version, m.state, m.accusers, m.doubt) for m in machine.members.values()}
    return machine.own.version, members, machine.known(), machine.snapshot


def test_an_ack_rides_in_the_answer_and_nothing_goes_elsewhere() -> None:
    pair = Pair()
    answer, outputs = pair.ask(pair.a, pair.b, Ping(7, pair.b.id, ROOT))
    assert [message for message in answer if isinstance(message, Ack)] == [
        Ack(7, pair.b._registry.digest.root)
    ]
    assert not any(isinstance(output, SendDatagram | Exchange) for output in outputs)


def test_an_ack_over_a_channel_ends_a_probe_and_does_not_say_that_udp_works() -> None:
    pair = Pair()
    outputs: list[Output] = []
    while not (carried := [o for o in outputs if isinstance(o, Exchange) and o.keep]):
        outputs = pair.a.handle_timer(now=pair.a.deadline, wall=pair.world.wall)
    (exchange,) = carried
    answer, _ = pair.b.answer_untrusted(
        pair.world.peer_of(pair.a), exchange.request, now=pair.now, wall=pair.world.wall
    )
    after = pair.a.receive_answer_untrusted(
        exchange.number, pair.world.peer_of(pair.b), answer, now=pair.now, wall=pair.world.wall
    )
    assert any(isinstance(output, ProbeMeasured) for output in after)
    assert pair.blocked(pair.a, pair.b)


def test_a_ping_that_came_as_a_datagram_is_answered_by_one_even_to_a_member_that_seems_to_get_none() -> None:
    pair = Pair()
    (sealed,) = pair.a._gossip.seal(pair.b.id, (Ping(7, pair.b.id, ROOT),))
    assert isinstance(sealed, SendDatagram)
    outputs = pair.b.receive_datagram_untrusted(
        sealed.payload, pair.a.own.addresses[0], now=pair.now, wall=pair.world.wall
    )
    assert [output.kind for output in outputs if isinstance(output, SendDatagram)] == ["ack"]
    assert pair.blocked(pair.b, pair.a)


def test_the_first_ping_after_half_a_minute_goes_as_a_datagram_and_brings_udp_back() -> None:
    pair = Pair()
    pair.world.heal()
    pair.world.run_until(lambda: not pair.blocked(pair.a, pair.b), within=35)
    pair.world.run_until(lambda: not pair.blocked(pair.b, pair.a), within=35)


def test_news_makes_members_and_unknown_chains_are_asked_for_in_the_answer() -> None:
    pair = Pair()
    carol = pair.world.add("c")
    record, chain = carol.running.own, carol.running.chain
    answer, _ = pair.ask(pair.a, pair.b, RecordNews(record.signed.raw))
    assert ChainRequest(chain.hash) in answer
    pair.a._registry.offer_chain_untrusted(chain.raw, wall=pair.world.wall)
    (chain_news,), _ = pair.ask(pair.b, pair.a, ChainRequest(chain.hash))
    _, outputs = pair.ask(pair.a, pair.b, chain_news)
    changed = [output for output in outputs if isinstance(output, MemberChanged)]
    assert [(change.name, change.new) for change in changed] == [("c", MemberState.ALIVE)]


def test_a_member_that_datagrams_reach_gets_no_exchange() -> None:
    pair = Pair(blocked=False)
    (sent,) = pair.a._gossip.send(pair.b.id, (Nack(1),), now=pair.now)
    assert isinstance(sent, SendDatagram)


def test_more_than_a_datagram_holds_is_counted_here_too() -> None:
    pair = Pair()
    news = RecordNews(pair.a.own.signed.raw)
    assert pair.a._gossip.send(pair.b.id, (news,) * 8, now=pair.now) == [Refused("gossip.too-long")]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_no_plaintext_of_a_real_member_is_more_than_counted(plaintexts: list[bytes]) -> None:
    peer = PAIR.world.peer_of(PAIR.a)
    before = state_of(PAIR.b)
    request = encode_carried(Kind.CARRY, plaintexts)
    answer, outputs = PAIR.b.answer_untrusted(peer, request, now=PAIR.now, wall=PAIR.world.wall)
    try:
        assert decode_carried_untrusted(answer, Kind.CARRIED) == []
    except RemoteProtocolError as error:
        assert error.code == "exchange.refused"
        assert [type(output) for output in outputs] == [Refused]
    assert state_of(PAIR.b) == before


def test_one_bad_plaintext_leaves_the_good_one_before_it_without_effect() -> None:
    pair = Pair()
    carol = pair.world.add("c").running
    good = encode_messages([RecordNews(carol.own.signed.raw)])
    request = encode_carried(Kind.CARRY, [good, b"\xc1"])
    peer = pair.world.peer_of(pair.a)
    _, outputs = pair.b.answer_untrusted(peer, request, now=pair.now, wall=pair.world.wall)
    assert outputs == [Refused("gossip.malformed")]


def test_an_answer_that_is_none_ends_the_exchange_and_lets_the_next_one_begin() -> None:
    pair = Pair()
    (first,) = pair.a._gossip.send(pair.b.id, (Nack(1),), now=pair.now)
    assert isinstance(first, Exchange)
    outputs = pair.a.receive_answer_untrusted(
        first.number, pair.world.peer_of(pair.b), b"junk", now=pair.now, wall=pair.world.wall
    )
    assert outputs == [Refused("exchange.malformed")]
    (second,) = pair.a._gossip.send(pair.b.id, (Nack(2),), now=pair.now)
    assert isinstance(second, Exchange)

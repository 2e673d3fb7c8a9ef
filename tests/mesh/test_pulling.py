"""Whom a digest makes a node ask, and how seldom one that brings nothing."""

from __future__ import annotations

import math

import pytest

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.membership.outputs import SendMessages
from gossipmesh.mesh.charter_messages import Brought, encode_brought
from gossipmesh.mesh.exchanges import encode_refusal
from gossipmesh.mesh.outputs import Exchange, Output
from gossipmesh.mesh.pulling import (
    FRUITFUL_GAP_S,
    GAP_S,
    JOIN_RETRY_S,
    MAX_GAP_S,
    MAX_PER_DIGEST,
    Pulling,
)
from gossipmesh.model import NodeId
from gossipmesh.policy.document import POLICY_LABEL, new_document
from gossipmesh.sim.world import World
from oldrecords import as_before

SOME = b"12345678"


class Side:
    """One node's pulling, and its peers in a settled mesh."""

    def __init__(self, size: int = 4) -> None:
        self.world = World(1)
        self.names = self.world.populate(size)
        self.mesh = self.world.nodes["n0"].running
        self.pulling: Pulling = self.mesh._pulling
        self.now = self.world.now

    def peer(self, name: str) -> NodeId:
        return self.world.nodes[name].key.id

    def hears(self, name: str, digest: bytes, after_s: float = 0.0) -> list[Output]:
        self.now += after_s
        return self.pulling.hears(self.peer(name), digest, now=self.now)

    def answers(self, name: str, brought: Brought) -> list[Output]:
        node = self.world.nodes[name]
        for number in list(self.mesh._exchanges._open):
            self.mesh._exchanges.end(number)
        _, outputs = self.pulling.receive_answer_untrusted(
            node.key.id, (node.address,), encode_brought(brought), now=self.now, wall=self.world.wall
        )
        return outputs

    def refuses(self, name: str) -> None:
        node = self.world.nodes[name]
        for number in list(self.mesh._exchanges._open):
            self.mesh._exchanges.end(number)
        with pytest.raises(RemoteProtocolError, match="refused"):
            self.pulling.receive_answer_untrusted(
                node.key.id, (node.address,), encode_refusal("x"), now=self.now, wall=self.world.wall
            )

    def are_old(self, *names: str) -> None:
        for name in names:
            node, member = self.world.nodes[name], self.mesh.members[self.peer(name)]
            record = as_before(member.record, node.key.seed, self.world.trust.mesh_id)
            self.mesh._membership.learn_record(record, token=member.token, news=False, now=self.now)

    def nothing(self) -> Brought:
        return Brought(False, 0, self.world.trust.latest.hash, 0, b"")

    def document(self, version: int) -> Brought:
        body = new_document(version, "", signed_at=int(self.world.wall)).body
        raw = sign_as_authority(POLICY_LABEL, body, Authority(self.world.root_seed), self.world.trust.mesh_id)
        return Brought(False, 0, self.world.trust.latest.hash, version, bytes(32), (), raw)


def test_another_digest_is_asked_for_once_and_our_own_not_at_all() -> None:
    side = Side()
    (asked,) = side.hears("n1", SOME)
    assert isinstance(asked, Exchange)
    assert asked.target == side.peer("n1")
    assert side.hears("n1", SOME) == []
    assert side.hears("n2", side.pulling._charter.digest) == []
    assert side.pulling.hears(NodeId(bytes(32)), SOME, now=side.now) == []


def test_one_digest_is_asked_for_at_two_peers_at_once_and_not_at_more() -> None:
    side = Side(6)
    asked = [each for name in side.names[1:] for each in side.hears(name, SOME)]
    assert len(asked) == MAX_PER_DIGEST


def test_who_brings_nothing_is_asked_more_and_more_seldom() -> None:
    side = Side()
    gap_s = 0.0
    for turn in range(9):
        digest = bytes([turn]) * 8
        if gap_s:
            assert side.hears("n1", digest, after_s=gap_s - 0.01) == []
        assert len(side.hears("n1", digest, after_s=0.02)) == 1
        side.answers("n1", side.nothing())
        gap_s = min(MAX_GAP_S, max(GAP_S, 2 * gap_s))
    assert gap_s == MAX_GAP_S


def test_who_brings_something_is_asked_again_soon_and_a_digest_of_our_past_never() -> None:
    side = Side()
    for version in (1, 2, 3):
        before = side.mesh.charter.digest
        assert len(side.hears("n1", bytes([version]) * 8, after_s=FRUITFUL_GAP_S)) == 1
        side.answers("n1", side.document(version))
        assert side.mesh.charter.digest != before
        assert side.hears("n2", before) == []
    assert side.mesh.charter.policy is not None
    assert side.mesh.charter.policy.document.version == 3


def test_an_exchange_that_fails_or_is_refused_is_over_and_leaves_what_was_held() -> None:
    side = Side()
    side.hears("n1", SOME)
    side.pulling.failed(side.peer("n1"))
    assert len(side.hears("n1", SOME, after_s=GAP_S)) == 1
    side.refuses("n1")
    assert side.mesh.charter.digest == b""
    assert len(side.hears("n1", SOME, after_s=MAX_GAP_S)) == 1


def test_members_of_an_older_release_are_not_told() -> None:
    side = Side()
    side.are_old("n1", "n3")
    side.hears("n2", SOME)
    side.answers("n2", side.document(1))
    effects, _ = side.pulling.handle_timer(now=side.now)
    assert [each.target for each in effects if isinstance(each, SendMessages)] == [side.peer("n2")]


def test_an_older_seed_has_nothing_to_tell_and_a_newcomer_waits_for_one_that_has() -> None:
    side = Side()
    side.are_old("n1", "n3")
    side.pulling.synced = False
    assert len(side.pulling.meets(side.peer("n1"), (), now=side.now)) == 1
    side.refuses("n1")
    assert not side.pulling.synced
    side.now += JOIN_RETRY_S
    _, (asked,) = side.pulling.handle_timer(now=side.now)
    assert isinstance(asked, Exchange)
    assert asked.target == side.peer("n2")
    side.answers("n2", side.nothing())
    assert side.pulling.synced


def test_among_older_members_only_a_newcomer_waits_no_longer_than_it_takes_to_know_them() -> None:
    side = Side()
    side.are_old("n1", "n2", "n3")
    side.pulling.synced = False
    side.pulling.meets(side.peer("n1"), (), now=side.now)
    side.refuses("n1")
    side.now += JOIN_RETRY_S
    assert side.pulling.handle_timer(now=side.now) == ([], [])
    assert side.pulling.synced
    assert side.pulling.deadline == math.inf

"""Rollouts in a mesh of a hundred nodes, driven together without a network."""

from __future__ import annotations

from random import Random

import pytest

from gossipmesh.model import NodeId
from gossipmesh.policy.document import Stage, new_document
from gossipmesh.policy.rollout import (
    TAG_BYTES,
    Enforce,
    Measured,
    Report,
    Rollout,
    Verdict,
    Voter,
)

TEXT = 'default = "allow"'
OLD = new_document(1, TEXT, signed_at=1)
DOCUMENT = new_document(
    2, TEXT, signed_at=2, before=OLD, stages=(Stage(200, 60), Stage(500, 60)), return_to=OLD.hash
)
NODES = [NodeId(number.to_bytes(32, "big")) for number in range(100)]
WELL = Measured(before=1_000, before_failed=10, since=1_000, since_failed=12)
BADLY = Measured(before=1_000, before_failed=10, since=100, since_failed=30)


class Mesh:
    """A hundred nodes; each hears of each report some seconds late, by its own dice."""

    def __init__(self, rng: Random, *, tokens: int = 4) -> None:
        self.rng = rng
        self.now = 0.0
        self.token = {node: b"token-%d" % (index % tokens) for index, node in enumerate(NODES)}
        self.nodes = {node: Rollout(DOCUMENT, node, token, now=0.0) for node, token in self.token.items()}
        self.board = {node: machine.report for node, machine in self.nodes.items()}
        self.heard = {node: dict(self.board) for node in self.nodes}
        self.bad: set[NodeId] = set()
        """Nodes at which the new document does harm."""

    def step(self, seconds: float) -> None:
        self.now += seconds
        for node, machine in self.nodes.items():
            heard = self.heard[node]
            for other in self.nodes:
                if self.rng.random() < 0.3:
                    heard[other] = self.board[other]
            harmed = node in self.bad and machine.enforced == DOCUMENT.hash
            voters = [Voter(other, self.token[other], heard[other]) for other in self.nodes if other != node]
            machine.count(voters, BADLY if harmed else WELL, now=self.now)
            self.board[node] = machine.report

    def run(self, seconds: int) -> None:
        for _ in range(seconds // 5):
            self.step(5.0)

    @property
    def verdicts(self) -> set[Verdict]:
        return {machine.report.verdict for machine in self.nodes.values()}

    @property
    def share(self) -> float:
        return sum(each.enforced == DOCUMENT.hash for each in self.nodes.values()) / len(self.nodes)


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_nodes_take_a_good_document_in_stages(seed: int) -> None:
    mesh = Mesh(Random(seed))
    shares = []
    for _ in range(60):
        mesh.step(5.0)
        shares.append(mesh.share)
    assert shares == sorted(shares)
    assert max(shares[:11]) < 0.35
    assert mesh.verdicts == {Verdict.DONE}
    assert mesh.share == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_nodes_return_from_a_bad_document_and_most_never_took_it(seed: int) -> None:
    mesh = Mesh(Random(seed))
    mesh.bad = set(NODES)
    worst = 0.0
    for _ in range(30):
        mesh.step(5.0)
        worst = max(worst, mesh.share)
    assert mesh.verdicts == {Verdict.RETURNED}
    assert mesh.share == 0.0
    assert worst < 0.35


@pytest.mark.parametrize("seed", range(3))
def test_a_document_that_harms_from_the_second_stage_on_is_returned_from_everywhere(seed: int) -> None:
    mesh = Mesh(Random(seed))
    mesh.run(65)
    mesh.bad = set(NODES)
    mesh.run(120)
    assert mesh.verdicts == {Verdict.RETURNED}


def test_who_joins_after_a_return_does_not_begin_anew() -> None:
    mesh = Mesh(Random(1))
    mesh.bad = set(NODES)
    mesh.run(100)
    strangers = (NodeId(number.to_bytes(32, "big")) for number in range(100, 200))
    newcomers = (Rollout(DOCUMENT, node, b"token-1", now=0.0) for node in strangers)
    newcomer = next(each for each in newcomers if each.enforced == DOCUMENT.hash)
    others = [Voter(node, mesh.token[node], said) for node, said in mesh.board.items()]
    assert newcomer.count(others, WELL, now=0.0)[0] == Enforce(OLD.hash)
    assert newcomer.report.verdict is Verdict.RETURNED


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.RETURNED])
def test_all_members_of_one_stolen_token_cannot_return_a_hundred_nodes(verdict: Verdict) -> None:
    mesh = Mesh(Random(7))
    liars = {node for node, token in mesh.token.items() if token == b"token-0"}
    for _ in range(60):
        mesh.step(5.0)
        mesh.board.update({node: Report(2, DOCUMENT.hash[:TAG_BYTES], 0, verdict) for node in liars})
    honest = [machine for node, machine in mesh.nodes.items() if node not in liars]
    assert Verdict.RETURNED not in {machine.report.verdict for machine in honest}

"""Whatever happens to a few nodes: after it is over, every view is equal to the truth."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.world import World

MAX_NODES = 5
CALM_S = 150.0
"""Longest way back: a reconnect within 30 s each way, then the longest suspicion of those that are really down."""


class Histories(RuleBasedStateMachine):
    """Joins, crashes, losses of state, departures and cuts in any order."""

    @initialize(seed=st.integers(0, 2**32 - 1), loss=st.sampled_from([0.0, 0.05]))
    def begin(self, seed: int, loss: float) -> None:
        self.world = World(seed, loss=loss)
        self.world.add("n0", seeds=["n0"])
        self.down: set[str] = set()
        self.former: set[NodeId] = set()
        self.leaving: set[str] = set()

    def pick(self, names: set[str], data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(names)))

    @property
    def up(self) -> set[str]:
        return {node.name for node in self.world.up} - self.leaving

    @precondition(lambda self: len(self.world.nodes) < MAX_NODES)
    @rule()
    def join(self) -> None:
        names = [*self.world.nodes]
        self.world.add(f"n{len(names)}", seeds=names)

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        name = self.pick(self.up, data)
        self.world.crash(name)
        self.down.add(name)

    @precondition(lambda self: self.down)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        name = self.pick(self.down, data)
        self.world.start(name)
        self.down.discard(name)

    @precondition(lambda self: self.down)
    @rule(data=st.data())
    def restart_without_its_state(self, data: st.DataObject) -> None:
        name = self.pick(self.down, data)
        self.former.add(self.world.nodes[name].key.id)
        self.world.restart_with_lost_state(name)
        self.down.discard(name)

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = self.pick(self.up, data)
        self.world.leave(name)
        self.world.run(1.5)
        self.down.add(name)

    @precondition(lambda self: len(self.world.nodes) > 1)
    @rule(data=st.data(), one_way=st.booleans())
    def cut(self, data: st.DataObject, one_way: bool) -> None:
        names = set(self.world.nodes)
        here = self.pick(names, data)
        there = data.draw(st.sets(st.sampled_from(sorted(names - {here})), min_size=1))
        self.world.cut([here], there, one_way=one_way)

    @rule()
    def heal(self) -> None:
        self.world.heal()

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 20.0]))
    def run(self, seconds: float) -> None:
        self.world.run(seconds)

    def views_are_true(self) -> bool:
        world = self.world
        living = {node.key.id for node in world.up}
        for node in world.up:
            believed = {m.id for m in node.running.members.values() if m.living}
            suspects = [m for m in node.running.members.values() if m.state is MemberState.SUSPECT]
            if believed != living - {node.key.id} or suspects:
                return False
        return True

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.heal()
        self.world.network.loss = 0.0
        self.world.run_until(self.views_are_true, within=CALM_S)
        self.world.run(20)
        assert self.views_are_true(), f"seed {self.world.seed}: {self.world.describe()}"


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

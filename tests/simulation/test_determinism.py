"""The same seed gives the same run, whatever the process's own dice."""

from __future__ import annotations

import subprocess
import sys

from gossipmesh.sim.world import World

SCRIPT = """
from gossipmesh.sim.world import World
world = World(5, loss=0.1)
world.add("n0")
for i in range(1, 6):
    world.add(f"n{i}", seeds=["n0"])
world.run(10)
world.crash("n3")
world.run(10)
print([(n.name, n.sent, n.sent_bytes, n.exchanges, n.changes) for n in world.nodes.values()])
"""


def run(seed: int) -> list[object]:
    world = World(seed, loss=0.1)
    world.add("n0")
    for i in range(1, 5):
        world.add(f"n{i}", seeds=["n0"])
    world.run(10)
    world.crash("n3")
    world.cut(["n0"], ["n1"])
    world.run(30)
    world.heal()
    world.start("n3")
    world.run(30)
    return [(n.name, n.changes, n.sent, n.sent_bytes, n.refused) for n in world.nodes.values()]


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(1) == run(1)
    assert run(1) != run(2)


def test_hash_randomization_does_not_change_a_run() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1


FAULTS = """
from gossipmesh.sim.world import World
world = World(5)
names = world.populate(10)
world.crash("n3", silent=True)
world.partition(names[:5], names[5:8])
world.slow(["n1", "n2"], blocked_s=3, free_s=0.1, lasting_s=15)
world.lose(0.2)
world.duplicate(0.1)
world.delay((0.0, 0.05), names=["n4"])
world.at(5.0, lambda: world.bounce("n6", down_s=1, lost_state=True, new_address=True))
world.at(8.0, lambda: world.stall("n7", 4))
world.run(25)
world.repair()
world.lose(0)
world.run(30)
nodes = world.nodes.values()
print([(n.name, n.traffic, list(n.changes), list(n.rotations), sorted(n.refused.items())) for n in nodes])
print(sorted(world.coverage.items()), world.history.lines, world.wrong_views())
"""


def test_hash_randomization_does_not_change_a_run_with_every_fault() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", FAULTS],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1

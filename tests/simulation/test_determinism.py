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

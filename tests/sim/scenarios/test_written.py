from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gossipmesh.sim.scenarios.file import FAULTS
from gossipmesh.sim.scenarios.plan import Outcome

Play = Callable[..., Outcome]
EXAMPLE = Path(__file__).parents[3] / "examples" / "simulation" / "two-rooms.toml"

EVERYTHING = """
nodes = 8
duration = "60s"
fault = [
    {at = "1s", do = "partition", groups = [["n0-n3"], ["n4-n7"]]},
    {at = "3s", do = "repair"},
    {at = "4s", do = "cut", from = ["n0"], to = ["n1"], one_way = true},
    {at = "6s", do = "heal"},
    {at = "7s", do = "hold", nodes = ["n2"]},
    {at = "8s", do = "release", nodes = ["n2"]},
    {at = "9s", do = "slow", nodes = ["n3"], blocked = "2s", free = "500ms", for = "5s"},
    {at = "15s", do = "stall", nodes = ["n4"], for = "2s"},
    {at = "18s", do = "crash", nodes = ["n5"], silent = true},
    {at = "18s", do = "crash", nodes = ["n5"]},
    {at = "30s", do = "start", nodes = ["n5", "n6"]},
    {at = "32s", do = "bounce", nodes = ["n6"], for = "2s", new_address = true},
    {at = "36s", do = "drain", nodes = ["n1"]},
    {at = "37s", do = "lose", share = 0.2},
    {at = "38s", do = "lose", share = 0},
    {at = "39s", do = "duplicate", share = 0.5},
    {at = "40s", do = "duplicate", share = 0},
    {at = "41s", do = "delay", between = ["1ms", "20ms"], nodes = ["n1"]},
    {at = "42s", do = "delay", between = ["0ms", "0ms"]},
    {at = "43s", do = "skew", nodes = ["n2"], by = "-20s"},
    {at = "45s", do = "leave", nodes = ["n7"]},
]
[expect]
complete_within = "90s"
false_positives = 0
exercised = ["suspected", "died", "came-back", "left", "held", "stalled", "lost", "duplicate"]
"""


def test_every_fault_can_be_written_down(holds: Play, tmp_path: Path) -> None:
    file = tmp_path / "everything.toml"
    file.write_text(EVERYTHING)
    assert all(f'do = "{name}"' in EVERYTHING for name in FAULTS)
    assert "healed_s" in holds(str(file)).figures


def test_the_example_holds(holds: Play) -> None:
    assert holds(str(EXAMPLE)).coverage["reconnect"] > 0


def test_what_is_expected_and_did_not_come_is_a_failure(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('nodes = 3\nduration = "5s"\n[expect]\nexercised = ["died"]\n')
    assert "the run exercised no died" in play(str(file)).failure


def test_a_mesh_that_cannot_agree_in_time_is_a_failure(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    crash = '[[fault]]\nat = "4s"\ndo = "crash"\nnodes = ["n1"]\n'
    file.write_text(f'nodes = 4\nduration = "5s"\n{crash}[expect]\ncomplete_within = "100ms"\n')
    failure = play(str(file)).failure
    assert failure.startswith("seed 1, t=")
    assert "n1: crashes" in failure


def test_a_member_whose_clock_says_that_its_chain_is_not_valid_yet_stays_down(
    holds: Play, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("""
        nodes = 3
        duration = "5s"
        fault = [
            {at = "1s", do = "skew", nodes = ["n1"], by = "-24h"},
            {at = "2s", do = "crash", nodes = ["n1"]},
            {at = "3s", do = "start", nodes = ["n1"]},
        ]
        [expect]
        complete_within = "60s"
        exercised = ["died"]
    """)
    assert "healed_s" in holds(str(file)).figures

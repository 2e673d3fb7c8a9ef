from __future__ import annotations

from attrs import evolve

from gossipmesh.membership.parameters import LAN, PROFILES
from gossipmesh.sim.scenarios.plan import Plan, command_of

SLOW = Plan("slow", 16, profile="local", lifeguard=False, loss=0.1, slow_members=4, duration_s=90.0)


def test_the_command_says_everything_that_was_not_left_to_the_scenario() -> None:
    assert SLOW.command(seeds=3, first=7) == (
        "gossipmesh sim --scenario slow --nodes 16 --seeds 3 --seed 7 --profile local --lifeguard off "
        "--loss 0.1 --slow-members 4 --duration 90s"
    )
    assert Plan("crash", 8).command(seeds=1, first=1) == "gossipmesh sim --scenario crash --nodes 8 --seeds 1"


def test_the_command_says_numbers_to_the_last_digit() -> None:
    plan = Plan("loss", 8, loss=0.9999999, duration_s=1234.5678)
    assert plan.command(seeds=1, first=1).endswith(" --loss 0.9999999 --duration 1234.5678s")


def test_plans_that_differ_in_a_number_are_one_command() -> None:
    plans = [Plan("crash", nodes) for nodes in (8, 16)]
    assert command_of(plans, seeds=1, first=1) == "gossipmesh sim --scenario crash --nodes 8,16 --seeds 1"


def test_lifeguard_off_is_plain_swim() -> None:
    assert SLOW.parameters.awareness_max == 0
    assert evolve(SLOW, lifeguard=True).parameters == PROFILES["local"]


def test_an_experiment_brings_numbers_of_its_own() -> None:
    numbers = evolve(LAN, buddy=False)
    assert evolve(SLOW, numbers=numbers).parameters == numbers

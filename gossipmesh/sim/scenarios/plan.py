"""What is to be run, and what came out of one run: values that cross between processes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from gossipmesh.config.durations import format_duration
from gossipmesh.membership.parameters import PROFILES, Parameters, without_lifeguard
from gossipmesh.sim.scenarios.file import ScenarioFile


@frozen
class Plan:
    """One scenario with its numbers; with a seed it says a run to the last packet.

    None is for what the scenario itself decides.
    """

    scenario: str
    nodes: int
    profile: str = "lan"
    lifeguard: bool = True
    loss: float | None = None
    """The share of datagrams that are lost, 0 to 1."""
    slow_members: int | None = None
    duration_s: float | None = None
    """How long the scenario's trouble lasts, in virtual seconds."""
    file: ScenarioFile | None = None
    input_first: bool = True
    """Off only to show why a daemon reads what came in before it looks at the clock."""
    numbers: Parameters | None = None
    """Instead of the profile's: for experiments with one mechanism off, for which no command line asks."""

    @property
    def parameters(self) -> Parameters:
        """The numbers that all nodes run by."""
        if self.numbers is not None:
            return self.numbers
        parameters = PROFILES[self.profile]
        return parameters if self.lifeguard else without_lifeguard(parameters)

    def command(self, *, seeds: int, first: int) -> str:
        """Give the command line that runs this again with these seeds."""
        return command_of([self], seeds=seeds, first=first)


def command_of(plans: Sequence[Plan], *, seeds: int, first: int) -> str:
    """Give the command line that runs plans again that differ in nodes or slow members only.

    Args:
        plans: at least one.
        seeds: how many runs of each.
        first: the seed of the first one.
    """
    plan, file = plans[0], plans[0].file
    words = ["gossipmesh", "sim", "--scenario", plan.scenario]
    if file is None:
        words += ["--nodes", _several(each.nodes for each in plans)]
    words += ["--seeds", str(seeds)]
    if first != 1:
        words += ["--seed", str(first)]
    if plan.profile != ("lan" if file is None else file.profile):
        words += ["--profile", plan.profile]
    if plan.lifeguard != (True if file is None else file.lifeguard):
        words += ["--lifeguard", "on" if plan.lifeguard else "off"]
    if plan.loss is not None:
        words += ["--loss", repr(plan.loss)]
    if plan.slow_members is not None:
        words += ["--slow-members", _several(each.slow_members for each in plans)]
    if plan.duration_s is not None and file is None:
        words += ["--duration", format_duration(plan.duration_s)]
    return shlex.join(words)


def _several(numbers: Iterable[int | None]) -> str:
    return ",".join(str(each) for each in dict.fromkeys(numbers))


@frozen
class Outcome:
    """What one run gave.

    ``figures`` are seconds or rates, by the names of the JSON document; a figure that the scenario does not
    measure, or that the run did not live to see, is missing. ``counts`` are events. ``curve`` has, in ascending
    order, how many seconds after the change one more node knew of it, and ``knowers`` how many had to.
    """

    seed: int
    figures: Mapping[str, float]
    counts: Mapping[str, int]
    curve: tuple[float, ...] = field(default=(), repr=False)
    knowers: int = 0
    coverage: Mapping[str, int] = field(factory=dict, repr=False)
    virtual_s: float = 0.0
    wall_s: float = 0.0
    failure: str = ""
    """What broke, with seed, time and the last events; empty where everything held."""

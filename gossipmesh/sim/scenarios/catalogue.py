"""All scenarios by name, with the numbers that each starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from gossipmesh.config.durations import format_duration
from gossipmesh.errors import ConfigError
from gossipmesh.sim.scenarios.failures import (
    STALL_S,
    churn,
    crash,
    power_cut,
    rolling_restart,
    stall,
)
from gossipmesh.sim.scenarios.file import (
    MAX_DURATION_S,
    MAX_FILE_BYTES,
    MAX_NODES,
    ScenarioFile,
    nearest,
    read_scenario_untrusted,
)
from gossipmesh.sim.scenarios.malice import forge, liar
from gossipmesh.sim.scenarios.news import idle, join_storm, update
from gossipmesh.sim.scenarios.paths import asymmetric, flap, loss, partition
from gossipmesh.sim.scenarios.plan import Plan
from gossipmesh.sim.scenarios.run import Run
from gossipmesh.sim.scenarios.slowness import lifeguard, slow

DEFAULT_NODES: Final = 32


@frozen
class Scenario:
    """One thing that can happen to a mesh, and what must hold then. ``play`` says both in its docstring."""

    name: str
    play: Callable[[Run], None]
    duration_s: float | None = None
    """How long the trouble lasts where nobody says otherwise; None: it takes as long as it takes."""
    loss: float = 0.0
    slow_members: int | None = None
    """How many members are slow where nobody says otherwise; None: none ever is."""
    crypto: str = "shared"
    """``real`` where forgers or new keys are the point."""
    least_nodes: int = 2
    least_s: float = 0.0
    """How long the trouble has to last for the claims to be ones: in half of it, `lifeguard` finds a crash."""

    @property
    def summary(self) -> str:
        """The first line of what it says of itself."""
        return (self.play.__doc__ or "").partition("\n")[0]


SCENARIOS: Final[dict[str, Scenario]] = {
    each.name: each
    for each in (
        Scenario("crash", crash),
        Scenario("update", update),
        Scenario("join-storm", join_storm),
        Scenario("slow", slow, duration_s=120.0, slow_members=4),
        Scenario("lifeguard", lifeguard, duration_s=120.0, slow_members=4, least_nodes=4, least_s=60.0),
        Scenario("loss", loss, duration_s=600.0, loss=0.1, least_nodes=3),
        Scenario("partition", partition, duration_s=60.0, least_nodes=4),
        Scenario("asymmetric", asymmetric, duration_s=60.0),
        Scenario("flap", flap, duration_s=120.0, least_nodes=3),
        Scenario("churn", churn, duration_s=120.0, least_nodes=4),
        Scenario("rolling-restart", rolling_restart, least_nodes=3),
        Scenario("stall", stall, duration_s=STALL_S, least_nodes=3),
        Scenario("power-cut", power_cut, crypto="real"),
        Scenario("liar", liar, duration_s=60.0, least_nodes=4),
        Scenario("forge", forge, duration_s=30.0, crypto="real", least_nodes=3),
        Scenario("idle", idle, duration_s=60.0),
    )
}


def plan_of(
    scenario: str,
    *,
    nodes: int | None,
    profile: str | None,
    lifeguard: bool | None,
    loss: float | None,
    slow_members: int | None,
    duration_s: float | None,
) -> Plan:
    """Give the plan that a command line asks for; None leaves a number to the scenario.

    Args:
        scenario: a name of :data:`SCENARIOS`, or the path of a file.
        nodes: how many.
        profile: of the parameters.
        lifeguard: off for plain SWIM.
        loss: the share of datagrams that are lost, 0 to 1.
        slow_members: how many are slow.
        duration_s: virtual seconds.

    Raises:
        ConfigError: ``scenario.unknown``; ``scenario.file``; ``scenario.option``: a number does not fit.
    """
    if loss is not None and not 0 <= loss <= 1:
        raise _misfit(f"--loss {loss:g}: it is a share from 0 to 1")
    known = SCENARIOS.get(scenario)
    if known is None:
        file = _read_file(scenario)
        for value, option in (
            (nodes, "--nodes"),
            (duration_s, "--duration"),
            (slow_members, "--slow-members"),
        ):
            if value is not None:
                raise _misfit(f"{option}: {scenario} says it itself")
        return Plan(
            scenario,
            file.nodes,
            profile=profile or file.profile,
            lifeguard=file.lifeguard if lifeguard is None else lifeguard,
            loss=loss,
            duration_s=file.duration_s,
            file=file,
        )
    if known.duration_s is None and duration_s is not None:
        raise _misfit(f"--duration: {scenario} takes as long as it takes")
    if known.slow_members is None and slow_members is not None:
        raise _misfit(f"--slow-members: nobody is slow in {scenario}")
    nodes = DEFAULT_NODES if nodes is None else nodes
    if not known.least_nodes <= nodes <= MAX_NODES:
        raise _misfit(f"--nodes {nodes}: {scenario} takes {known.least_nodes} to {MAX_NODES}")
    if slow_members is not None and slow_members >= nodes:
        raise _misfit(f"--slow-members {slow_members}: somebody of {nodes} has to be well")
    if duration_s is not None and not 0 < duration_s <= MAX_DURATION_S:
        raise _misfit(f"--duration: more than 0, and at most {format_duration(MAX_DURATION_S)}")
    if duration_s is not None and duration_s < known.least_s:
        raise _misfit(f"--duration: at least {format_duration(known.least_s)} in {scenario}")
    slow_by_default = None if known.slow_members is None else min(known.slow_members, nodes - 1)
    return Plan(
        scenario,
        nodes,
        profile=profile or "lan",
        lifeguard=lifeguard is not False,
        loss=loss,
        slow_members=slow_by_default if slow_members is None else slow_members,
        duration_s=known.duration_s if duration_s is None else duration_s,
    )


def _read_file(name: str) -> ScenarioFile:
    """Give the scenario of a file; a word that is no path was meant as a scenario's name."""
    path = Path(name)
    if not name or (path.suffix != ".toml" and not path.exists()):
        hint = nearest(name, SCENARIOS)
        raise ConfigError("scenario.unknown", f"there is no scenario {name!r}; {hint}")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError("scenario.file", f"{name}: {error.strerror}") from None
    return read_scenario_untrusted(data, name)


def _misfit(text: str) -> ConfigError:
    return ConfigError("scenario.option", text)

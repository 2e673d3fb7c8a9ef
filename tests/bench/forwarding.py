"""Measure forwarding of HTTP beside other proxies, all in one run. Run with ``make bench``.

    python forwarding.py [--quick] [--rounds N] [--seconds S] [--only WORD] [--contenders a,b]
                         [--json FILE] [--plot FILE]

What is measured has one core and everything else another. Contenders take turns, round by round, each started anew;
every figure is the median of the rounds (``least``: the least), failures are added up. Processor time per request is
the figure to compare: it suffers least from what else a machine does. All send the same bytes: wrk.lua says what a
head has.

On a machine that does other work too, root can go before it, in a session of its own since those are weighed first:

    setsid -w sh -c 'echo -19 > /proc/self/autogroup; exec nice -n -15 python forwarding.py'
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cores import MEASURED, OTHERS
from forwarders import FORWARDERS, HERE, Forwarder, NotForwarding, Running, said_version
from loads import LOADS, WRK, Load, Requests, Stream
from probes import Probes
from ranking import Ranking

WARM: Final = Requests("warm-up")
QUICK: Final[tuple[Load, ...]] = (*LOADS[:3], LOADS[5], LOADS[7], Stream("1 GiB stream", seconds=1.0))


@contextmanager
def app() -> Iterator[int]:
    """Run the app; give its port."""
    process = subprocess.Popen([sys.executable, str(HERE / "upstream.py")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def measure(
    running: Running, name: str, loads: list[Load], seconds: float, ranking: Ranking, probes: Probes
) -> None:
    """Put one contender under all loads, once."""
    WARM.measure(running, min(1.0, seconds))
    before = probes.snapshot(running)
    for load in loads:
        print(f"  {name}: {load.name}", file=sys.stderr, flush=True)
        try:
            ranking.add(load.name, load.unit, name, load.measure(running, seconds))
        except (OSError, subprocess.SubprocessError) as error:
            ranking.remarks.append(f"failed: {name}, {load.name}: {error}")
        if isinstance(load, Requests) and load.connections > 1:
            probes.count(name, running, before)
        before = probes.snapshot(running)
    probes.end(name, running)


def choose(options: argparse.Namespace) -> tuple[list[Forwarder], list[Load]]:
    names = options.contenders.split(",") if options.contenders else [each.name for each in FORWARDERS]
    unknown = set(names) - {each.name for each in FORWARDERS}
    loads = [each for each in (QUICK if options.quick else LOADS) if options.only in each.name]
    if unknown or not loads:
        known = ", ".join(each.name for each in FORWARDERS)
        raise SystemExit(f"contenders are {known}; loads are:\n" + "\n".join(each.name for each in LOADS))
    return [each for each in FORWARDERS if each.name in names], loads


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure forwarding beside other proxies.")
    parser.add_argument("--quick", action="store_true", help="one round of short loads, about 90 s")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each load of requests; wrk takes whole ones")
    parser.add_argument("--only", default="", metavar="WORD", help="loads whose name has this in it")
    parser.add_argument("--contenders", default="", metavar="A,B")
    parser.add_argument("--json", type=Path, default=Path("forwarding.json"))
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    chosen, loads = choose(options)
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1.0 if options.quick else 2.0)

    versions = {each.name: each.version() for each in chosen}
    asking = said_version("wrk", "-v") if WRK else "load.py"
    ranking = Ranking(
        {each.name: f"{versions[each.name]}, {each.is_about}" for each in chosen if versions[each.name]},
        f"{asking} and upstream.py on core {OTHERS}, what is measured on core {MEASURED}; {rounds} x {seconds:g} s",
        [f"left out: {name} is not here" for name, version in versions.items() if not version],
    )
    if MEASURED == OTHERS:
        ranking.remarks.append("only one core: the load and the app took their part of it")
    os.sched_setaffinity(0, {OTHERS})
    probes = Probes()
    with app() as to:
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for each in chosen:
                if versions[each.name]:
                    try:
                        with each.running(to) as running:
                            measure(running, each.name, loads, seconds, ranking, probes)
                    except (NotForwarding, AssertionError) as error:
                        ranking.remarks.append(f"failed: {each.name}: {error}")
    ranking.remarks += probes.rows()
    print(ranking.table())
    options.json.write_text(ranking.as_json() + "\n")
    print(f"\nsamples are in {options.json}")
    if options.plot:
        ranking.plot(options.plot)


if __name__ == "__main__":
    main()

"""Measure what callers see of kills, restarts and freezes, beside HAProxy, in one run: ``make bench-failover``.

    python failover.py [--rounds N] [--seconds S] [--only EVENT] [--contenders a,b] [--seed N] [--json FILE] [--storm]

Three endpoints, each an app with its daemon, and a caller's daemon: 200 GET/s and 20 POST/s, sent when they are due
(openloop.py), for answers of 16 bytes, of 1 MiB (3 % of the GETs) and after 100 ms (10 %). Events come as the seed says
(failover_events.py). Contenders take turns, each started anew; daemons run in their default configuration. Percentiles
are of the 16-byte answers without the 100 ms.

What runs is compiled before, as it is where a package was installed: the restarts are measured.

``--storm`` asks apps that fail everything, over one hop and over two, and counts what reaches them per request.
"""

from __future__ import annotations

import argparse
import compileall
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import gossipmesh
import storm
from cells import table
from failover_events import Happened, Kind, length_s, perform, plan
from failover_figures import COLUMNS, Figures, Row, columns, percentile, quiet, tell_of
from failover_sites import CONTENDERS, ENDPOINTS, Contender
from forwarders import HERE, NotForwarding

QUIET_S: Final = 5.0
TAIL_S: Final = 2.0
"""The load goes on for so long behind the last event."""
Results = dict[str, dict[str, Figures]]
"""By contender, then by event."""
QUIET: Final = "quiet"


def load(address: str, out: Path, seconds: float, seed: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "openloop.py"), address, str(out), "--seconds", f"{seconds:.2f}"]
    return subprocess.Popen([*command, "--seed", str(seed), *more], stdin=subprocess.DEVNULL)


def measure(
    contender: Contender, kinds: list[Kind], seconds: float, seed: int, results: dict[str, Figures]
) -> Any:
    """Put one contender through all events, once; give how late requests were sent, p99 and most, in seconds."""
    planned = plan(seed, seconds, kinds, ENDPOINTS)
    with tempfile.TemporaryDirectory() as home, contender.site() as site:
        out = Path(home) / "rows"
        asking = load(site.address, out, QUIET_S + length_s(planned) + TAIL_S, seed)
        happened: list[Happened] = []
        try:
            begin = time.monotonic() + QUIET_S
            for event in planned:
                time.sleep(max(0.0, begin + event.at - time.monotonic()))
                if happened:
                    happened[-1].ended = time.monotonic()
                print(
                    f"  {contender.name}: {event.kind.value} {event.target + 1}", file=sys.stderr, flush=True
                )
                happened.append(perform(site, event))
            if asking.wait(60.0):
                raise NotForwarding("the load ended with an error")
        except (NotForwarding, AssertionError) as error:
            raise NotForwarding(f"{error}\n{site.said()}") from None
        finally:
            asking.kill()
            asking.wait()
        rows: list[Row] = [json.loads(line) for line in out.read_text().splitlines()]
        done = (line.split(" ") for line in site.processed())
        processed = Counter(number for method, number in done if method == "POST")
    calm = quiet(rows, happened[0].began)
    results.setdefault(QUIET, Figures()).took += calm.took
    for name in ("gets", "failed", "cut", "posts", "lost"):
        setattr(results[QUIET], name, getattr(results[QUIET], name) + getattr(calm, name))
    for each in happened:
        tell_of(results.setdefault(each.kind.value, Figures()), each, rows, processed)
    late = [row["sent"] - row["due"] for row in rows]
    return percentile(late, 99), max(late)


def show(results: Results, kinds: list[Kind]) -> str:
    """Give the table, and the failures one by one."""
    rows = [
        columns(name, contender, found[name], found[QUIET])
        for name in (QUIET, *(kind.value for kind in kinds))
        for contender, found in results.items()
        if name in found
    ]
    told = [
        f"{contender}, {name}: {text}"
        for contender, found in results.items()
        for name, figures in found.items()
        for text in figures.told
    ]
    return "\n".join([table(list(COLUMNS), rows), *(["", *told] if told else [])])


def options_of() -> argparse.Namespace:
    names, events = [each.name for each in CONTENDERS], [each.value for each in Kind]
    parser = argparse.ArgumentParser(description="Measure failover beside HAProxy.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=40.0, help="of events, in each round")
    parser.add_argument("--only", default="", metavar="EVENT", help=f"some of {','.join(events)}")
    parser.add_argument("--contenders", default="", metavar="A,B", help=f"some of {','.join(names)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("failover.json"))
    parser.add_argument("--storm", action="store_true", help="only count what failing apps are asked")
    options = parser.parse_args()
    options.events = [Kind(each) for each in options.only.split(",") if each in events] or list(Kind)
    options.chosen = [
        each for each in CONTENDERS if not options.contenders or each.name in options.contenders.split(",")
    ]
    if not options.chosen or (options.only and set(options.only.split(",")) - set(events)):
        parser.error(f"events are {', '.join(events)}; contenders are {', '.join(names)}")
    return options


def main() -> None:
    options = options_of()
    compileall.compile_dir(str(Path(gossipmesh.__file__).parent), quiet=1)
    if options.storm:
        storm.main(options)
        return
    results: Results = {}
    remarks = []
    for number in range(options.rounds):
        print(
            f"round {number + 1} of {options.rounds}, seed {options.seed + number}",
            file=sys.stderr,
            flush=True,
        )
        for contender in options.chosen:
            if contender.version() is None:
                remarks.append(f"left out: {contender.name} is not here")
                continue
            kinds = [kind for kind in options.events if contender.has_daemons or kind is not Kind.STOP_DAEMON]
            if not kinds:
                continue
            found = results.setdefault(contender.name, {})
            try:
                late = measure(contender, kinds, options.seconds, options.seed + number, found)
            except (NotForwarding, AssertionError) as error:
                remarks.append(f"failed: {contender.name}: {error}")
            else:
                p99, most = (f"{each * 1e3:.1f} ms" for each in late)
                remarks.append(f"{contender.name}: requests left {p99} late at p99, {most} at most")
    results = {name: found for name, found in results.items() if found}
    print(show(results, options.events))
    print("\n".join(remarks))
    plain = {
        name: {event: each.as_json() for event, each in found.items()} for name, found in results.items()
    }
    options.json.write_text(json.dumps({"results": plain, "remarks": remarks}, indent=1) + "\n")
    print(f"\nfigures are in {options.json}")


if __name__ == "__main__":
    main()

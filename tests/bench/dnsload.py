"""What DNS answers and what it costs, alone and while the same daemon proxies: asked and got, by dnsperf.

    python dnsload.py [--seconds N] [--rounds N] [--rate N] [--json FILE]

Two daemons offer `hello`; the first one, alone on its core, answers in DNS and proxies. Everybody else shares another
core. What is asked: 5,000 answers a second per core with p99 under 5 ms, while proxying; and what proxying loses by
it is shown too. Requests come over two connections, one at a time on each. dnsperf goes first on its core, where it may
(as root), for it tells the times; loads are repeated, and of each the round with the median p99 counts. "Stolen" is how
much of the daemon's core the machine's host gave to others meanwhile. Run with ``make bench-dns``; needs dnsperf, and
wrk for the proxying.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from cells import table
from cores import MEASURED, OTHERS, cpu_s, first_of_all, pinned, stolen_s

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from harness import Mesh, Node, eventually, said

HERE: Final = Path(__file__).parent
QUESTIONS: Final = (
    "hello.mesh A",
    "hello.mesh AAAA",
    "_hello._tcp.mesh SRV",
    "hello.proxy.mesh A",
    "node-2.node.mesh A",
    "nobody.mesh A",
)
ASKED_PER_S: Final = 5_000
ASKED_P99_MS: Final = 5.0
_ROW: Final = re.compile(r"^> (\w+) \S+ \S+ ([0-9.]+)$", re.MULTILINE)
_LOST: Final = re.compile(r"Queries lost:\s+([0-9]+)")
_PER_S: Final = re.compile(r"Queries per second:\s+([0-9.]+)")


@frozen
class Row:
    """One load, and what came of it; NaN for what was not asked for."""

    load: str
    answers_per_s: float
    p50_ms: float
    p99_ms: float
    lost: int
    requests_per_s: float
    request_p99_ms: float
    core_share: float
    """What the daemon used of its core."""
    stolen_share: float
    """What the host took of it."""


@frozen
class Bench:
    """Two running daemons, and who asks the first."""

    node: Node
    questions: Path
    seconds: float

    def dnsperf(self, rate: int | None) -> subprocess.Popen[str]:
        host, _, port = self.node.listen("dns").rpartition(":")
        command = [
            "dnsperf",
            "-s",
            host,
            "-p",
            port,
            "-d",
            str(self.questions),
            "-W",
            "-v",
            "-c",
            "8",
            "-q",
            "50",
        ]
        command += ["-l", f"{self.seconds:.0f}", *(["-Q", str(rate)] if rate else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first_of_all(process.pid)
        return process

    def wrk(self) -> subprocess.Popen[str]:
        address = f"http://{self.node.listen('proxy')}"
        command = ["wrk", "-t1", "-c2", f"-d{self.seconds:.0f}s", "-s", str(HERE / "wrk.lua"), address]
        command += ["--", str(HERE), "varied", "s", "0", "keep"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def measure(self, load: str, *, rate: int | None = None, dns: bool = True, proxy: bool = False) -> Row:
        process = self.node.process
        assert process is not None
        nothing = float("nan")
        per_s = p50 = p99 = requests = request_p99 = nothing
        lost = 0
        before, stolen = cpu_s([process.pid]), stolen_s(MEASURED)
        asking = self.dnsperf(rate) if dns else None
        calling = self.wrk() if proxy else None
        if asking is not None:
            text, _ = asking.communicate(timeout=self.seconds + 30)
            latencies = [float(seconds) * 1e3 for _, seconds in _ROW.findall(text)]
            cuts = statistics.quantiles(latencies, n=100)
            p50, p99 = cuts[49], cuts[98]
            lost, per_s = int(_LOST.findall(text)[0]), float(_PER_S.findall(text)[0])
        if calling is not None:
            got = json.loads(calling.communicate(timeout=self.seconds + 30)[0].rpartition("JSON ")[2])
            requests, request_p99 = got["answered"] / got["took_s"], got["p99_us"] / 1e3
        used = (cpu_s([process.pid]) - before) / self.seconds
        stolen = (stolen_s(MEASURED) - stolen) / self.seconds
        return Row(load, per_s, p50, p99, lost, requests, request_p99, used, stolen)

    def median(
        self, rounds: int, load: str, *, rate: int | None = None, dns: bool = True, proxy: bool = False
    ) -> Row:
        """Give the round whose p99 is the median."""
        rows = [self.measure(load, rate=rate, dns=dns, proxy=proxy) for _ in range(rounds)]
        return sorted(rows, key=lambda row: row.p99_ms if dns else row.request_p99_ms)[rounds // 2]


def measured(seconds: float, rounds: int, rate: int) -> list[Row]:
    """Start everything, ask, and end it."""
    with tempfile.TemporaryDirectory() as directory, pinned(OTHERS):
        questions = Path(directory) / "questions"
        questions.write_text("\n".join(QUESTIONS) + "\n")
        app = subprocess.Popen(
            [sys.executable, str(HERE / "upstream.py")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        mesh = Mesh(said("init", f"{directory}/root"))
        try:
            assert app.stdout is not None
            port = int(app.stdout.readline())
            with pinned(MEASURED):
                node = mesh.node("node-1", services={"hello": port}).start()
            node.ready()
            mesh.node("node-2", join=node, services={"hello": port}).start().ready()
            eventually(lambda: node.healthy("hello") == 2)
            bench = Bench(node, questions, seconds)
            rows = [
                bench.median(rounds, f"{rate:,} questions a second", rate=rate),
                bench.median(rounds, "as many questions as it answers"),
            ]
            if shutil.which("wrk"):
                both = f"requests, and {rate:,} questions a second"
                rows.append(bench.median(rounds, "requests alone", dns=False, proxy=True))
                rows.append(bench.median(rounds, both, rate=rate, proxy=True))
            return rows
        finally:
            app.kill()
            app.communicate()
            mesh.close()


def main() -> int:
    """Measure, and print asked and got."""
    parser = argparse.ArgumentParser(description="DNS answers: how many, how soon, at what cost.")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=5, help="of each load")
    parser.add_argument(
        "--rate", type=int, default=ASKED_PER_S, help="questions a second, where they are limited"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if shutil.which("dnsperf") is None:
        print("dnsperf is not installed; it is in the package of that name", file=sys.stderr)
        return 1
    rows = measured(arguments.seconds, arguments.rounds, arguments.rate)
    heads = [
        "load",
        "answers/s",
        "p50 ms",
        "p99 ms",
        "lost",
        "requests/s",
        "their p99 ms",
        "of a core",
        "stolen",
    ]
    cells = [
        [
            row.load,
            f"{row.answers_per_s:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            str(row.lost),
            f"{row.requests_per_s:,.0f}",
            f"{row.request_p99_ms:.2f}",
            f"{row.core_share:.0%}",
            f"{row.stolen_share:.1%}",
        ]
        for row in rows
    ]
    print(table(heads, cells))
    last = rows[-1]
    verdict = "yes" if last.answers_per_s > 0.99 * arguments.rate and last.p99_ms < ASKED_P99_MS else "no"
    print(
        f"asked: {ASKED_PER_S:,} answers a second, p99 under {ASKED_P99_MS:g} ms, while proxying; "
        f"got: {last.answers_per_s:,.0f}, {last.p99_ms:.2f} ms: {verdict}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

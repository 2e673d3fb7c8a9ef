"""What the proxy's pure rules cost: CPU microseconds per call, heads that all differ, the best of many rounds.

    python tests/bench/rules.py [NAME]...

Each case is called once per head with its own path, query, id, cookie and trace, so that a memo of whole heads or
of their values gains nothing. The cost of the loop around it is taken off.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from random import Random
from typing import Final

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.config.model import LogConfig
from gossipmesh.daemon.telemetry.access_lines import JsonLines
from gossipmesh.daemon.telemetry.logs import AccessLog
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.policy.decision import Source
from gossipmesh.policy.rules import Kind, Policy, Rule, Subject
from gossipmesh.policy.seen import Seen
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.admission import judge
from gossipmesh.proxy.headers import (
    check_framing_untrusted,
    check_request_untrusted,
    request_to_app,
    request_to_mesh,
    response_to_caller,
    response_to_mesh,
    visits,
)
from gossipmesh.proxy.history import History
from gossipmesh.proxy.names import name_request
from gossipmesh.proxy.tracing import trace, trace_id_of
from gossipmesh.proxy.trailers import filter_trailers
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import DEFAULT
from gossipmesh.routing.upstreams import Upstream

HEADS: Final = 500
ROUNDS: Final = 60

Case = Callable[[int], object]


def request_head(number: int) -> Headers:
    """Give a request's nine headers, as an app of some size sends them."""
    dice = blake2b(b"%d" % number).hexdigest().encode()
    return (
        (b"Host", b"hello.mesh"),
        (b"User-Agent", b"python-httpx/0.27.2"),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"gzip, deflate, br"),
        (b"Accept-Language", b"en"),
        (b"Cookie", b"session=%b; theme=dark" % dice[:32]),
        (b"Authorization", b"Bearer %b" % dice[24:48]),
        (b"X-Request-Id", b"%b-2f9a-4d3e-8c1b-%b" % (dice[:8], dice[8:20])),
        (b"traceparent", b"00-%b-%b-01" % (dice[:32], dice[32:48])),
    )


def hop_head(number: int) -> Headers:
    """Give those headers as they come out of the mesh: thirteen."""
    return tuple(
        request_to_mesh(
            request_head(number),
            host=b"hello.mesh",
            version=b"1.1",
            via="web-1",
            caller="127.0.0.1",
            chunked=False,
        )
    )


def response_head(number: int) -> Headers:
    """Give a response's six headers."""
    return (
        (b"Date", b"Tue, 04 Mar 2025 10:00:%02d GMT" % (number % 60)),
        (b"Server", b"uvicorn"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % (number % 1_000)),
        (b"ETag", b'"%016x"' % number),
        (b"Cache-Control", b"no-store"),
    )


def report(number: int) -> RequestReport:
    """Give the report on a request that went well."""
    return RequestReport(
        direction=Direction.OUTBOUND,
        request_id=b"%08x-2f9a-4d3e-8c1b-%012x" % (number, number),
        trace_id=b"%032x" % number,
        source="web",
        service="hello",
        method="GET",
        path=b"/things/%d?q=1" % number,
        code=200,
        flag="",
        bytes_in=0,
        bytes_out=number % 1_000,
        duration_s=0.001 + number * 1.1e-7,
        attempts=1,
        endpoint="hello-1",
    )


def header_cases() -> dict[str, Case]:
    """Give the rules on headers."""
    heads = [request_head(number) for number in range(HEADS)]
    hops = [hop_head(number) for number in range(HEADS)]
    answers = [response_head(number) for number in range(HEADS)]
    targets = [b"/things/%d?q=%x" % (number, number * 7) for number in range(HEADS)]
    absolutes = [b"http://hello.mesh" + target for target in targets]
    return {
        "check_request": lambda n: check_request_untrusted(b"GET", b"1.1", heads[n]),
        "check_framing (13)": lambda n: check_framing_untrusted(hops[n], version=b"1.1"),
        "trace": lambda n: trace(heads[n], os.urandom),
        "trace_id_of (13)": lambda n: trace_id_of(hops[n]),
        "name_request": lambda n: name_request(b"GET", targets[n], b"hello.mesh", fixed=None),
        "name_request absolute": lambda n: name_request(b"GET", absolutes[n], b"hello.mesh", fixed=None),
        "visits": lambda n: visits(heads[n], "web-1"),
        "request_to_mesh": lambda n: request_to_mesh(
            heads[n], host=b"hello.mesh", version=b"1.1", via="web-1", caller="127.0.0.1", chunked=False
        ),
        "request_to_app": lambda n: request_to_app(hops[n], source="web", node="web-1"),
        "response_to_mesh": lambda n: response_to_mesh(answers[n], status=200),
        "response_to_caller": lambda n: response_to_caller(answers[n], status=200, via="web-1"),
        "filter_trailers ()": lambda n: filter_trailers(()),
    }


def routing_cases() -> dict[str, Case]:
    """Give the plan of one request that is answered, and its parts."""
    service = Service("hello", 8080)
    endpoints = tuple(
        Endpoint(f"n{index}", NodeId(bytes([40 * index + 9]) * 32), Address("10.0.0.1", 7946), service)
        for index in range(5)
    )
    snapshot = Snapshot(NodeId(bytes(32)), {"hello": endpoints})
    upstream = Upstream("hello", DEFAULT, origin=NodeId(bytes(32)), key=b"", rng=Random(1))
    balancer = upstream.balancer
    answered = AttemptOutcome(OutcomeKind.ANSWERED, status=200)
    node, services, groups = NodeId(b"w" * 32), frozenset({"web"}), frozenset[str]()

    def attempt(_: int) -> None:
        plan = Plan(snapshot, upstream, b"GET", max_attempts=3, now=1.0)
        plan.admit_now(now=1.0)
        plan.next_attempt(now=1.0)
        plan.record(answered, now=1.5)
        plan.over(now=1.5)

    web, seen = Source(node, "web", services, groups), Seen()
    default, hundred = Policy.of_default(True), hundred_rules()

    def noted(number: int) -> None:
        seen.note(web, "hello", b"GET", targets[number], allowed=True, now=1.0)

    anew = count()

    def noted_anew(_: int) -> None:
        target = b"/v1/orders/%d/items?page=2" % next(anew)
        seen.note(web, "hello", b"GET", target, allowed=True, now=1.0)

    targets = [b"/v1/orders/%d/items?page=2" % number for number in range(HEADS)]
    return {
        "plan, one attempt": attempt,
        "round robin": lambda _: balancer.pick(snapshot.eligible("hello"), now=1.0),
        "outcome": lambda _: AttemptOutcome(OutcomeKind.ANSWERED, status=200),
        "judged, no document": lambda n: judge(default, web, "hello", b"GET", targets[n], tcp=False),
        "judged, 100 rules": lambda n: judge(hundred, web, "hello", b"GET", targets[n], tcp=False),
        "seen": noted,
        "seen, all paths new": noted_anew,
    }


def hundred_rules() -> Policy:
    """Give a policy with a hundred rules about one service, with methods and paths, half of which deny."""
    web = (Subject(Kind.SERVICE, "web"),)
    denying = [
        Rule(False, f"no-{n}", web, ("hello",), (b"GET", b"HEAD"), (b"/v1/admin-%d/*" % n,))
        for n in range(50)
    ]
    allowing = [
        Rule(True, f"yes-{n}", web, ("hello",), (b"GET",), (b"/v1/part-%d/*" % n,)) for n in range(49)
    ]
    return Policy((*denying, *allowing, Rule(True, "orders", web, ("hello",), (b"GET",), (b"/v1/orders/*",))))


def telling_cases() -> dict[str, Case]:
    """Give what is told about each request."""
    metrics = Metrics()
    reports = [report(number) for number in range(HEADS)]

    def counted(number: int) -> None:
        metrics.request(
            direction="outbound",
            service="hello",
            method="GET",
            code=200,
            flag="",
            duration_s=number * 1e-6,
        )
        metrics.attempt()
        metrics.authorized("allow", "default")

    history, picture = History(), Snapshot(NodeId(bytes(32)))
    remembered = {
        "history": lambda n: history.add(reports[n], wall=1.0, snapshot=picture),
    }
    return {"metrics": counted, "report": report} | remembered | access_cases(reports)


def access_cases(reports: list[RequestReport]) -> dict[str, Case]:
    """Give lines of the access log, written in batches to a file and to a pipe's like."""
    log = AccessLog(LogConfig(), open(os.devnull, "w", encoding="ascii"))  # noqa: SIM115
    off = AccessLog(LogConfig(access="off"), None)
    line = JsonLines()
    return {
        "access line": lambda n: line(reports[n], 1_900_000_000 + n * 0.001),
        "access line, written": lambda n: log.add(reports[n], wall=1_900_000_000 + n * 0.001),
        "access off": lambda n: off.add(reports[n], wall=1.0),
    }


def yardstick(_: int) -> list[int]:
    """Do a fixed piece of work, for a machine that is shared is not always equally fast."""
    return [number for number in range(9) if number != 5]


def cost_us(case: Case) -> tuple[float, float]:
    """Give the microseconds of CPU that a call costs, and the yardstick: the least of all rounds, less the loop's."""
    turns = {"loop": lambda n: None, "yardstick": yardstick, "case": case}
    best = dict.fromkeys(turns, float("inf"))
    for _ in range(ROUNDS):
        for name, function in turns.items():
            started = time.process_time_ns()
            for number in range(HEADS):
                function(number)
            best[name] = min(best[name], time.process_time_ns() - started)
    unit = HEADS * 1_000
    return (best["case"] - best["loop"]) / unit, (best["yardstick"] - best["loop"]) / unit


def main(wanted: list[str]) -> None:
    """Print one line per case whose name has one of ``wanted`` in it, or all."""
    print(f"{'':24} {'us':>7} {'at a yardstick of 0.30 us':>30}")
    for name, case in (header_cases() | routing_cases() | telling_cases()).items():
        if not wanted or any(word in name for word in wanted):
            cost, rod = cost_us(case)
            print(f"{name:24} {cost:7.2f} {cost / rod * 0.3:30.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])

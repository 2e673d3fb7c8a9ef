"""What is counted and told of decisions."""

from __future__ import annotations

import io
import json

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.config.model import LogConfig
from gossipmesh.daemon.policy.authorization import TOLD_PER_S, Authorization
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.model import NodeId, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.policy.rules import Policy
from gossipmesh.transport.reactor import Reactor

WEB = Source(NodeId(b"w" * 32), "web")
HELLO = Service("hello", 80)
NO, YES = Decision(False, "no-web"), Decision(True, "default")


class Bench:
    """An authorization with a clock of its own, and what it wrote."""

    def __init__(self, mode: str) -> None:
        self.now = 100.0
        self.written = io.StringIO()
        self.metrics = Metrics()
        self.policy = Policy(mode="audit" if mode == "audit" else "enforce", version=2)
        self.authorization = Authorization(
            self.policy,
            metrics=self.metrics,
            log=event_log(LogConfig(), self.written),
            reactor=Reactor(clock=lambda: self.now),
        )

    def ask(self, decision: Decision, target: bytes = b"/x?secret=1") -> None:
        request = RequestHead("hello", b"GET", target, request_id=b"r-1")
        self.authorization.decided(WEB, request, HELLO, decision, self.policy)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.written.getvalue().splitlines()]

    def counted(self) -> set[str]:
        lines = self.metrics.text().decode().splitlines()
        return {line for line in lines if line.startswith("gossipmesh_authz_total{")}


def test_what_audit_mode_lets_through_is_told_without_the_query() -> None:
    bench = Bench("audit")
    bench.ask(NO)
    bench.ask(YES)
    (line,) = bench.lines
    told = {"event": "policy.audit-deny", "service": "hello", "path": "/x", "rule": "no-web", "source": "web"}
    assert line == line | told
    assert bench.counted() == {
        'gossipmesh_authz_total{decision="audit-deny",rule="no-web"} 1.0',
        'gossipmesh_authz_total{decision="allow",rule="default"} 1.0',
    }


def test_so_many_lines_a_second_are_written_and_the_next_says_how_many_were_not() -> None:
    bench = Bench("audit")
    for _ in range(TOLD_PER_S + 7):
        bench.ask(NO)
    assert len(bench.lines) == TOLD_PER_S
    bench.now += 1.0
    bench.ask(NO)
    assert [line["untold"] for line in bench.lines] == [0] * TOLD_PER_S + [7]
    assert bench.counted() == {
        f'gossipmesh_authz_total{{decision="audit-deny",rule="no-web"}} {TOLD_PER_S + 8}.0'
    }


def test_what_is_denied_is_counted_and_the_access_log_tells_it() -> None:
    bench = Bench("enforce")
    bench.ask(NO)
    assert bench.lines == []
    assert bench.counted() == {'gossipmesh_authz_total{decision="deny",rule="no-web"} 1.0'}
    bench.authorization.ended(3)
    (line,) = bench.lines
    assert line == line | {"event": "policy.ended", "streams": 3, "version": 2}

"""What becomes of a request that is over: counted, kept for explanations, and one line in the access log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.policy.measuring import Measuring
from gossipmesh.daemon.telemetry.logs import AccessLog
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.mesh.routes import Routes
from gossipmesh.model import NodeId
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.history import History
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.transport.reactor import Reactor

# A member of an enum's, and its value, cost more to look up in Python 3.11 than what is done with them here.
_OUTBOUND: Final = Direction.OUTBOUND
_OUT: Final = Direction.OUTBOUND.value
_IN: Final = Direction.INBOUND.value
_CONNECT_FAILED: Final = OutcomeKind.CONNECT_FAILED


class Observing:
    """Tells everybody who counts or keeps requests.

    Args:
        routes: the picture of the mesh.
        metrics: counts.
        measuring: how requests go, for a policy's gate.
        history: for explanations.
        access: the access log.
        reactor: at whose turn's end the access log is written.
        unreachable: is told of a node to which a connect failed, and why.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        metrics: Metrics,
        measuring: Measuring,
        history: History,
        access: AccessLog,
        reactor: Reactor,
        unreachable: Callable[[NodeId, str], None],
    ) -> None:
        self._routes = routes
        self._metrics = metrics
        self._measuring = measuring
        self._history = history
        self._access = access
        self._reactor = reactor
        self._unreachable = unreachable
        self._flush_due = False

    def attempted(self, node: NodeId, outcome: AttemptOutcome) -> None:
        """Take in how one attempt at a request ended."""
        self._metrics.attempt()
        if outcome.kind is _CONNECT_FAILED:
            self._unreachable(node, "a connect to it failed")

    def observe(self, report: RequestReport) -> None:
        """Take in that a request is over."""
        direction = _OUT if report.direction is _OUTBOUND else _IN
        snapshot, wall = self._routes.snapshot, wall_clock()
        known = snapshot.knows(report.service)
        self._metrics.request(
            direction=direction,
            service=report.service if known else "",
            method=report.method,
            code=report.code,
            flag=report.flag,
            duration_s=report.duration_s,
        )
        self._measuring.count(report.code, report.flag)
        for flag in report.retried:
            self._metrics.retry(flag)
        self._history.add(report, wall=wall, snapshot=snapshot)
        self._access.add(report, wall=wall)
        if self._access.waiting and not self._flush_due:
            # One write for all that ended in this turn.
            self._flush_due = True
            self._reactor.defer(self._flush_access)

    def _flush_access(self) -> None:
        self._flush_due = False
        self._access.flush()

"""What becomes of a request that is over: counted, kept for explanations, and one line in the access log."""

from __future__ import annotations

from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.policy.measuring import Measuring
from gossipmesh.daemon.telemetry.logs import AccessLog
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.mesh.machine import Mesh
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.history import History
from gossipmesh.transport.reactor import Reactor


class Observing:
    """Tells everybody who counts or keeps requests.

    Args:
        mesh: the control plane, to be read only.
        metrics: counts.
        measuring: how requests go, for a policy's gate.
        history: for explanations.
        access: the access log.
        reactor: at whose turn's end the access log is written.
    """

    def __init__(
        self,
        mesh: Mesh,
        *,
        metrics: Metrics,
        measuring: Measuring,
        history: History,
        access: AccessLog,
        reactor: Reactor,
    ) -> None:
        self._mesh = mesh
        self._metrics = metrics
        self._measuring = measuring
        self._history = history
        self._access = access
        self._reactor = reactor
        self._flush_due = False

    def observe(self, report: RequestReport) -> None:
        """Take in that a request is over."""
        direction = report.direction.value
        snapshot, wall = self._mesh.snapshot, wall_clock()
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

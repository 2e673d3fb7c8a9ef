"""The policy in force at one node: set as a whole, and what is decided by it counted, remembered and told."""

from __future__ import annotations

from typing import Final

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.daemon.telemetry.access_lines import cut
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.model import Service, short_id
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.policy.rules import Policy
from gossipmesh.policy.seen import Seen
from gossipmesh.proxy.access import path_of
from gossipmesh.proxy.admission import AUDIT
from gossipmesh.transport.reactor import Reactor

TOLD_PER_S: Final = 10
"""Lines a second at most about requests that only audit mode lets through; how many more there were, the next says."""


class Authorization:
    """Holds the policy, and is told of each decision.

    Args:
        policy: in force until another is set.
        metrics: counts decisions.
        log: is told what audit mode lets through.
        reactor: the time.
    """

    def __init__(self, policy: Policy, *, metrics: Metrics, log: Log, reactor: Reactor) -> None:
        self.policy = policy
        """The one in force. Assigned as a whole, and read once for each request."""
        self.seen: Final = Seen()
        self._metrics = metrics
        self._log = log
        self._reactor = reactor
        self._second = 0.0
        self._told = self._untold = 0

    def in_force(self) -> Policy:
        """Give :attr:`policy`."""
        return self.policy

    def decided(
        self, source: Source, request: RequestHead, service: Service, decision: Decision, policy: Policy
    ) -> None:
        """Take in a decision."""
        allow, method, target, now = decision.allow, request.method, request.target, self._reactor.now
        self.seen.note(source, service.name, method, target, allowed=allow, now=now)
        if allow:
            self._metrics.authorized("allow", decision.rule)
        elif policy.mode != AUDIT:
            self._metrics.authorized("deny", decision.rule)
        else:
            self._metrics.authorized("audit-deny", decision.rule)
            self._tell(source, request, service, decision, now)

    def ended(self, streams: int) -> None:
        """Take in that so many requests under way were ended, as they are denied now."""
        self._log.info("policy.ended", streams=streams, version=self.policy.version)

    def _tell(
        self, source: Source, request: RequestHead, service: Service, decision: Decision, now: float
    ) -> None:
        if now >= self._second + 1.0:
            self._second, self._told = now, 0
        if self._told >= TOLD_PER_S:
            self._untold += 1
            return
        self._told += 1
        untold, self._untold = self._untold, 0
        self._log.info(
            "policy.audit-deny",
            source=source.service,
            id=short_id(source.node),
            service=service.name,
            method=cut(request.method.decode("ascii", "replace")),
            path=cut(path_of(request.target)),
            rule=decision.rule,
            request_id=cut(request.request_id.decode("ascii", "replace")),
            untold=untold,
        )

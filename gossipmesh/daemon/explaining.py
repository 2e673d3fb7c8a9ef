"""Why a request would go, or went, where it did: what the data plane knows, in the shapes of :mod:`.view`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gossipmesh.daemon.admin.explained_view import (
    AttemptEntry,
    CandidateEntry,
    Explained,
    PastEntry,
    StateEntry,
    TimesEntry,
    VerdictEntry,
)
from gossipmesh.daemon.admin.requests_view import Requests, RequestsAsked
from gossipmesh.daemon.policy.callers import Caller
from gossipmesh.daemon.tapping import requests_of
from gossipmesh.daemon.telemetry.access_lines import cut, iso
from gossipmesh.errors import MeshError
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Endpoint, NodeId, short_id
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.access import Direction, RequestReport, path_in, text_in
from gossipmesh.proxy.admission import AUDIT, judge
from gossipmesh.proxy.dry_run import DryRun, request_of
from gossipmesh.proxy.history import MAX_FAILED, History, Past
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.replies import STATUS, refusal
from gossipmesh.routing.explain import Candidate
from gossipmesh.routing.outcomes import Attempt, OutcomeKind
from gossipmesh.routing.traffic import Traffic
from gossipmesh.routing.upstreams import Upstream, Upstreams


class Explainer:
    """Explains requests of one node; what it is asked changes nothing.

    Args:
        mesh: the control plane, to be read only.
        outbound: where requests of local apps are decided.
        upstreams: how services are treated.
        history: the requests that are over.
        source_service: gives the service that local apps speak as, or empty.
        policy: gives the one in force.
        now: gives monotonic seconds.
    """

    def __init__(
        self,
        mesh: Mesh,
        outbound: Outbound,
        upstreams: Upstreams,
        history: History,
        *,
        source_service: Callable[[], str],
        policy: Callable[[], Policy],
        now: Callable[[], float],
    ) -> None:
        self._mesh = mesh
        self._outbound = outbound
        self._upstreams = upstreams
        self._history = history
        self._source_service = source_service
        self._in_force = policy
        self._now = now

    def _policy(self, service: str, method: bytes, target: bytes) -> VerdictEntry:
        """Judge as the destination would that has the same policy, with this node as the source."""
        mesh, policy = self._mesh, self._in_force()
        source = Caller(mesh.own, mesh.chain).speaking_as(self._source_service())
        if source is None:
            return VerdictEntry(version=policy.version, rule="source", verdict="deny", mode=policy.mode)
        decision = judge(policy, source, service, method, target, tcp=method == b"CONNECT")
        verdict: Literal["allow", "deny"] = "allow" if decision.allow else "deny"
        return VerdictEntry(version=policy.version, rule=decision.rule, verdict=verdict, mode=policy.mode)

    # --- what would be ---------------------------------------------------------------------------------------------

    def dry_run(self, method: str, url: str, headers: list[tuple[str, str]]) -> Explained:
        """Give what a request of a local app would come to now.

        Raises:
            RequestError: for what is no request.
        """
        request = request_of(method, url, headers)
        run = self._outbound.dry_run(request)
        named, found, error, decision = run.named, run.explanation, run.error, run.decision
        service, target = (named.service, named.target) if named is not None else ("", request.target)
        policy = self._policy(service, request.method, target)
        if decision in {"send", "wait"} and policy["verdict"] == "deny" and policy["mode"] != AUDIT:
            decision, error = "refuse", refusal("AZ")
        choice = found.choice if found is not None else None
        return Explained(
            service=service,
            method=method,
            target=target.decode("ascii", "replace"),
            decision=decision,
            flag=error.flag if error is not None else "",
            why=str(error) if error is not None else _NOTES.get(decision, ""),
            candidates=[_candidate(each) for each in found.candidates] if found is not None else [],
            chosen=_chosen(run),
            policy=policy,
            attempts=[],
            tag=choice.tag if choice is not None else "",
            zone=choice.zone if choice is not None else "",
            session=choice.session if choice is not None else "",
            state=None if run.upstream is None else self._state(run.upstream),
            past=None,
            related=[],
        )

    def _state(self, upstream: Upstream) -> StateEntry:
        traffic = upstream.traffic
        return StateEntry(
            balancer=traffic.balancer,
            split={share.tag: share.percent for share in traffic.split},
            breaker=upstream.breaker.why,
            budget=round(upstream.budget.left(now=self._now()), 1),
            hedging=upstream.hedging.why,
            traffic=self._upstreams.source_of(upstream.service),
        )

    def requests(self, asked: RequestsAsked) -> Requests:
        """Give what ended lately."""
        return requests_of(self._history, asked, boot=self._mesh.own.boot)

    # --- what was --------------------------------------------------------------------------------------------------

    def past(self, name: str) -> Explained:
        """Give what became of the request with the id or the trace id ``name``: the newest one that an app here made.

        Raises:
            MeshError: ``explain.unknown``, with how far back this node remembers.
        """
        found = self._history.find(name)
        if not found:
            raise MeshError("explain.unknown", self._unknown(name))
        outbound = [each for each in found if each.report.direction is Direction.OUTBOUND]
        told = (outbound or found)[-1]
        explained = self._past(told)
        explained["related"] = [self._past(each) for each in found if each is not told]
        return explained

    def _unknown(self, name: str) -> str:
        history = self._history
        since = history.since
        if since is None:
            back = "it has seen no request yet"
        else:
            kept = f"it remembers {history.kept} back to {iso(since)}"
            back = f"{kept}, and of those that failed or were slow the last {MAX_FAILED}"
        elsewhere = "ask the node whose app made it, or give a URL such as http://hello/ for what would be"
        return f"no request {cut(name)} is known to this node; {back}; {elsewhere}"

    def _past(self, past: Past) -> Explained:
        report = past.report
        traffic = self._upstreams.traffic_of(report.service)
        tries = [self._attempt(each, report.begun) for each in report.tries]
        tried = {each.endpoint.id: each.endpoint for each in report.tries}
        asked_at = report.tries[-1].started if report.tries else report.begun
        candidates = [_tried(each) for each in tried.values()]
        candidates += [
            self._left_out(report.service, each.endpoint, each.words(asked_at))
            for each in report.left_out
            if each.endpoint not in tried
        ]
        last = report.tries[-1].endpoint if report.tries else None
        flag = report.flag
        return Explained(
            service=report.service,
            method=cut(text_in(report.method)),
            target=cut(path_in(report.path)),
            decision="failed" if flag else "answered",
            flag=cut(flag),
            why=str(refusal(flag)) if flag in STATUS else _GONE if flag == "DC" else "",
            candidates=candidates,
            chosen=self._chosen_then(report),
            policy=self._policy_then(report),
            attempts=tries,
            tag=_tag(traffic, last),
            zone="",
            session=report.session,
            state=None,
            past=_past_entry(past),
            related=[],
        )

    def _chosen_then(self, report: RequestReport) -> str | None:
        # A request from the mesh was for this node, and its report names the caller's.
        inbound = report.direction is Direction.INBOUND
        return self._mesh.own.name if inbound else report.endpoint or None

    def _policy_then(self, report: RequestReport) -> VerdictEntry:
        path = path_in(report.path).encode("ascii", "replace")
        verdict = self._policy(report.service, text_in(report.method).encode("ascii", "replace"), path)
        if report.flag == "AZ":
            verdict["verdict"] = "deny"
        return verdict

    def _attempt(self, attempt: Attempt, begun: float) -> AttemptEntry:
        endpoint, outcome = attempt.endpoint, attempt.outcome
        return AttemptEntry(
            node=endpoint.node,
            id=endpoint.id.hex(),
            address=str(endpoint.address),
            outcome=outcome.kind.value,
            flag=outcome.flag,
            status=outcome.status,
            begun_ms=_ms(attempt.started - begun),
            sent_ms=None if attempt.sent is None else _ms(attempt.sent - begun),
            first_byte_ms=None if attempt.first_byte is None else _ms(attempt.first_byte - begun),
            ended_ms=_ms(attempt.ended - begun),
            app_ms=attempt.app_us / 1_000 if attempt.app_us else None,
        )

    def _left_out(self, service: str, node: NodeId, why: str) -> CandidateEntry:
        endpoint = next((each for each in self._mesh.snapshot.endpoints(service) if each.id == node), None)
        if endpoint is not None:
            return _entry(endpoint, eligible=False, reason=why)
        return CandidateEntry(
            node=self._mesh.names.get(node, short_id(node)),
            id=node.hex(),
            address="",
            zone="",
            tags=[],
            eligible=False,
            reason=why,
            weight=0.0,
            share=None,
            score=None,
            in_flight=None,
        )


_NOTES = {
    "direct": "this host is outside the mesh, and `[proxy] external` and `allow` let requests go there directly",
    "wait": "as many requests as may be are under way; it waits for its turn",
    "answer": "Max-Forwards ends here: the proxy answers itself",
}
_GONE = "the caller left before it had all of its answer"


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1_000, 3)


def _chosen(run: DryRun) -> str | None:
    if run.named is not None and run.named.outside is not None:
        host, port = run.named.outside
        return f"{host}:{port}"
    found = run.explanation
    return found.chosen.node if found is not None and found.chosen is not None else None


def _candidate(candidate: Candidate) -> CandidateEntry:
    entry = _entry(candidate.endpoint, eligible=candidate.eligible, reason=candidate.reason)
    entry["weight"] = round(candidate.weight, 3)
    entry["share"] = round(candidate.share, 4)
    entry["score"] = None if candidate.score is None else round(candidate.score, 6)
    entry["in_flight"] = candidate.in_flight
    return entry


def _tried(endpoint: Endpoint) -> CandidateEntry:
    return _entry(endpoint, eligible=True, reason="")


def _entry(endpoint: Endpoint, *, eligible: bool, reason: str) -> CandidateEntry:
    return CandidateEntry(
        node=endpoint.node,
        id=endpoint.id.hex(),
        address=str(endpoint.address),
        zone=endpoint.zone,
        tags=list(endpoint.service.tags),
        eligible=eligible,
        reason=reason,
        weight=float(endpoint.service.weight),
        share=None,
        score=None,
        in_flight=None,
    )


def _tag(traffic: Traffic, endpoint: Endpoint | None) -> str:
    """Give the part of the split that an endpoint stands for; empty where there is none."""
    if endpoint is None:
        return ""
    return next((share.tag for share in traffic.split if share.tag in endpoint.service.tags), "")


def _past_entry(past: Past) -> PastEntry:
    report = past.report
    inbound = report.direction is Direction.INBOUND
    return PastEntry(
        request_id=cut(text_in(report.request_id)),
        trace_id=cut(text_in(report.trace_id)),
        direction="inbound" if inbound else "outbound",
        ended=iso(past.wall),
        code=report.code,
        bytes_in=report.bytes_in,
        bytes_out=report.bytes_out,
        duration_ms=_ms(report.duration_s),
        caller=report.endpoint if inbound else "",
        times=times_of(report),
    )


def times_of(report: RequestReport) -> TimesEntry:
    """Give where the time of a request went."""
    times = TimesEntry(queue=None, retries=None, connect=None, hop=None, app=None, body=None)
    if report.direction is Direction.INBOUND:
        times["app"] = _ms(report.duration_s)
        return times
    if not report.tries:
        times["queue"] = _ms(report.duration_s) if report.flag == "UO" else None
        return times
    first, last = report.tries[0], report.tries[-1]
    times["queue"] = _ms(first.started - report.begun)
    times["retries"] = _ms(last.started - first.started)
    times["connect"] = _ms((last.ended if last.sent is None else last.sent) - last.started)
    if last.sent is None:
        return times
    answered = last.first_byte is not None and last.outcome.kind is OutcomeKind.ANSWERED
    until = last.first_byte if last.first_byte is not None else last.ended
    # No more than passed here: this daemon's clock stands still for a turn of the reactor, the other one's goes on.
    app_s = min(last.app_us / 1e6, until - last.sent)
    # What the other node did not tell apart is the hop's.
    times["hop"] = _ms(until - last.sent - app_s)
    times["app"] = _ms(app_s) if last.app_us else None
    if answered:
        times["body"] = _ms(report.begun + report.duration_s - until)
    return times

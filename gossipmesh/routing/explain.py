"""Which endpoint the next request to a service would get, and why: a dry run. Pure.

The law: the answer is the data plane's own. The very :class:`~.plan.Plan` of a request is run, over twins of what it
would change: so an explanation says what a request would do at that moment, and leaves no trace.
"""

from __future__ import annotations

import math

from attrs import frozen

from gossipmesh.model import Endpoint, NodeId
from gossipmesh.routing.balancing.service import Choice, Score
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.plan import IDEMPOTENT, Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import Traffic
from gossipmesh.routing.upstreams import Upstream


@frozen
class Candidate:
    """One endpoint of the service, and how it stands."""

    endpoint: Endpoint
    eligible: bool
    """Whether it is in rotation."""
    reason: str
    """Why it is not, or why it gets nothing all the same, in words for people; empty where neither is so."""
    weight: float
    """As it counts now: less than what its node says during slow start."""
    share: float
    """Of the requests without a session, what its group (tag and zone) gets: 0 to 1."""
    score: float | None
    """The less, the sooner it is chosen in its group; None: it cannot be."""
    in_flight: int
    """Our own requests to it."""


@frozen
class Explanation:
    """What the next request would come to."""

    candidates: tuple[Candidate, ...]
    """All endpoints of the service, in the order of the snapshot."""
    chosen: Endpoint | None
    choice: Choice | None
    """Why that one; None where nobody is."""
    admission: Admission
    """What the breaker says to one more request."""
    flag: str
    """Why nothing is sent: ``NR``, ``UH`` or ``UO``; empty where something is."""


def explain(
    snapshot: Snapshot,
    twin: Upstream,
    method: bytes,
    *,
    max_attempts: int,
    now: float,
    session: bytes | None,
    unfit: frozenset[NodeId] = frozenset(),
) -> Explanation:
    """Give what a request would come to, were it made now.

    Args:
        snapshot: the picture of the mesh.
        twin: what is known of the service, of which what changes may be used up (:meth:`.upstreams.Upstream.twin`).
        method: of the request, as received.
        max_attempts: as :class:`.plan.Plan` takes it.
        now: monotonic seconds.
        session: as :class:`.plan.Plan` takes it.
        unfit: as :class:`.plan.Plan` takes it.
    """
    plan = Plan(snapshot, twin, method, max_attempts=max_attempts, now=now, session=session, unfit=unfit)
    eligible = snapshot.eligible(twin.service)
    fitting = twin.outliers.fit(eligible, now=now, may_try=method in IDEMPOTENT)
    choice = twin.balancer.explain(fitting, now=now, session=session, tried=unfit)
    scores = {score.endpoint.id: score for score in choice.scores} if choice is not None else {}
    # Before the attempt: it counts as one in flight.
    heeded = fitting is not eligible
    every = snapshot.endpoints(twin.service)
    candidates = tuple(
        _candidate(each, twin, scores.get(each.id), heeded, now)
        if each.id not in unfit
        else Candidate(
            each, False, each.reason or "it is at another port", float(each.service.weight), 0.0, None, 0
        )
        for each in every
    )
    chosen = plan.next_attempt(now=now)
    admission = twin.breaker.outlook
    full = "UO" if admission is Admission.REFUSE else ""
    return Explanation(candidates, chosen, choice, admission, plan.flag_if_none if chosen is None else full)


def _candidate(
    endpoint: Endpoint, twin: Upstream, score: Score | None, heeded: bool, now: float
) -> Candidate:
    in_flight = twin.balancer.in_flight(endpoint.id)
    reason = endpoint.reason or twin.outliers.reason(endpoint.id, now=now)
    if score is None:
        return Candidate(endpoint, False, reason, float(endpoint.service.weight), 0.0, None, in_flight)
    if reason and not heeded:
        reason = f"{reason}; not heeded, since too few would be left"
    elif not score.share:
        reason = _why_nothing(endpoint, twin.traffic)
    finite = score.score if math.isfinite(score.score) else None
    return Candidate(endpoint, True, reason, score.weight, score.share, finite, in_flight)


def _why_nothing(endpoint: Endpoint, traffic: Traffic) -> str:
    """Say why an endpoint in rotation gets no requests."""
    if traffic.split and not any(
        share.percent and share.tag in endpoint.service.tags for share in traffic.split
    ):
        return "no tag of it takes part in the split"
    if not endpoint.service.weight:
        return "its weight is 0"
    return "its zone gets none of this caller's requests"


def session_of(plan: Plan) -> str:
    """Say what the caller's session did for the last attempt of a request.

    ``kept``: its cookie named the endpoint; ``moved``: it named another one; ``new``: it gets one; ``hashed``: the
    header or the source told; empty: there is no session.
    """
    sticky, upstream = plan.upstream.traffic.sticky, plan.upstream
    if sticky is None or not plan.attempts:
        return ""
    if sticky.by != "cookie":
        return "" if plan.session is None else "hashed"
    if plan.session is None:
        return "new"
    return "kept" if upstream.balancer.cookie(plan.attempts[-1].endpoint, plan.session) is None else "moved"

"""What is told about a request of a local app, once it is over."""

from __future__ import annotations

from gossipmesh.proxy.access import Direction, RequestReport, path_of
from gossipmesh.proxy.answer import Answer
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.direct import DirectAttempt
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.names import Named
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.routing.explain import session_of


def report_of(
    ports: OutboundPorts,
    request: RequestIn,
    named: Named | None,
    attempts: Attempts | DirectAttempt | None,
    answer: Answer,
    *,
    request_id: bytes,
    trace_id: bytes,
    flag: str,
    bytes_in: int,
    started: float,
) -> RequestReport:
    """Give the report of a request.

    Args:
        ports: what surrounds it.
        request: its head.
        named: what it asked for; None: it was refused before that was known.
        attempts: at a service or outside of the mesh; None: there were none.
        answer: what the caller got.
        request_id: by which it is found again.
        trace_id: likewise, 32 hex digits.
        flag: why the mesh answered itself or broke off; empty: as the answer says.
        bytes_in: of its body.
        started: when it came, in monotonic seconds.
    """
    plan = attempts.plan if isinstance(attempts, Attempts) else None
    return RequestReport(
        direction=Direction.OUTBOUND,
        request_id=request_id.decode("ascii"),
        trace_id=trace_id.decode("ascii"),
        source=ports.source_service,
        service=named.service if named else "",
        method=request.method.decode("ascii"),
        path="" if request.method == b"CONNECT" else path_of(named.target if named else request.target),
        code=answer.status,
        flag=flag or answer.flag,
        bytes_in=bytes_in,
        bytes_out=answer.bytes_out,
        duration_s=ports.reactor.now - started,
        attempts=attempts.count if attempts is not None else 0,
        endpoint=attempts.whom if attempts is not None else "",
        retried=tuple(attempts.retried) if attempts is not None and attempts.retried else (),
        tries=plan.attempts if plan is not None else (),
        left_out=plan.left_out if plan is not None else (),
        begun=started,
        session=session_of(plan) if plan is not None else "",
    )

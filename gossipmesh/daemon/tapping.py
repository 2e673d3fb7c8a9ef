"""The requests that ended lately, for whoever follows them: nothing is kept for him, and requests cost nothing more."""

from __future__ import annotations

from collections import deque

from gossipmesh.daemon.admin.requests_view import MAX_TOLD, Cursor, Requests, RequestsAsked
from gossipmesh.daemon.telemetry.access_lines import fields_of, has_failed
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.history import History


def requests_of(history: History, asked: RequestsAsked, *, boot: int) -> Requests:
    """Give those that fit the question.

    Args:
        history: where they are.
        asked: the question. A cursor of another start of this daemon, or one that was never given, counts as the
            beginning of this one: what ended before is forgotten.
        boot: which start this is.
    """
    if asked.after is None:
        return _last(history, asked, boot=boot)
    reached = asked.after.number if asked.after.boot == boot and asked.after.number <= history.ended else 0
    missed = max(0, history.ended - history.kept - reached)
    told: list[dict[str, object]] = []
    for number, past in history.since_number(reached):
        reached = number
        if _fits(past.report, asked):
            told.append(fields_of(past.report, past.wall))
            if len(told) >= MAX_TOLD:
                break
    return Requests(requests=told, next=str(Cursor(boot, reached)), missed=missed)


def _last(history: History, asked: RequestsAsked, *, boot: int) -> Requests:
    fitting = (past for _, past in history.since_number(0) if _fits(past.report, asked))
    told = [fields_of(past.report, past.wall) for past in deque(fitting, maxlen=asked.last)]
    return Requests(requests=told, next=str(Cursor(boot, history.ended)), missed=0)


def _fits(report: RequestReport, asked: RequestsAsked) -> bool:
    return (
        (not asked.service or report.service == asked.service)
        and (not asked.direction or report.direction.value == asked.direction)
        and (not asked.failed or has_failed(report.code, report.flag))
    )

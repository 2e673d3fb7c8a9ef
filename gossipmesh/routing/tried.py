"""Whom a request has asked already, and whom it may ask still. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gossipmesh.model import Endpoint, NodeId
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.outcomes import GIVEN_UP, Attempt, OutcomeKind
from gossipmesh.routing.snapshot import Candidates


def failed_at(attempts: Iterable[Attempt]) -> set[NodeId]:
    """Give the nodes at which an attempt failed; one that was given up has not failed."""
    return {each.endpoint.id for each in attempts if each.outcome is not GIVEN_UP}


def last_let_go(attempts: list[Attempt]) -> Endpoint | None:
    """Give the endpoint that was last let go of because it was silent."""
    doubted = OutcomeKind.DOUBTED
    return next((each.endpoint for each in reversed(attempts) if each.outcome.kind is doubted), None)


def anybody_in(choices: Iterable[Candidates], *, tried: Collection[NodeId]) -> bool:
    """Tell whether any of ``choices`` has an endpoint that was not tried."""
    return any(each.id not in tried for candidates in choices for each in candidates)


def pick_untried(
    balancer: ServiceBalancer,
    choices: Iterable[Candidates],
    *,
    now: float,
    session: bytes | None,
    tried: Collection[NodeId],
) -> Endpoint | None:
    """Give an endpoint that was not tried, of the first of ``choices`` that has one, as ``balancer`` picks."""
    for candidates in choices:
        endpoint = balancer.pick(candidates, now=now, session=session, tried=tried)
        if endpoint is not None:
            return endpoint
    return None

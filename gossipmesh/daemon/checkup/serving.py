"""Checks of what this node offers and of what it calls."""

from __future__ import annotations

from typing import Final

from gossipmesh.daemon.checkup.facts import Check, Facts, State, counted, named
from gossipmesh.identity.record import MAX_RECORD

RECORD_WARN: Final = 0.9
"""Of the bytes that a record may have: what comes on top of this may be refused."""
TOLD_ELSEWHERE: Final = frozenset(
    {
        "chain.expired",
        "chain.expiring",
        "join.refused",
        "join.unanswered",
        "member.clone",
        "own.clone",
        "own.services-refused",
        "own.unreachable",
        "seed.unresolved",
    }
)
"""Warnings that another check is about."""


def services(facts: Facts) -> Check:
    """Check that this node's own services work."""
    ill = [
        f"{each.name}: {each.reason or each.state}" for each in facts.services if each.state == "unhealthy"
    ]
    new = [each.name for each in facts.services if each.state == "unknown"]
    details = tuple({"service": s.name, "state": s.state, "reason": s.reason} for s in facts.services)
    if ill:
        hint = (
            "start the app, or correct its port or health check; `gossipmesh status` shows how it is checked"
        )
        return Check(
            "services", State.FAIL, f"unhealthy, so nobody is sent there: {named(ill)}", hint, details
        )
    if new:
        hint = "wait for the first check to end; `gossipmesh status` shows how it is checked"
        return Check("services", State.WARN, f"not checked yet: {named(new)}", hint, details)
    found = f"{counted(len(facts.services), 'service')}, healthy" if facts.services else "none offered here"
    return Check("services", State.OK, found, details=details)


def token_services(facts: Facts) -> Check:
    """Check that this node's token allows what it offers."""
    if facts.refused_services:
        found = f"this node's token does not allow it to offer {named(facts.refused_services)}: nobody is routed there"
        hint = "give it a token made with --service NAME (`gossipmesh token show` says what one allows)"
        return Check("token-services", State.FAIL, found, hint)
    return Check("token-services", State.OK, "the token allows what is offered")


def calls(facts: Facts) -> Check:
    """Check that what local apps asked for lately can be had."""
    down = [each for each in facts.called if each.endpoints and not each.healthy]
    unknown = [each.name for each in facts.called if not each.endpoints]
    details = tuple(
        {"service": each.name, "endpoints": str(each.endpoints), "healthy": str(each.healthy)}
        for each in facts.called
    )
    if down:
        lines = [f"{each.name} ({named(dict.fromkeys(each.reasons))})" for each in down]
        hint = "`gossipmesh endpoints SERVICE` says what is wrong with each"
        return Check("calls", State.FAIL, f"no healthy endpoint: {named(lines)}", hint, details)
    if unknown:
        hint = "`gossipmesh services` lists what is offered; is the name right, and its node up?"
        return Check("calls", State.WARN, f"called, and offered by nobody: {named(unknown)}", hint, details)
    found = f"{counted(len(facts.called), 'service')} called lately, all with healthy endpoints"
    return Check("calls", State.OK, found if facts.called else "none called lately", details=details)


def ejected(facts: Facts) -> Check:
    """Check that this node leaves no endpoint out for what its requests came to."""
    if not facts.ejected:
        return Check("ejected", State.OK, "no endpoint is left out by this node alone")
    details = tuple({"service": e.service, "node": e.node, "reason": e.reason} for e in facts.ejected)
    lines = [f"{each.node} for {each.service} ({each.reason})" for each in facts.ejected]
    hint = "it comes back by itself; `gossipmesh endpoints SERVICE` shows it, and its app's log may say why"
    return Check("ejected", State.WARN, f"left out by this node alone: {named(lines)}", hint, details)


def record(facts: Facts) -> Check:
    """Check that there is room in this node's record."""
    found = f"{facts.record_bytes} of {MAX_RECORD} bytes"
    if facts.record_bytes >= RECORD_WARN * MAX_RECORD:
        hint = "another service or tag may be refused: use shorter names, fewer tags, or a second node"
        return Check("record", State.WARN, found, hint)
    return Check("record", State.OK, found)


def warnings(facts: Facts) -> Check:
    """Repeat what the control plane warned of in the last hour, where no other check is about it."""
    told = [each for each in facts.warned if each.code not in TOLD_ELSEWHERE]
    if not told:
        return Check("warnings", State.OK, "none in the last hour")
    details = tuple({"code": e.code, "text": e.text, "ago_s": str(round(e.ago_s))} for e in told)
    last = min(told, key=lambda each: each.ago_s)
    more = f" (and {len(told) - 1} more, see --json)" if len(told) > 1 else ""
    return Check(
        "warnings",
        State.WARN,
        f"{last.code}, {round(last.ago_s)} s ago: {last.text}{more}",
        "the daemon's log has all of them, with what came before",
        details,
    )


CHECKS: Final = (services, token_services, calls, ejected, record, warnings)

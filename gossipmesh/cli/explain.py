"""``gossipmesh explain``: why a request would go, or went, where it did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_json, with_state
from gossipmesh.cli.render import printable, put, show_pairs, show_table
from gossipmesh.policy.decision import rule_in_words

TWO: Final = 2
_DECISIONS: Final = {
    "send": "goes to {chosen}",
    "wait": "waits for its turn, then goes to {chosen}",
    "direct": "leaves the mesh for {chosen}",
    "answer": "is answered by the proxy itself",
    "refuse": "is refused",
    "answered": "was answered by {chosen}",
    "failed": "failed",
}
_FROM: Final = {
    "policy": "from the mesh's policy",
    "file": "from this node's own file",
    "default": "the defaults",
}


@click.command(short_help="Show why a request would go, or went, where it did.")
@click.argument("what", nargs=-1, required=True, metavar="[METHOD] URL | REQUEST-ID")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header that the request has."
)
@with_state
@with_json
@click.pass_context
def explain(
    ctx: click.Context, what: tuple[str, ...], headers: tuple[str, ...], state: Path, as_json: bool
) -> None:
    """Show why a request would go, or went, where it did.

    With a URL (GET http://hello/x, /x with -H 'Host: hello.mesh', or CONNECT db:5432), what would become of a request
    that an app of this node made now; nothing is sent. With the x-request-id or trace id of a request that is over
    (the access log and the mesh's own answers tell it), what became of that.

    Exit status 1: the request would be refused, or none with that id is known here.
    """
    document = AdminClient(state).document(_path(what, headers))
    if as_json:
        put(json.dumps(document))
    else:
        _show(document)
    if document["decision"] == "refuse":
        ctx.exit(1)


def _path(what: tuple[str, ...], headers: tuple[str, ...]) -> str:
    if len(what) > TWO:
        raise click.UsageError("name one URL, with its method before it, or one request id")
    if len(what) == 1 and "://" not in what[0] and not what[0].startswith("/"):
        if headers:
            raise click.UsageError("a request that is over has the headers that it had: leave out --header")
        return f"/v1/explain/{quote(what[0], safe='')}"
    method, url = what if len(what) == TWO else ("GET", what[0])
    fields = [("method", method), ("url", url), *(("header", text) for text in headers)]
    return f"/v1/explain?{urlencode(fields)}"


def _show(document: Mapping[str, Any]) -> None:
    past = document["past"]
    whose = f" of {document['service']}" if document["service"] else ""
    verdict = _DECISIONS[document["decision"]].format(chosen=document["chosen"] or "nobody")
    put(printable(f"{document['method']} {document['target']}{whose} {verdict}{_why(document)}"))
    put("")
    show_pairs([*(_past(past) if past else ()), *_pairs(document)])
    if document["candidates"]:
        put("")
        _show_candidates(document)
    if document["attempts"]:
        put("")
        _show_attempts(document)
    for other in document["related"]:
        put("")
        _show(other)


def _why(document: Mapping[str, Any]) -> str:
    flag = f" ({document['flag']})" if document["flag"] else ""
    return flag + (f": {document['why']}" if document["why"] else "")


def _past(past: Mapping[str, Any]) -> list[tuple[str, str]]:
    times = past["times"]
    spent = ", ".join(f"{name} {_ms(times[name])}" for name in times if times[name] is not None)
    caller = [("asked by", past["caller"])] if past["caller"] else []
    return [
        ("request", past["request_id"]),
        ("trace", past["trace_id"]),
        ("direction", past["direction"]),
        *caller,
        ("ended", past["ended"]),
        ("status", str(past["code"] or "none")),
        ("bytes", f"{past['bytes_in']} in, {past['bytes_out']} out"),
        ("took", _ms(past["duration_ms"]) + (f": {spent}" if spent else "")),
    ]


def _pairs(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    policy, state = document["policy"], document["state"]
    audit = " (audit mode: let through)" if policy["mode"] == "audit" and policy["verdict"] == "deny" else ""
    verdict = f"{policy['verdict']}, by {rule_in_words(policy['rule'])} of version {policy['version']}{audit}"
    pairs = [("policy", verdict)]
    if state is not None:
        pairs += [("settings", _FROM[state["traffic"]]), ("balancer", state["balancer"])]
        if state["split"]:
            pairs.append(("split", ", ".join(f"{tag} {part} %" for tag, part in state["split"].items())))
    pairs += [(name, document[name]) for name in ("tag", "zone", "session") if document[name]]
    if state is not None:
        pairs += [
            ("breaker", state["breaker"]),
            ("retries", f"{state['budget']:g} could be made now"),
            ("hedging", state["hedging"]),
        ]
    return pairs


def _show_candidates(document: Mapping[str, Any]) -> None:
    dry = document["past"] is None
    rows = []
    for entry in document["candidates"]:
        chosen = entry["eligible"] and entry["node"] == document["chosen"]
        seen = "eligible" if dry else "tried"
        row = [entry["node"], "chosen" if chosen else seen if entry["eligible"] else "out"]
        if dry:
            score = entry["score"]
            row += [
                f"{entry['weight']:g}",
                f"{entry['share']:.0%}",
                "" if score is None else f"{score:.3g}",
                str(entry["in_flight"]),
            ]
        row += [entry["address"], entry["zone"], " ".join(entry["tags"]), entry["reason"]]
        rows.append(row)
    figures = ("WEIGHT", "SHARE", "SCORE", "IN FLIGHT") if dry else ()
    show_table(("NODE", "STATE", *figures, "ADDRESS", "ZONE", "TAGS", "REASON"), rows)


def _show_attempts(document: Mapping[str, Any]) -> None:
    rows = [
        (
            str(number),
            entry["node"],
            entry["outcome"],
            entry["flag"],
            str(entry["status"] or ""),
            *(_ms(entry[name]) for name in ("begun_ms", "sent_ms", "first_byte_ms", "ended_ms", "app_ms")),
        )
        for number, entry in enumerate(document["attempts"], 1)
    ]
    columns = ("TRY", "NODE", "OUTCOME", "FLAG", "STATUS", "BEGUN", "SENT", "FIRST BYTE", "ENDED", "APP")
    show_table(columns, rows)


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f} ms"

"""``gossipmesh can``: whether a member may send a request, and which rule says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_json, with_state
from gossipmesh.cli.render import printable, put, show_table
from gossipmesh.policy.decision import rule_in_words


@click.command(short_help="Show whether policy allows a request, and which rule says so.")
@click.argument("source")
@click.argument("service")
@click.argument("method", default="GET")
@click.argument("path", default="/")
@click.option("--as", "speaks_as", metavar="SERVICE", help='The service that SOURCE speaks as; "" for none.')
@with_state
@with_json
@click.pass_context
def can(
    ctx: click.Context,
    *,
    source: str,
    service: str,
    method: str,
    path: str,
    speaks_as: str | None,
    state: Path,
    as_json: bool,
) -> None:
    """Show whether SOURCE may send SERVICE a request, and which rule of the policy in force says so.

    SOURCE is a member's name or id (it speaks as its only service, if it has exactly one; --as says another), or
    service:NAME for every member that offers it. The request is GET / if nothing is said; for tcp services METHOD and
    PATH have no meaning.

    Exit status 1: no, or not all of them.
    """
    fields = [("source", source), ("service", service), ("method", method), ("path", path)]
    if speaks_as is not None:
        fields.append(("as", speaks_as))
    document = AdminClient(state).document(f"/v1/can?{urlencode(fields)}")
    if as_json:
        put(json.dumps(document))
    else:
        _show(document)
    if document["verdict"] == "deny":
        ctx.exit(1)


def _show(document: Mapping[str, Any]) -> None:
    denied = document["verdict"] == "deny"
    what = f"{document['method']} {document['path']} of " if document["protocol"] == "http" else ""
    word = "may not ask" if denied else "may ask"
    by = f"{rule_in_words(document['rule'])} of policy version {document['version']}"
    put(printable(f"{document['source']} {word} for {what}{document['service']}: {by}"))
    if denied and document["mode"] == "audit":
        put("The policy is in audit mode: what it denies is let through, counted and logged.")
    if not document["offered"]:
        put("Nobody offers that service now.")
    callers = document["callers"]
    if len({(each["verdict"], each["rule"]) for each in callers}) > 1:
        rows = [
            (each["node"], each["speaks_as"], each["verdict"], each["rule"], each["id"][:8])
            for each in callers
        ]
        put("")
        show_table(("NODE", "AS", "VERDICT", "RULE", "ID"), rows)

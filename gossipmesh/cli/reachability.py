"""``gossipmesh reachability``: whom this node reaches itself, and who is wrongly believed dead or alive."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_json, with_state
from gossipmesh.cli.render import put, show_table

TIMEOUT_S: Final = 180.0
"""Where none of a thousand answers it takes a minute."""
OK: Final = "ok"
WORDS: Final = {
    "wrongly-dead": "it answers, and is believed dead",
    "unreached": "it does not answer, and is believed alive",
    "no-udp": "it answers by TCP only",
    "no-tcp": "it answers by UDP only",
    "no-handshake": "TCP gets there, and the handshake fails",
    "another-key": "another node is at its address",
}
HINTS: Final = {
    "wrongly-dead": "it should be back within half a minute; if not, run `gossipmesh reachability` there",
    "unreached": "run this on another node: if that one reaches it, something is between these two hosts",
    "no-udp": "open UDP at the mesh ports of both; until then gossip goes over TCP, which costs more",
    "no-tcp": "open TCP to its mesh port: requests to its services, and comparing registries, need it",
    "no-handshake": "the TCP column says why: a clock, a chain or a release; `gossipmesh check` at both ends says more",
    "another-key": "two nodes advertise one address: say --advertise HOST:PORT at the one whose address it is not",
}


@click.command(short_help="Show whom this node reaches itself, by UDP and TCP.")
@click.option("--all", "everybody", is_flag=True, help="Show those too that are as they are believed to be.")
@with_state
@with_json
@click.pass_context
def reachability(ctx: click.Context, everybody: bool, state: Path, as_json: bool) -> None:
    """Ping and dial every member from here, the dead included, and show who is not what this node believes.

    Nobody else is asked, and what is found changes no belief by itself. A member that does not answer takes two
    seconds. Exit status 1: somebody is not as believed, or answers by one of UDP and TCP only.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo("gossipmesh: reaching for every member ...", err=True)
    document = AdminClient(state).post("/v1/reachability", timeout_s=TIMEOUT_S)
    if as_json:
        put(json.dumps(document))
    else:
        _show(document, everybody=everybody)
    if not document["ok"]:
        ctx.exit(1)


def _show(document: dict[str, Any], *, everybody: bool) -> None:
    members = document["members"]
    wrong = [each for each in members if each["verdict"] != OK]
    if shown := members if everybody else wrong:
        show_table(
            ("NAME", "STATE", "UDP", "TCP", "ADDRESS", "FOUND"),
            [
                (
                    each["name"],
                    each["state"],
                    _time(each["udp_ms"]),
                    _time(each["tcp_ms"]) or each["tcp_error"],
                    each["address"],
                    WORDS.get(each["verdict"], each["verdict"]),
                )
                for each in shown
            ],
        )
        put("")
    for kind in sorted({each["verdict"] for each in wrong}):
        names = ", ".join(each["name"] for each in wrong if each["verdict"] == kind)
        put(f"{names}: {HINTS.get(kind, kind)}")
    dead = sum(each["state"] == "dead" and each["verdict"] == OK for each in members)
    well = len(members) - len(wrong) - dead
    text = f"{document['node']} reaches {well} of {len(members) - dead} members by UDP and TCP"
    put(
        f"{text}, in {document['took_s']:.1f}s"
        + (f"; {dead} more are dead, and do not answer" if dead else "")
    )


def _time(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f}ms"

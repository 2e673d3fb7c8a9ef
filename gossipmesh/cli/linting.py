"""``gossipmesh policy lint``: what is wrong with a policy's text, and what it would have denied."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.mixed import MAX_NAMED
from gossipmesh.cli.options import SomePath, wall_now, with_json, with_state
from gossipmesh.cli.render import printable, put, show_table, span
from gossipmesh.config.policy_text import PolicyText, read_policy
from gossipmesh.daemon.disk.root import load_authority
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.identity.authority import check_authority, sign_as_authority
from gossipmesh.identity.grants import Capability
from gossipmesh.mesh.trial_messages import LABEL, Question, encode_question
from gossipmesh.model import NodeId, Protocol
from gossipmesh.policy.document import MAX_TEXT
from gossipmesh.policy.lint import Known
from gossipmesh.policy.lint import lint as check

NO_FILE: Final = "config.no-file"
"""The code where a file cannot be read: nothing is known of the policy then, and the usage is wrong."""
BUSY: Final = "trial.busy"
"""With this a member refuses who asks it too soon again, or while another asks."""
BUSY_PAUSE_S: Final = 2.5
"""Members answer one asker every two seconds."""
LIVING: Final = ("alive", "suspect")
"""States of members that offer what their records say."""


def policy_of_file(file: Path) -> PolicyText:
    """Give the policy that a file holds.

    Raises:
        ConfigError: ``FILE:LINE: what is wrong``.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_TEXT + 1)
    except OSError as error:
        text = f"{file}: {error.strerror}; name the file with the policy's text"
        raise ConfigError(NO_FILE, text) from None
    if len(data) > MAX_TEXT:
        raise ConfigError("config.file", f"{file}:1: a policy has at most {MAX_TEXT} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigError("config.file", f"{file}:1: not UTF-8 text; write the policy in TOML") from None
    return read_policy(text, file=str(file))


@click.command(short_help="Say what is wrong or odd about a policy, and what it would have denied.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--seen", is_flag=True, help="Try it on what this node's services were asked for in the last hour."
)
@click.option(
    "--root",
    "authority",
    type=SomePath(path_type=Path),
    metavar="DIR|TOKENFILE",
    help="With --seen: ask every member; paths may be private, so whoever may sign policies has to sign the question.",
)
@with_state
@with_json
@click.pass_context
def lint(
    ctx: click.Context, *, file: Path, seen: bool, authority: Path | None, state: Path, as_json: bool
) -> None:
    """Say what is wrong or odd about the policy in FILE; with --seen also what it would have denied.

    Exit status 1: no node would take it, it would have denied requests that were allowed, or not every member that was
    asked said what it would; 2: there is no such file.
    """
    if authority is not None and not seen:
        raise click.UsageError("--root goes with --seen")
    try:
        found = policy_of_file(file)
    except ConfigError as error:
        if error.code == NO_FILE:
            raise
        if as_json:
            put(json.dumps({"valid": False, "error": str(error), "findings": [], "seen": None}))
        click.echo(f"gossipmesh: {error}", err=True)
        ctx.exit(1)
    findings = check(found.policy, _known(state))
    tried = _try_on(AdminClient(state), found.text, authority) if seen else None
    if as_json:
        rows = [{"level": f.level, "code": f.code, "rule": f.rule, "text": f.text} for f in findings]
        put(json.dumps({"valid": True, "error": "", "findings": rows, "seen": tried}))
    else:
        size = f"{len(found.policy.rules)} rules, {len(found.traffics)} services, {found.policy.mode} mode"
        put(f"{file}: valid; {size}")
        for each in findings:
            put(f"{each.level}: {f'{each.rule}: ' if each.rule else ''}{each.text}")
        if tried is not None:
            _show(tried)
    if tried is not None and (_say_silent(tried) or tried["denied"]):
        ctx.exit(1)


def _known(state: Path) -> Known:
    """Give what a running daemon knows of the mesh; nothing, where none runs: a file can be looked at anywhere."""
    client = AdminClient(state)
    try:
        members = client.document("/v1/members")["members"]
    except MeshError:
        return Known()
    identities = client.document("/v1/identities")["identities"]
    speaks_as = client.document("/v1/config").get("proxy.as", {}).get("value")
    own = client.document("/v1/status")["id"]
    living = [member for member in members if member["state"] in LIVING]
    offered = {name for member in living for name in member["services"]}
    return Known(
        nodes=frozenset(member["id"] for member in members),
        services=_protocols(client, own, offered),
        groups=frozenset(group for each in identities for group in each["groups"]),
        # Only this node's own configuration is known here; the others' records do not say it.
        nameless={
            member["name"]: frozenset(member["services"])
            for member in living
            if len(member["services"]) > 1 and not (member["id"] == own and speaks_as)
        },
    )


def _protocols(client: AdminClient, own: str, names: set[str]) -> dict[str, Protocol]:
    found = {}
    for name in sorted(names):
        # This node, speaking as nothing, is the one source that is always there: others may leave meanwhile.
        fields = {"source": own, "as": "", "service": name}
        answer = client.document(f"/v1/can?{urlencode(fields)}")
        found[name] = Protocol(answer["protocol"])
    return found


def _try_on(client: AdminClient, text: str, authority: Path | None) -> dict[str, Any]:
    if authority is None:
        return client.try_policy(text.encode(), signed=False)
    signer, trust = load_authority(authority)
    wall = wall_now()
    check_authority(signer, trust, Capability.POLICY, wall=wall)
    asker = NodeId(bytes.fromhex(client.document("/v1/status")["id"]))
    body = encode_question(Question(int(wall), asker, text))
    raw = sign_as_authority(LABEL, body, signer, trust.mesh_id)
    tried = client.try_policy(raw, signed=True)
    if any(BUSY in each["why"] for each in tried["nodes"]):
        # Once: whoever asked a moment ago is this command's own last run, most often.
        time.sleep(BUSY_PAUSE_S)
        tried = client.try_policy(raw, signed=True)
    return tried


def _say_silent(tried: Mapping[str, Any]) -> bool:
    """Say on standard error who did not answer, if anybody: what they would say is no part of the sums."""
    silent = [each["node"] for each in tried["nodes"] if not each["answered"]]
    if silent:
        more = f" and {len(silent) - MAX_NAMED} more" if len(silent) > MAX_NAMED else ""
        text = (
            f"this is not the whole mesh: no answer from {', '.join(silent[:MAX_NAMED])}{more}; run it again"
        )
        click.echo(f"gossipmesh: {printable(text)}", err=True)
    return bool(silent)


def _show(tried: Mapping[str, Any]) -> None:
    nodes = [each for each in tried["nodes"] if each["answered"]]
    put(
        f"would have denied {tried['denied']} of {tried['requests']} requests in the last hour, "
        f"and allowed {tried['allowed']} that were denied ({len(nodes)} of {len(tried['nodes'])} nodes answered)"
    )
    if tried["unknown"]:
        put(f"of {tried['unknown']} requests too little is kept to tell")
    for each in tried["nodes"]:
        if not each["answered"]:
            put(f"no answer from {each['node']}: {each['why']}")
    rows = [
        (
            each["verdict"],
            str(each["count"]),
            each["source"] or each["caller"],
            each["service"],
            each["method"],
            each["path"],
            each["rule"],
            each["node"],
            f"{span(each['ago_s'])} ago",
        )
        for each in sorted(tried["findings"], key=lambda each: -each["count"])
    ]
    if rows:
        show_table(("WOULD", "REQUESTS", "SOURCE", "SERVICE", "METHOD", "PATH", "RULE", "AT", "LAST"), rows)

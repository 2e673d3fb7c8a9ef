"""``gossipmesh policy apply`` and ``rollback``: sign a policy document, hand it to the mesh, and see it arrive."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.linting import policy_of_file
from gossipmesh.cli.mixed import warn_of
from gossipmesh.cli.options import SomePath, duration, wall_now, with_json, with_state
from gossipmesh.cli.render import put
from gossipmesh.cli.root import ROOT, check_told
from gossipmesh.daemon.disk.root import load_authority
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.identity.authority import Signer, check_authority, sign_as_authority
from gossipmesh.identity.grants import Capability
from gossipmesh.policy.document import (
    MAX_HOLD_S,
    NO_DOCUMENT,
    POLICY_LABEL,
    WHOLE,
    PolicyDocument,
    Stage,
    decode_document_untrusted,
    new_document,
)

POLL_S: Final = 0.1
PERCENT: Final = WHOLE // 100

_root = click.option(
    "--root",
    "authority",
    required=True,
    type=SomePath(path_type=Path),
    metavar="DIR|TOKENFILE",
    help="What `gossipmesh init` made, or a file with a token that has the capability policy.",
)
_force = click.option("--force", is_flag=True, help="Even while the newest policy is being rolled out.")
_force_anew = click.option(
    "--force",
    is_flag=True,
    help="Even while the newest policy is being rolled out; and sign again what is in force already.",
)
_no_wait = click.option("--no-wait", is_flag=True, help="Do not wait until every member has it.")
_timeout = click.option(
    "--timeout", "timeout_s", type=duration, default="30s", metavar="DURATION", help="For how long to wait."
)


def read_stage(text: str) -> Stage:
    """Take ``10%,5m``: a share of the nodes, and for how long it is watched.

    Raises:
        ConfigError: it is something else.
    """
    share, comma, hold = text.partition(",")
    wrong = ConfigError("config.value", f"{text!a} is not a stage; write SHARE%,HOLD such as 10%,5m")
    try:
        percent = float(share.removesuffix("%"))
    except ValueError:
        raise wrong from None
    if not comma or not share.endswith("%") or not 0.1 <= percent <= 100:
        raise wrong
    hold_s = duration(hold)
    if not 1 <= hold_s <= MAX_HOLD_S:
        raise ConfigError("config.value", f"{text!a}: a stage is watched for 1s to 7d")
    return Stage(round(percent * PERCENT), round(hold_s))


def read_stages(texts: Sequence[str]) -> tuple[Stage, ...]:
    """Take stages in their order.

    Raises:
        ConfigError: one is none, or has not more nodes than the one before it.
    """
    stages = tuple(read_stage(text) for text in texts)
    for before, after in pairwise(stages):
        if after.share <= before.share:
            text = f"a stage of {after.share / PERCENT:g}% after one of {before.share / PERCENT:g}%"
            raise ConfigError("config.value", f"{text}: shares have to rise from stage to stage")
    return stages


@click.command(short_help="Sign a policy and put it in force in the whole mesh.")
@click.argument("file", type=click.Path(path_type=Path))
@_root
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="SHARE%,HOLD",
    help="Try it at a share of the nodes first, e.g. 10%,5m; again for the next stage.",
)
@_force_anew
@_no_wait
@_timeout
@with_state
@with_json
@click.pass_context
def apply(
    ctx: click.Context,
    *,
    file: Path,
    authority: Path,
    stages: Sequence[str],
    force: bool,
    no_wait: bool,
    timeout_s: float,
    state: Path,
    as_json: bool,
) -> None:
    """Sign the policy in FILE with the next version, hand it to the mesh, and wait until every member has it.

    Where the policy in force says FILE's text already, and the same key signed it, nothing is signed; --force signs it
    again. Members of an older release have no policies; they are named, and not waited for.

    Exit status 1: not every other member has it in time (they still get it), or the mesh refuses it; 2: it is not
    valid.
    """
    text = policy_of_file(file).text
    limit_s = None if no_wait else timeout_s
    places = {"authority": authority, "state": state}
    _apply(
        ctx, text, read_stages(stages), **places, force=force, anew=force, timeout_s=limit_s, as_json=as_json
    )


@click.command(short_help="Put an earlier policy in force again, as a new version.")
@click.argument("version", type=click.IntRange(1))
@_root
@_force
@_no_wait
@_timeout
@with_state
@with_json
@click.pass_context
def rollback(
    ctx: click.Context,
    *,
    version: int,
    authority: Path,
    force: bool,
    no_wait: bool,
    timeout_s: float,
    state: Path,
    as_json: bool,
) -> None:
    """Sign the text of VERSION as a new, higher version, and hand it to the mesh: versions only rise.

    Exit status 1: no such version is remembered, or not every member has it in time.
    """
    text = AdminClient(state).document(f"/v1/policy/{version}")["text"]
    limit_s = None if no_wait else timeout_s
    places = {"authority": authority, "state": state}
    _apply(ctx, text, (), **places, force=force, anew=True, timeout_s=limit_s, as_json=as_json)


def _apply(
    ctx: click.Context,
    text: str,
    stages: Sequence[Stage],
    *,
    authority: Path,
    state: Path,
    force: bool,
    anew: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    client, wall = AdminClient(state), wall_now()
    signer, trust = load_authority(authority)
    status = client.document("/v1/status")
    mesh = status["mesh"]
    if mesh != trust.mesh_id.hex():
        raise MeshError("policy.mesh", f"{authority} is of another mesh than the node at {state}: {mesh[:8]}")
    check_told(status, trust, authority)
    by = check_authority(signer, trust, Capability.POLICY, wall=wall)
    settled = None if anew else _said_already(client, text, by)
    document = settled or _next(client, text, stages, force=force, wall=wall)
    if settled is None:
        raw = sign_as_authority(POLICY_LABEL, document.body, signer, trust.mesh_id)
        if client.offer("policy", raw) == "stale":
            raise MeshError("policy.stale", "a newer policy came meanwhile; look at it, and apply again")
    started = time.monotonic()
    shown = client.document("/v1/policy")
    try:
        while timeout_s is not None and _have(shown, document) < len(_enforcing(shown)):
            if time.monotonic() > started + timeout_s:
                break
            _say_progress(shown, document)
            time.sleep(POLL_S)
            shown = client.document("/v1/policy")
    except KeyboardInterrupt:
        text = f"policy version {document.version} is with the mesh already, and goes on without this command"
        click.echo(f"{text}; see `gossipmesh policy show --nodes`", err=True)
        raise
    have, nodes = _have(shown, document), len(_enforcing(shown))
    old = [node["node"] for node in shown["nodes"] if not node["enforces"]]
    took_s = round(time.monotonic() - started, 3)
    if as_json:
        fields: dict[str, object] = {"version": document.version, "hash": document.hash.hex()}
        fields["unchanged"] = settled is not None
        fields["stages_ignored"] = bool(stages) and settled is not None
        put(json.dumps({**fields, "nodes": nodes, "have": have, "seconds": took_s, "old": old}))
    else:
        already = "" if settled is None else " says this already"
        put(
            f"policy version {document.version}{already}: {have} of {nodes} nodes have it, after {took_s:.1f} s"
        )
        if stages and settled is not None:
            put(
                "It is in force everywhere, so its stages are not gone through; --force signs it again, with them."
            )
        elif stages:
            first = f"{stages[0].share / PERCENT:g} % of them for {stages[0].hold_s} s"
            put(f"It is tried at {first} first; `gossipmesh policy show --nodes` says how it goes.")
        _say_missing(shown, document)
    warn_of(old, "policies")
    if timeout_s is not None and have < nodes:
        ctx.exit(1)


def _said_already(client: AdminClient, text: str, by: Signer) -> PolicyDocument | None:
    """Give the newest document, if it is in force everywhere, says ``text``, and is signed ``by`` the same.

    To sign that again changes nothing. Under another key it does: a policy falls with its signer.
    """
    shown = client.document("/v1/policy")
    if not shown["policy"] or shown["text"] != text or not signed_by(shown["policy"], by):
        return None
    newest = decode_document_untrusted(bytes.fromhex(shown["body"]))
    return newest if not newest.stages or shown["verdict"] == "done" else None


def signed_by(policy: Mapping[str, Any], by: Signer) -> bool:
    """Tell whether a policy, as ``/v1/policy`` shows it, falls with the same revocations as what ``by`` signs."""
    names = {name.hex() for name in (*by.token_ids, *by.issuers)}
    return (policy["signer"] == ROOT) == by.is_root and names == set(policy["signer_names"])


def _next(
    client: AdminClient, text: str, stages: Sequence[Stage], *, force: bool, wall: float
) -> PolicyDocument:
    """Give the document that follows on whatever this node remembers."""
    shown, history = client.document("/v1/policy"), client.document("/v1/policy/history")
    before = decode_document_untrusted(bytes.fromhex(shown["body"])) if shown["policy"] else None
    highest = max((entry["version"] for entry in history["policies"]), default=0)
    back = in_force(before, shown["verdict"], force=force)
    return new_document(
        highest + 1,
        text,
        signed_at=int(wall),
        before=before,
        stages=stages,
        return_to=back if stages else NO_DOCUMENT,
    )


def in_force(newest: PolicyDocument | None, verdict: str, *, force: bool) -> bytes:
    """Give the hash of the document that holds everywhere, which is where the next one returns to.

    That is not always the newest: it may have been returned itself, and to return to it would put into force what
    failed. While it is still being rolled out, it is not known yet which one it will be; with ``force``, it is the one
    before, which has held everywhere.

    Args:
        newest: the newest document; None: there is none.
        verdict: what this node says of it.
        force: whether a rollout that runs is to be ended.

    Raises:
        MeshError: ``policy.rollout``: one runs.
    """
    if newest is None:
        return NO_DOCUMENT
    if not newest.stages or verdict == "done":
        return newest.hash
    if verdict != "returned" and not force:
        text = f"version {newest.version} is being rolled out ({verdict or 'not begun'}), and a new version ends that"
        hint = "see `gossipmesh policy show --nodes`; wait, or --force"
        raise MeshError("policy.rollout", f"{text}; {hint}")
    return newest.return_to


def _enforcing(shown: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the members whose release goes by policies: nobody waits for the others."""
    return [node for node in shown["nodes"] if node["enforces"]]


def _has(node: Mapping[str, Any], document: PolicyDocument) -> bool:
    return node["version"] > document.version or document.hash.hex().startswith(node["hash"] or "none")


def _have(shown: Mapping[str, Any], document: PolicyDocument) -> int:
    return sum(_has(node, document) for node in _enforcing(shown))


def _say_progress(shown: Mapping[str, Any], document: PolicyDocument) -> None:
    if sys.stderr.isatty():
        text = f"{_have(shown, document)} of {len(_enforcing(shown))} nodes have version {document.version}"
        click.echo(f"\r{text}", nl=False, err=True)


def _say_missing(shown: Mapping[str, Any], document: PolicyDocument) -> None:
    missing = [node["node"] for node in _enforcing(shown) if not _has(node, document)]
    if missing:
        put(f"not yet: {', '.join(missing[:16])}")

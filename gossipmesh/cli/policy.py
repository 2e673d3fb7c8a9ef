"""``gossipmesh policy``: look at the mesh's policy, try a new one on, and put it in force."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from gossipmesh.cli.applying import apply, rollback
from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.linting import lint, policy_of_file
from gossipmesh.cli.options import with_json, with_state
from gossipmesh.cli.render import put, show_table
from gossipmesh.config.policy_diff import differences
from gossipmesh.config.policy_text import read_policy
from gossipmesh.model import NodeId
from gossipmesh.policy.document import NO_DOCUMENT, PolicyDocument, decode_document_untrusted
from gossipmesh.policy.rollout import takes_part

SHORT_HASH: Final = 8
DEFAULT: Final = "default"
"""Stands for the version where there is no document: the decision of the mesh's first trust bundle."""
UNKNOWN: Final = "?"


@click.group(short_help="Show, try and apply the mesh's policy.", no_args_is_help=False)
def policy() -> None:
    """Show, try and apply the mesh's policy: who may call what, and how requests to each service are treated.

    One signed document with a version holds for the whole mesh. FILE is its text, in TOML.
    """


policy.add_command(lint)
policy.add_command(apply)
policy.add_command(rollback)


@policy.command(short_help="Show how a file differs from the policy in force.")
@click.argument("file", type=click.Path(path_type=Path))
@with_state
@with_json
@click.pass_context
def diff(ctx: click.Context, *, file: Path, state: Path, as_json: bool) -> None:
    """Show what FILE says otherwise than the policy in force at this node, a line for each. Exit status 1: it does.

    That is not the newest document, where that was returned or is still being rolled out.
    """
    found = policy_of_file(file)
    client = AdminClient(state)
    shown = client.document("/v1/policy")
    version, newest = shown["enforced"], shown["policy"]["version"] if shown["policy"] else 0
    lines = differences(read_policy(_enforced_text(client, shown), version=version), found)
    if as_json:
        put(json.dumps({"version": version, "newest": newest, "differs": bool(lines), "diff": lines}))
    elif lines:
        what = f"version {version}" if version else "the mesh's default, for there is no policy"
        put("\n".join([f"# against {what}, in force at this node", *lines]))
    if version != newest:
        text = f"version {newest} is the newest, and not in force at this node ({shown['verdict']})"
        click.echo(f"gossipmesh: {text}; see `gossipmesh policy show --nodes`", err=True)
    if lines:
        ctx.exit(1)


def _enforced_text(client: AdminClient, shown: Mapping[str, Any]) -> str:
    """Give the text by which the node decides, where ``shown`` is what it says of the newest document.

    Raises:
        MeshError: it is another document than the newest, and not remembered.
    """
    version: int = shown["enforced"]
    if not version:
        return f'default = "{shown["default"]}"'
    newest = shown["policy"] is not None and shown["policy"]["version"] == version
    text: str = (shown if newest else client.document(f"/v1/policy/{version}"))["text"]
    return text


@policy.command(short_help="Show the policy's text, and where it is in force.")
@click.option("--version", type=click.IntRange(1), help="An earlier one.")
@click.option("--nodes", is_flag=True, help="Show which version each member has, in place of the text.")
@with_state
@with_json
def show(*, version: int | None, nodes: bool, state: Path, as_json: bool) -> None:
    """Show the newest policy, as its author wrote it, behind comments that say where it is in force."""
    client = AdminClient(state)
    document = client.document("/v1/policy" if version is None else f"/v1/policy/{version}")
    if as_json:
        put(json.dumps(document))
    elif nodes:
        newest = document if version is None else client.document("/v1/policy")
        by = _goes_by(client, newest)
        rows = [
            (
                each["node"],
                str(each["version"]),
                _standing(each),
                by(each),
                each["hash"][:SHORT_HASH],
                each["id"][:8],
            )
            for each in document["nodes"]
        ]
        show_table(("NODE", "VERSION", "STATE", "GOES BY", "HASH", "ID"), rows)
    else:
        put("\n".join([*_comments(document), document["text"].rstrip("\n")]).rstrip("\n"))


def _goes_by(client: AdminClient, newest: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    """Give what says by which version a member decides, of which its record has only what it knows and how it does."""
    entry = newest["policy"]
    if entry is None:
        return lambda _: DEFAULT
    document = decode_document_untrusted(bytes.fromhex(newest["body"]))
    kept = client.document("/v1/policy/history")["policies"] if document.stages else []
    versions = {each["hash"]: str(each["version"]) for each in kept} | {NO_DOCUMENT.hex(): DEFAULT}
    before = versions.get(document.return_to.hex(), UNKNOWN)

    def by(node: Mapping[str, Any]) -> str:
        if not node["version"]:
            return DEFAULT if node["enforces"] else ""
        if node["verdict"] == "done":
            return str(node["version"])
        if not entry["hash"].startswith(node["hash"]):
            return UNKNOWN  # It is in the middle of another document, of which the stages are not known here.
        return str(document.version) if is_tried(node, document) else before

    return by


def is_tried(node: Mapping[str, Any], document: PolicyDocument) -> bool:
    """Tell whether a member that reports on a document in stages goes by it, and not by the one before."""
    if node["verdict"] == "returned":
        return False
    share = document.stages[min(node["stage"], len(document.stages) - 1)].share
    return takes_part(NodeId(bytes.fromhex(node["id"])), document.version, share)


def _comments(document: Mapping[str, Any]) -> list[str]:
    entry, some = document["policy"], document["nodes"]
    if entry is None:
        return [
            f"# There is no policy document; what holds is the mesh's default: {document['default']} all."
        ]
    signed = f"signed by {entry['signer']} {entry['signed_at']}"
    about = f"# version {entry['version']} ({entry['hash'][:SHORT_HASH]}), {signed}"
    if not entry["newest"]:
        return [f"{about}; not the newest"]
    have = sum(each["version"] == entry["version"] for each in some)
    lines = [
        about,
        f"# known to {have} of {len(some)} nodes; this one goes by version {document['enforced']}",
    ]
    if entry["stages"]:
        lines.append(f"# rolled out in {len(entry['stages'])} stages: {document['verdict']}")
    return lines


def _standing(node: Mapping[str, Any]) -> str:
    return node["verdict"] if node["verdict"] != "watching" else f"watching, stage {node['stage'] + 1}"


@policy.command(short_help="Show the policies that are remembered.")
@with_state
@with_json
def history(state: Path, as_json: bool) -> None:
    """Show the policy documents that this node remembers, the newest first."""
    document = AdminClient(state).document("/v1/policy/history")
    if as_json:
        put(json.dumps(document))
        return
    rows = [
        (
            str(each["version"]),
            "newest" if each["newest"] else "",
            each["signed_at"],
            each["signer"],
            str(len(each["stages"]) or ""),
            each["hash"][:SHORT_HASH],
        )
        for each in document["policies"]
    ]
    show_table(("VERSION", "STATE", "SIGNED", "BY", "STAGES", "HASH"), rows)

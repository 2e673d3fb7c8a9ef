"""``gossipmesh token``: make, narrow and show join tokens, all offline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from gossipmesh.cli.minting import (
    SHORT_S,
    any_node,
    caveats_of,
    hint,
    mint,
    with_caveats,
    with_ttl,
)
from gossipmesh.cli.options import SomePath, token_of_argument, wall_now, with_json, with_state
from gossipmesh.cli.render import put
from gossipmesh.daemon.disk.root import load_root, token_of_text
from gossipmesh.identity.block import MAX_BLOCKS
from gossipmesh.identity.describe import can_meet, describe, describe_block, describe_validity
from gossipmesh.identity.grants import Capability, Grants, Restrictions
from gossipmesh.identity.token import Token, narrow


@click.group(short_help="Make, narrow and show join tokens.", no_args_is_help=False)
def token() -> None:
    """Make, narrow and show join tokens.

    Whoever has a token can let nodes join, within what it allows. TOKEN is the token itself, the name of a file
    that holds it, or - for standard input.
    """


@token.command(short_help="Make a token; it is alone on stdout.")
@click.option(
    "--root",
    "directory",
    required=True,
    type=SomePath(path_type=Path),
    metavar="DIR",
    help="What `gossipmesh init` made, or the state of the node that started the mesh.",
)
@with_caveats
@with_ttl("365d", "How long it, and the nodes that it lets in, may last.")
def new(
    *,
    directory: Path,
    services: tuple[str, ...],
    names: tuple[str, ...],
    groups: tuple[str, ...],
    caps: tuple[str, ...],
    quota: int | None,
    ttl_s: float,
) -> None:
    """Make a join token.

    Without options it lets any node join and offer any service, for a year.
    """
    wall = wall_now()
    caveats = caveats_of(
        services=services,
        names=names,
        groups=groups,
        caps=caps,
        quota=quota,
        expires_at=wall + ttl_s,
        wall=wall,
    )
    made = mint(load_root(directory), caveats)
    put(str(made))
    _advise(made, ttl_s)


@token.command("narrow", short_help="Make of a token one that allows less.")
@click.argument("text", metavar="TOKEN")
@with_caveats
@with_ttl(None, "How long it may last, from now; never longer than TOKEN.")
def narrow_(
    *,
    text: str,
    services: tuple[str, ...],
    names: tuple[str, ...],
    groups: tuple[str, ...],
    caps: tuple[str, ...],
    quota: int | None,
    ttl_s: float | None,
) -> None:
    """Make of TOKEN one that allows less; nothing given here can add to what TOKEN allows."""
    wall = wall_now()
    wide = token_of_text(token_of_argument(text))
    expires_at = wide.grants.expires_at if ttl_s is None else min(wide.grants.expires_at, wall + ttl_s)
    caveats = caveats_of(
        services=services,
        names=names,
        groups=groups,
        caps=caps,
        quota=quota,
        expires_at=expires_at,
        wall=wall,
    )
    made = narrow(wide, caveats, os.urandom)
    put(str(made))
    for each in in_vain(wide.grants, services=services, names=names, groups=groups, caps=caps):
        hint(f"TOKEN does not allow the {each}, so this one does not either.")
    _advise(made, expires_at - wall)


def in_vain(
    wide: Grants, *, services: Sequence[str], names: Sequence[str], groups: Sequence[str], caps: Sequence[str]
) -> Iterator[str]:
    """Give what somebody asks a narrower token to allow, and ``wide`` does not; globs, if nothing can meet both."""
    kinds: tuple[tuple[str, Sequence[str], Callable[[str], bool]], ...] = (
        ("service", services, lambda glob: can_meet([(glob,), *wide.services])),
        ("name", names, lambda glob: can_meet([(glob,), *wide.names])),
        ("group", groups, lambda group: group in wide.groups),
        ("capability", caps, lambda cap: wide.allows(Capability(cap))),
    )
    for what, asked, allows in kinds:
        yield from (f"{what} {each}" for each in asked if not allows(each))


@token.command(short_help="Show what a token allows, or the line that adds a node.")
@click.argument("text", metavar="[TOKEN]", required=False)
@click.option(
    "--join", is_flag=True, help="Print the whole line that adds a node to this node's mesh: a secret."
)
@with_state
@with_json
def show(text: str | None, join: bool, state: Path, as_json: bool) -> None:
    """Show what TOKEN allows, or with --join the command that adds a node to the mesh that was started here."""
    if join == (text is not None):
        raise click.UsageError("name a TOKEN, or --join for the line that adds a node.")
    if text is None:
        line = join_line(state)
        put(json.dumps({"command": line}) if as_json else line)
        return
    shown = token_of_text(token_of_argument(text))
    if as_json:
        put(json.dumps(_document(shown)))
        return
    for line in _in_words(shown, wall_now()):
        put(line)


def _in_words(shown: Token, wall: float) -> Iterator[str]:
    """Give what each block adds, and what is left of it all."""
    yield f"mesh: {shown.mesh_id.hex()}"
    yield f"default decision: {'allow' if shown.trust().default_allow else 'deny'}"
    yield f"trust bundle: {shown.bundles[-1].n}"
    for number, block in enumerate(shown.blocks, start=1):
        who = f"the root {shown.root[:4].hex()}" if number == 1 else "the holder of the block before"
        yield f"block {number}, by {who}:"
        yield from (f"  {line}" for line in describe_block(block.restrictions))
    yield "what remains:" if len(shown.blocks) > 1 else "which is to say:"
    yield from (f"  {line}" for line in describe(shown.grants, shown.token_ids))
    if shown.quotas:
        yield f"  quota: {min(quota.nodes for quota in shown.quotas)}, or less where others narrowed this token too"
    yield f"  {describe_validity(shown.grants, wall)}"
    left = MAX_BLOCKS - 1 - len(shown.blocks)
    yield f"  can be narrowed {'once more' if left == 1 else f'{left} more times' if left else 'no further'}"


def join_line(state: Path) -> str:
    """Give the command that adds a node to the mesh that the node with ``state`` started, with a fresh token.

    Raises:
        StateError: this node keeps no root key.
        UnreachableError: it does not run, so that nobody knows where it listens.
    """
    from gossipmesh.cli.client import AdminClient

    root = load_root(state)
    address = AdminClient(state).document("/v1/status")["address"]
    return f"gossipmesh up --join {address} --token {mint(root, any_node(wall_now()))}"


def _document(shown: Token) -> dict[str, object]:
    grants = shown.grants
    return {
        "mesh": shown.mesh_id.hex(),
        "default": "allow" if shown.trust().default_allow else "deny",
        "capabilities": sorted(capability.value for capability in grants.caps),
        "services": [list(globs) for globs in grants.services],
        "names": [list(globs) for globs in grants.names],
        "groups": sorted(grants.groups),
        "not_before": grants.not_before,
        "expires_at": grants.expires_at,
        "token_ids": [token_id.hex() for token_id in shown.token_ids],
        "quota": min((quota.nodes for quota in shown.quotas), default=None),
        "root": shown.root.hex(),
        "bundle": shown.bundles[-1].n,
        "blocks": [_block(block.restrictions) for block in shown.blocks],
    }


def _block(stated: Restrictions) -> dict[str, object]:
    """Give what one block states; what it leaves as it was is null, or an empty list of lists."""
    caps, groups = stated.caps, stated.groups
    return {
        "capabilities": None if caps is None else sorted(capability.value for capability in caps),
        "services": [list(globs) for globs in stated.services],
        "names": [list(globs) for globs in stated.names],
        "groups": None if groups is None else sorted(groups),
        "not_before": stated.not_before,
        "expires_at": stated.expires_at,
        "token_ids": [token_id.hex() for token_id in stated.token_ids],
        "quota": stated.quota,
    }


def _advise(made: Token, lasts_s: float) -> None:
    if not made.grants.allows(Capability.JOIN):
        hint("This token lets no node join: add --can join if it should.")
    if made.quotas and made.grants.allows(Capability.ISSUE):
        hint(
            "Its quota does not bind nodes that an issuer of it admits; leave out --can issue where it should."
        )
    if lasts_s < SHORT_S:
        hint("Nodes of a token under 7d need a member with --can issue, which renews them.")

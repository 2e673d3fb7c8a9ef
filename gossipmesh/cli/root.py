"""``gossipmesh root``: show and replace the key that a mesh's trust begins with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from gossipmesh import crypto
from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import SomePath, with_json, with_state
from gossipmesh.cli.render import put
from gossipmesh.daemon.disk.root import MeshRoot, drop_root, load_root, rotate_root
from gossipmesh.errors import ConfigError, MeshError

SHORT: Final = 8


@click.group(short_help="Show and replace the mesh's root key.", no_args_is_help=False)
def root() -> None:
    """Show and replace the mesh's root key.

    `root rotate` makes a new key beside the present one, both of them good; the mesh moves onto the new one by
    itself, from its issuers down; `root drop` ends the old one.
    """


with_root = click.option(
    "--root",
    "directory",
    required=True,
    type=SomePath(path_type=Path),
    metavar="DIR",
    help="What `gossipmesh init` made, or the state of the node that started the mesh.",
)


@root.command(short_help="Show the mesh's roots.")
@with_root
@with_json
def show(directory: Path, as_json: bool) -> None:
    """Show the mesh's roots as DIR has them; which members hang on which, `gossipmesh status` tells."""
    held = load_root(directory)
    present = crypto.signing_public(held.seed)
    if as_json:
        document = {
            "mesh": held.trust.mesh_id.hex(),
            "bundle": held.trust.n,
            "roots": [each.hex() for each in held.trust.roots],
            "present": present.hex(),
        }
        put(json.dumps(document))
        return
    put(f"mesh: {held.trust.mesh_id.hex()}")
    put(f"trust bundle: {held.trust.n}")
    for each in held.trust.roots:
        put(f"root: {each.hex()}{' (in root.key)' if each == present else ''}")


@root.command(short_help="Make a new root key; the present one stays good until it is dropped.")
@with_root
def rotate(directory: Path) -> None:
    """Make a new root key beside the present one.

    Both are good until `gossipmesh root drop`.
    """
    held = rotate_root(directory, os.urandom)
    put(f"trust bundle {held.trust.n} lists the new root {_short(held)} beside the old one")
    for line in (
        "What to do next:",
        "  1. give each issuer a new token, which also tells the mesh of the new root, and start it again with it:",
        f"       gossipmesh token new --root {directory} --can join --can issue > TOKEN",
        "       gossipmesh up --token-file TOKEN   (in its present state directory: it stays the same node)",
        "     a mesh without issuers: so each node, or one new node with such a token",
        "  2. wait until nobody hangs on the old root: gossipmesh status",
        "     all other nodes have their chains renewed onto the new one by the issuers, within minutes",
        f"  3. gossipmesh root drop --root {directory}",
        "Tokens of the old root admit nodes until then; make new ones for whoever holds them.",
    ):
        click.echo(line, err=True)


@root.command(short_help="End every root but the present one.")
@with_root
@with_state
@click.option("--force", is_flag=True, help="Drop it although members hang on it, or nobody can say.")
def drop(directory: Path, state: Path, force: bool) -> None:
    """End every root but the present one: what hangs on them is worth nothing as soon as the mesh hears of it.

    It first asks the node of this host whether members still hang on them.
    """
    held = load_root(directory)
    present = crypto.signing_public(held.seed)
    if not force:
        _check_nobody_hangs(state, held, present)
    dropped = drop_root(directory)
    put(f"trust bundle {dropped.trust.n} lists the root {_short(dropped)} alone.")
    click.echo(
        "The mesh hears of it from the next node that starts with a token made now: "
        f"gossipmesh token new --root {directory}",
        err=True,
    )


def _check_nobody_hangs(state: Path, held: MeshRoot, present: bytes) -> None:
    """Check with the local daemon that the mesh has moved.

    Raises:
        UnreachableError: no daemon answers.
        ConfigError: it is of another mesh.
        MeshError: ``root.in-use``: members would be shut out.
    """
    document: dict[str, Any] = AdminClient(state).document("/v1/status")
    if document["mesh"] != held.trust.mesh_id.hex():
        raise ConfigError(
            "root.other-mesh", f"the node of {state} is of another mesh; name its --state DIR, or --force"
        )
    roots = {entry["root"]: entry["members"] for entry in document["roots"]}
    if present.hex() not in roots:
        text = "the mesh has not heard of the new root yet: start an issuer with a token made now"
        raise MeshError("root.unknown", f"{text}; --force drops the old one all the same")
    hanging = sum(count for key, count in roots.items() if key != present.hex())
    if hanging:
        text = f"{hanging} members hang on the old root and would be shut out: give the issuers new tokens and wait"
        raise MeshError("root.in-use", f"{text}; --force drops it all the same")


def _short(held: MeshRoot) -> str:
    return crypto.signing_public(held.seed)[: SHORT // 2].hex()

"""``gossipmesh root``: show and replace the key that a mesh's trust begins with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from gossipmesh import crypto
from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import SomePath, with_json, with_state
from gossipmesh.cli.render import put
from gossipmesh.config.places import admin_socket
from gossipmesh.daemon.disk.root import MeshRoot, drop_root, load_root, rotate_root
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.grants import Capability
from gossipmesh.policy.document import POLICY_LABEL

SHORT: Final = 8
ROOT: Final = "root"
"""What a daemon calls a signer that is a root key."""
MAX_NAMED: Final = 8
"""Members that one line names."""


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
@with_state
def rotate(directory: Path, state: Path) -> None:
    """Make a new root key beside the present one, and tell the mesh of it by the node of this host.

    Both are good until `gossipmesh root drop`.
    """
    held = rotate_root(directory, os.urandom)
    put(f"trust bundle {held.trust.n} lists the new root {_short(held)} beside the old one")
    _tell_if_possible(state, directory, held)
    needs = _needs(_node_of(state, directory))
    flags = "--can join --can issue [--can CAP]... [--group G]..." if needs is None else needs
    for line in (
        "What to do next:",
        "  1. give each issuer a new token, and start it again with it:",
        f"       gossipmesh token new --root {directory} {flags} > TOKEN",
        "     with every group and capability of whom the issuer renews: a renewed chain has no more than its issuer's",
        f"     ({'name them all' if needs is None else 'the line above has those of all present members'})",
        "       gossipmesh up --token-file TOKEN   (in its present state directory: it stays the same node)",
        "     the node that keeps the root key moves by itself",
        "     a mesh without issuers: so each node, or one new node with such a token",
        "  2. wait until nobody hangs on the old root: gossipmesh status",
        "     all other nodes have their chains renewed onto the new one by the issuers, within minutes",
        f"  3. gossipmesh root drop --root {directory}",
        "Tokens of the old root admit nodes until then; make new ones for whoever holds them.",
    ):
        click.echo(line, err=True)


@root.command(short_help="Tell the mesh of the roots that DIR lists.")
@with_root
@with_state
def tell(directory: Path, state: Path) -> None:
    """Tell the mesh, by the node of this host, of the roots that DIR lists: where a rotation found no node to do it."""
    held = load_root(directory)
    if not _tell(_node_of(state, directory), held):
        put(f"there is nothing to tell: the mesh has trust bundle {held.trust.n} already")


@root.command(short_help="End every root but the present one.")
@with_root
@with_state
@click.option("--force", is_flag=True, help="Drop it although members hang on it, or nobody can say.")
def drop(directory: Path, state: Path, force: bool) -> None:
    """End every root but the present one: what hangs on them is worth nothing as soon as the mesh hears of it.

    It first asks the node of this host whether members still hang on them, and tells the mesh by it afterwards.
    """
    held = load_root(directory)
    if not force:
        client = _node_of(state, directory)
        _tell(client, held)
        _check_nobody_hangs(client, crypto.signing_public(held.seed))
    dropped = drop_root(directory)
    put(f"trust bundle {dropped.trust.n} lists the root {_short(dropped)} alone")
    _tell_if_possible(state, directory, dropped)


def _needs(client: AdminClient) -> str | None:
    """Give the flags of a token that has whatever some member has; None where no daemon tells."""
    try:
        members = client.document("/v1/identities")["identities"]
    except MeshError:
        return None
    caps = {
        Capability.JOIN.value,
        Capability.ISSUE.value,
        *(cap for each in members for cap in each["capabilities"]),
    }
    groups = sorted({group for each in members for group in each["groups"]})
    ordered = [each.value for each in Capability if each.value in caps]
    return " ".join([*(f"--can {cap}" for cap in ordered), *(f"--group {group}" for group in groups)])


def check_told(status: Mapping[str, Any], trust: TrustStore, place: Path) -> None:
    """Check that a node knows of the roots by which something is to be signed, before it refuses it.

    Args:
        status: what the node says of itself at ``/v1/status``.
        trust: what ``place`` has; of another mesh, it is for others to say.
        place: a root's directory, or a token's file.

    Raises:
        MeshError: ``root.untold``.
    """
    if status["mesh"] == trust.mesh_id.hex() and status["bundle"] < trust.n:
        text = (
            f"{place} has trust bundle {trust.n}, and the node {status['name']} knows of {status['bundle']}"
        )
        tell = f"gossipmesh root tell --root {place if place.is_dir() else 'DIR'}"
        raise MeshError("root.untold", f"{text}; tell it first: {tell}")


def _node_of(state: Path, directory: Path) -> AdminClient:
    """Give the daemon to speak to: that of ``directory``, if it is a node's own state, else that of ``state``."""
    return AdminClient(directory if admin_socket(directory).exists() else state)


def _tell_if_possible(state: Path, directory: Path, held: MeshRoot) -> None:
    client = _node_of(state, directory)
    try:
        _tell(client, held)
        if len(held.trust.roots) == 1:
            _sign_policy_again(client, held)
    except MeshError as error:
        text = f"the mesh does not know of it yet: {error}"
        hint = f"tell it by one of its nodes: gossipmesh root tell --root {directory} --state DIR"
        click.echo(f"gossipmesh: {text}; {hint}", err=True)


def _tell(client: AdminClient, held: MeshRoot) -> bool:
    """Hand in the bundles that the daemon lacks, and tell whether there were any; what it takes it tells the mesh.

    Raises:
        UnreachableError: no daemon answers.
        ConfigError: it is of another mesh.
        MeshError: it refuses the bundle.
    """
    document: dict[str, Any] = client.document("/v1/status")
    if document["mesh"] != held.trust.mesh_id.hex():
        raise ConfigError(
            "root.other-mesh", f"the node {document['name']} is of another mesh; name its --state DIR"
        )
    lacking = held.trust.path[document["bundle"] + 1 :]
    for bundle in lacking:
        client.offer("bundle", bundle.raw)
    if lacking:
        alive = document["members"]["alive"]
        put(f"told the node {document['name']}, and by it the mesh ({alive} members)")
    return bool(lacking)


def _sign_policy_again(client: AdminClient, held: MeshRoot) -> None:
    """Sign the newest policy with the present root, where one that was dropped had: a newcomer could not check it.

    The same body is the same document, so nothing that is decided changes, and no version rises.
    """
    document: dict[str, Any] = client.document("/v1/policy")
    if document["policy"] is None or document["policy"]["signer"] != ROOT:
        return
    body = bytes.fromhex(document["body"])
    client.offer("policy", sign_as_authority(POLICY_LABEL, body, Authority(held.seed), held.trust.mesh_id))
    put(f"signed policy version {document['policy']['version']} again with the new root")


def _check_nobody_hangs(client: AdminClient, present: bytes) -> None:
    """Check with the local daemon that the mesh has moved.

    Raises:
        UnreachableError: no daemon answers.
        MeshError: ``root.in-use``: members would be shut out.
    """
    identities: list[dict[str, Any]] = client.document("/v1/identities")["identities"]
    hanging = sorted(each["name"] for each in identities if each["root"] != present.hex())
    if hanging:
        named = ", ".join(hanging[:MAX_NAMED]) + (", ..." if len(hanging) > MAX_NAMED else "")
        text = f"{len(hanging)} members hang on the old root and would be shut out ({named})"
        hint = "give the issuers new tokens and wait; --force drops it all the same"
        raise MeshError("root.in-use", f"{text}: {hint}")


def _short(held: MeshRoot) -> str:
    return crypto.signing_public(held.seed)[: SHORT // 2].hex()

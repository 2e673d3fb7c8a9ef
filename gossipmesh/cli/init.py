"""``gossipmesh init``: make a mesh."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gossipmesh.cli.minting import any_node, mint
from gossipmesh.cli.options import SomePath, wall_now
from gossipmesh.cli.render import put
from gossipmesh.daemon.disk.root import create_root, make_root


@click.command(short_help="Make a mesh: its root key and its first join token.")
@click.argument("directory", metavar="DIR", type=SomePath(path_type=Path))
@click.option(
    "--default-deny",
    is_flag=True,
    help="Deny every request until a policy allows it. What holds without a policy cannot be changed later.",
)
def init(directory: Path, default_deny: bool) -> None:
    """Make a mesh in DIR: a root key and a trust bundle.

    The first join token is alone on stdout: `gossipmesh init mesh > token`.
    """
    root = make_root(os.urandom, default_allow=not default_deny)
    create_root(directory, root)
    put(str(mint(root, any_node(wall_now()))))
    default = "denied until a policy allows them" if default_deny else "allowed between all members"
    for line in (
        f"Made the mesh {root.trust.mesh_id[:4].hex()} in {directory}; requests are {default}.",
        f"Keep {directory}/root.key off the nodes: whoever has it can admit anybody.",
        "The line on stdout is the first join token, good for a year: a secret too. Put it into a file, then run",
        "  first node:  gossipmesh up --token-file FILE",
        "  the others:  gossipmesh up --token-file FILE --join FIRST-NODE:7946",
        f"What is allowed:  gossipmesh policy apply FILE --root {directory}",
        f"More tokens, narrower ones too: gossipmesh token new --root {directory} --service 'web*' --ttl 30d",
    ):
        click.echo(line, err=True)

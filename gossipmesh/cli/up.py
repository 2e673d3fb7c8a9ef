"""``gossipmesh up``: run the daemon."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TextIO

import click

from gossipmesh.cli.options import SomePath, token_of_file, token_of_stdin
from gossipmesh.errors import ConfigError

HIDDEN: Final = "/dev/fd/"
_TOKEN: Final = re.compile(r"gmt1\.[A-Za-z0-9_-]+")


@click.command(short_help="Run the daemon: start a mesh, or join one.")
@click.option(
    "-c",
    "--config",
    "file",
    type=SomePath(path_type=Path),
    envvar="GOSSIPMESH_CONFIG",
    metavar="FILE",
    help="A TOML file; what flags and GOSSIPMESH_* variables say comes before it.",
)
@click.option("--name", metavar="N", help="This node's name; by default the host's.")
@click.option("--token-file", type=SomePath(), metavar="F", help="Where the join token is.")
@click.option(
    "--token", metavar="T", help="The join token, or - for standard input. Others may see it in `ps`."
)
@click.option(
    "--join", multiple=True, metavar="HOST[:PORT]", help="A node of the mesh; tried until one answers."
)
@click.option(
    "--service",
    multiple=True,
    metavar="NAME=PORT[,weight=N][,tag=T]...[,protocol=tcp][,health=/PATH]",
    help="A service of this host, listening on 127.0.0.1; with protocol=tcp it is reached by CONNECT.",
)
@click.option("--bind", metavar="A", help="Where to listen for the mesh, UDP and TCP. [0.0.0.0:7946]")
@click.option("--advertise", metavar="A", help="What others dial, where that is not what is bound.")
@click.option("--proxy", metavar="A", help="Where local apps send their requests. [127.0.0.1:4140]")
@click.option(
    "--upstream", multiple=True, metavar="NAME=[HOST:]PORT", help="A port of its own for one service."
)
@click.option("--admin", metavar="A", help="The read-only admin API and metrics. [127.0.0.1:4191]")
@click.option(
    "--dns", metavar="A", help="Where the names of the mesh are asked for, or off. [127.0.0.1:8600]"
)
@click.option("--zone", metavar="Z", help="Where this node stands.")
@click.option("--state", type=SomePath(), metavar="DIR", help="The state directory.")
def up(file: Path | None, token: str | None, **flags: object) -> None:
    """Run the daemon until it is told to stop.

    With no token and no --join it starts a mesh of its own and prints the line that adds a node; with a token and
    no --join it is the first node of that token's mesh; with both it joins, and goes on trying until a seed
    answers. SIGTERM drains, leaves and exits 0; SIGHUP reads the file again.
    """
    # `up --help` need not wait for these to load, nor a mistake in the configuration for the daemon.
    from gossipmesh.config.keys import FLAGS
    from gossipmesh.config.load import load

    by_path = {path: flags[flag.removeprefix("--").replace("-", "_")] for path, flag in FLAGS.items()}
    environ = dict(os.environ)
    loaded = load(file, environ, by_path)
    node = loaded.config.node
    from_flag = loaded.origins["node.token_file"] == FLAGS["node.token_file"]
    text = token_text(token, os.environ, node.token_file, file_from_flag=from_flag, state=node.state)
    if token is not None:
        hide_token(sys.orig_argv, token, sys.executable, os.execv)
    forget_hidden(node.token_file)
    from gossipmesh.daemon.run import run

    again = partial(load, file, environ, by_path)
    run(loaded, token=text, announce=announcer(sys.stderr, node.state), again=again)


def token_text(
    flag: str | None,
    environ: Mapping[str, str],
    file: Path | None,
    *,
    file_from_flag: bool,
    state: Path,
) -> str | None:
    """Give the join token from where it is said to be: a flag, then a variable, then the configured file.

    A node that has joined needs no token any more, so a token file that was taken away since is no error then.

    Raises:
        ConfigError: both flags are given, or one is empty; the file cannot be read.
        TrustError: ``--token`` is none.
    """
    if flag is not None:
        if file_from_flag:
            raise ConfigError("config.token", "--token and --token-file are both given; keep --token-file")
        if flag == "-":
            return token_of_stdin()
        if not flag.strip():
            raise ConfigError("config.token", "--token is empty; is a variable unset?")
        from gossipmesh.daemon.disk.root import token_of_text

        # What is no token is not warned about as well: its error comes now, and is the one line.
        token_of_text(flag)
        click.echo("gossipmesh: warning: others can see --token in `ps`; prefer --token-file", err=True)
        return flag
    variable = environ.get("GOSSIPMESH_TOKEN", "").strip()
    if variable and not file_from_flag:
        return variable
    if file is None:
        return None
    if not os.path.exists(file):
        from gossipmesh.daemon.disk.state import has_identity

        if has_identity(state):
            return None
    return token_of_file(file)


def hide_token(
    argv: Sequence[str], token: str, program: str, execute: Callable[[str, list[str]], object]
) -> None:
    """Begin again as the same process without the token among its arguments, where others read it in `ps`.

    A process cannot change what it was started with; what it executes is started anew. The token goes along in memory
    that has no name. For a moment it was seen all the same, and a shell keeps it in its history: hence the warning.
    """
    descriptor = os.memfd_create("token", 0)  # without MFD_CLOEXEC: it is to be inherited
    os.write(descriptor, token.encode())
    hidden = f"{HIDDEN}{descriptor}"
    told = [
        hidden if before == "--token" else f"--token-file={hidden}" if word == f"--token={token}" else word
        for before, word in zip(("", *argv), argv, strict=False)
    ]
    told = [
        "--token-file" if after == hidden else word for word, after in zip(told, (*told[1:], ""), strict=True)
    ]
    if hidden in " ".join(told):
        execute(program, told)
    os.close(descriptor)


def forget_hidden(file: Path | None) -> None:
    """Let go of the memory in which :func:`hide_token` kept the token, once that was read."""
    if file is not None and str(file).startswith(HIDDEN):
        os.close(int(str(file).removeprefix(HIDDEN)))


def announcer(stream: TextIO, state: Path) -> Callable[[str], None]:
    """Give what prints the daemon's announcements.

    A line with a token goes to a terminal only: what is not one is kept, by a journal or a container's log.
    """

    def announce(text: str) -> None:
        if _TOKEN.search(text) is not None and not stream.isatty():
            text = f"(not shown here, for it holds a token; to see it: gossipmesh token show --join --state {state})"
        click.echo(text, file=stream)

    return announce

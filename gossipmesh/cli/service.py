"""``gossipmesh service``: this node's services, looked at and changed while the daemon runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_json, with_state
from gossipmesh.cli.render import put, show_table, span
from gossipmesh.config.readers import service_of_flag
from gossipmesh.errors import ConfigError
from gossipmesh.model import is_name

_FOR_EVER = "-"


@click.group(short_help="Add, change, renew, remove and list this node's services.")
def service() -> None:
    """Add, change, renew, remove and list this node's services, while its daemon runs.

    What is added here is gone after a restart of the daemon; what should always be there belongs into its
    configuration. Apps and scripts may do all of it at the admin socket: see docs/registry.md.
    """


@service.command(short_help="Offer a service.")
@click.argument("declaration", metavar="NAME=PORT[,weight=N][,tag=T]...[,protocol=tcp][,health=/PATH]")
@click.option(
    "--ttl", metavar="D", help="Remove it when it was not renewed for so long: 30s. By default: never."
)
@click.option("--health", metavar="H", help="How it is checked: http=/PATH, tcp or off. [tcp]")
@with_state
@with_json
def add(declaration: str, ttl: str | None, health: str | None, state: Path, as_json: bool) -> None:
    """Offer a service of this host, as `up --service` does. Adding it again renews and replaces it."""
    fields = service_of_flag(
        declaration + ("" if health is None else f",health={health.removeprefix('http=')}")
    )
    name = _checked(str(fields.pop("name")))
    if ttl is not None:
        fields["ttl"] = ttl
    _show_one(AdminClient(state).change("PUT", _path(name), fields), as_json)


@service.command("set", short_help="Change a service.")
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@with_state
@with_json
def set_(name: str, changes: tuple[str, ...], state: Path, as_json: bool) -> None:
    """Change a service at once: weight=3, tag=v2 (all tags it has then), port=8081, protocol=tcp, health=/PATH.

    What the configuration declares is changed until the next reload or start of the daemon.
    """
    _checked(name)
    port = next((each.removeprefix("port=") for each in changes if each.startswith("port=")), None)
    options = [each for each in changes if not each.startswith("port=")]
    # The flag's syntax has all of the other keys; its port stands for none here.
    fields = service_of_flag(",".join((f"{name}={port or 1}", *options)))
    if port is None:
        del fields["port"]
    if not fields["tags"]:
        del fields["tags"]
    del fields["name"]
    _show_one(AdminClient(state).change("PATCH", _path(name), fields), as_json)


@service.command(short_help="Begin a service's time to live again.")
@click.argument("name")
@with_state
def renew(name: str, state: Path) -> None:
    """Begin the time to live of a service again. Exit status 1: it is not there any more, and has to be added."""
    AdminClient(state).change("POST", f"{_path(_checked(name))}/renew")


@service.command(short_help="Offer a service no more.")
@click.argument("name")
@with_state
def remove(name: str, state: Path) -> None:
    """Offer a service no more: others are told first, and requests in flight end as they would.

    What the configuration declares comes back with the next reload or start of the daemon.
    """
    AdminClient(state).change("DELETE", _path(_checked(name)))


@service.command("list", short_help="Show this node's services.")
@with_state
@with_json
def list_(state: Path, as_json: bool) -> None:
    """Show this node's services, where each comes from, and how it is."""
    document = AdminClient(state).document("/v1/own-services")
    if as_json:
        put(json.dumps(document))
        return
    rows = [
        (
            entry["name"],
            str(entry["port"]),
            entry["state"],
            str(entry["weight"]),
            " ".join(entry["tags"]),
            entry["origin"] + (", changed at run time" if entry["changed"] else ""),
            _FOR_EVER if entry["expires_in_s"] is None else span(entry["expires_in_s"]),
            entry["reason"],
        )
        for entry in document["services"]
    ]
    show_table(("NAME", "PORT", "STATE", "WEIGHT", "TAGS", "FROM", "EXPIRES IN", "REASON"), rows)


def _path(name: str) -> str:
    return f"/v1/own-services/{name}"


def _checked(name: str) -> str:
    if not is_name(name):
        raise ConfigError("config.value", f"{name!r} is not a service's name: 1 to 63 of a-z, 0-9 and -")
    return name


def _show_one(entry: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        put(json.dumps(entry))
    else:
        reason = f": {entry['reason']}" if entry["reason"] else ""
        put(f"{entry['name']} on port {entry['port']} is {entry['state']}{reason}")

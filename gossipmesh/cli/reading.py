"""``status``, ``members``, ``services``, ``endpoints``, ``config``: what this node knows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from gossipmesh.cli.client import NOT_FOUND, AdminClient
from gossipmesh.cli.options import wall_now, with_json, with_state
from gossipmesh.cli.render import put, show_pairs, show_table, span
from gossipmesh.errors import ConfigError
from gossipmesh.model import day, is_name

SHORT_ID: Final = 8


def _print_json(document: Mapping[str, Any]) -> None:
    put(json.dumps(document))


@click.command(short_help="Show this node in short.")
@with_state
@with_json
def status(state: Path, as_json: bool) -> None:
    """Show this node: who it is, where it listens, how many members it knows."""
    document = AdminClient(state).document("/v1/status")
    if as_json:
        _print_json(document)
        return
    listen, members = document["listen"], document["members"]
    show_pairs(
        [
            ("name", document["name"]),
            ("id", document["id"][:SHORT_ID]),
            ("mesh", document["mesh"][:SHORT_ID]),
            ("version", document["version"]),
            ("up", span(document["uptime_s"])),
            *((f"listen {name}", where) for name, where in _listens(listen)),
            ("members", ", ".join(f"{count} {name}" for name, count in members.items() if count)),
            ("agreement", f"{document['agreement']:.0%}"),
            ("awareness", str(document["awareness"])),
            ("policy version", str(document["policy_version"])),
            ("chain", _chain(document["chain_expires_at"])),
            *((f"root {each['root'][:SHORT_ID]}", _root(each)) for each in document["roots"]),
            *((f"key {each[:SHORT_ID]}", "IN USE TWICE: revoke it") for each in document["clones"]),
            *((f"service {each['name']}", _own_service(each)) for each in document["services"]),
        ]
    )


def _listens(listen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what listens, and where; a daemon of an earlier release says nothing of gateways."""
    yield from ((name, where) for name, where in listen.items() if where and name != "gateways")
    yield from (("gateway", where) for where in listen.get("gateways", ()))


def _chain(expires_at: int) -> str:
    left_s = expires_at - wall_now()
    return (
        f"expires on {day(expires_at)}, in {span(left_s)}" if left_s > 0 else f"EXPIRED on {day(expires_at)}"
    )


def _root(entry: Mapping[str, Any]) -> str:
    which = "the newest" if entry["newest"] else "to be dropped when no member hangs on it"
    return f"{which}; {entry['members']} members hang on it"


def _own_service(entry: Mapping[str, Any]) -> str:
    reason = f": {entry['reason']}" if entry["reason"] else ""
    return f"{entry['state']}{reason} (check: {entry['check']})"


@click.command(short_help="Show all members.")
@with_state
@with_json
def members(state: Path, as_json: bool) -> None:
    """Show all members that this node knows, itself included."""
    document = AdminClient(state).document("/v1/members")
    if as_json:
        _print_json(document)
        return
    wall = wall_now()
    rows = [
        (
            entry["name"],
            entry["state"],
            entry["serving"],
            entry["address"],
            entry["zone"],
            " ".join(entry["services"]),
            span(wall - entry["since"]),
            entry["id"][:SHORT_ID],
        )
        for entry in document["members"]
    ]
    show_table(("NAME", "STATE", "SERVING", "ADDRESS", "ZONE", "SERVICES", "FOR", "ID"), rows)


@click.command(short_help="Show all services.")
@with_state
@with_json
def services(state: Path, as_json: bool) -> None:
    """Show all services of the mesh and how many endpoints each has."""
    document = AdminClient(state).document("/v1/services")
    if as_json:
        _print_json(document)
        return
    rows = [(entry["name"], str(entry["endpoints"]), str(entry["healthy"])) for entry in document["services"]]
    show_table(("NAME", "ENDPOINTS", "HEALTHY"), rows)


@click.command(short_help="Show one service's endpoints.")
@click.argument("service")
@with_state
@with_json
@click.pass_context
def endpoints(ctx: click.Context, service: str, state: Path, as_json: bool) -> None:
    """Show who offers SERVICE, and why one of them is not chosen. Exit status 1: nobody offers it."""
    if not is_name(service):
        raise ConfigError("config.value", f"{service!r} is not a service's name: 1 to 63 of a-z, 0-9 and -")
    client = AdminClient(state)
    if client.get(f"/v1/endpoints/{service}")[0] == NOT_FOUND:
        if as_json:
            _print_json({"service": service, "endpoints": []})
        click.echo(f"gossipmesh: nobody offers {service}; `gossipmesh services` lists all services", err=True)
        ctx.exit(1)
    document = client.document(f"/v1/endpoints/{service}")
    if as_json:
        _print_json(document)
        return
    rows = [
        (
            entry["node"],
            "healthy" if entry["healthy"] else "unhealthy",
            entry["address"],
            str(entry["weight"]),
            " ".join(entry["tags"]),
            entry["reason"],
            entry["id"][:SHORT_ID],
        )
        for entry in document["endpoints"]
    ]
    show_table(("NODE", "STATE", "ADDRESS", "WEIGHT", "TAGS", "REASON", "ID"), rows)


@click.command(short_help="Show the effective configuration.")
@with_state
@with_json
def config(state: Path, as_json: bool) -> None:
    """Show the daemon's effective configuration, and where each value came from."""
    document = AdminClient(state).document("/v1/config")
    if as_json:
        _print_json(document)
        return
    rows = [(path, json.dumps(entry["value"]), str(entry["origin"])) for path, entry in document.items()]
    show_table(("KEY", "VALUE", "FROM"), rows)

"""``gossipmesh check``: what is right and wrong at this node, with a hint for each failure."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, Final

import click

import gossipmesh
from gossipmesh.cli.client import NOT_FOUND, AdminClient
from gossipmesh.cli.options import with_json, with_state
from gossipmesh.cli.render import put, show_table, span
from gossipmesh.errors import MeshError

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
WRITING: Final = stat.S_IWGRP | stat.S_IWOTH
SECRETS: Final = ("node.key", "root.key")
"""Files of a state directory that nobody else may read."""
CRASH: Final = "crash.trace"
OK, WARN, FAIL = "ok", "warn", "fail"

Entry = dict[str, Any]


@click.command(short_help="Show what is right and wrong here, and what to do about it.")
@click.option("--strict", is_flag=True, help="Let warnings count as failures.")
@with_state
@with_json
@click.pass_context
def check(ctx: click.Context, strict: bool, state: Path, as_json: bool) -> None:
    """Show what is right and wrong at this node, with a hint for whatever is wrong.

    Exit status 1: something fails, or, with --strict, warns. docs/troubleshooting.md has a section for each check.
    """
    client = AdminClient(state)
    if client.get("/v1/check")[0] == NOT_FOUND:
        text = (
            "the daemon is of a release that has no checks; start it again with the one that is installed now"
        )
        raise MeshError("admin.refused", text)
    document = client.document("/v1/check")
    uptime_s = float(client.document("/v1/status")["uptime_s"])
    checks = [
        _reached(uptime_s),
        _versions(gossipmesh.__version__, str(document["version"])),
        _private(state),
        *document["checks"],
    ]
    fails = any(each["state"] == FAIL for each in checks)
    if as_json:
        put(json.dumps({**document, "ok": not fails, "checks": checks}))
    else:
        _show(checks)
    if fails or (strict and any(each["state"] == WARN for each in checks)):
        ctx.exit(1)


def _show(checks: list[Entry]) -> None:
    show_table(("CHECK", "STATE", "FOUND"), [(each["name"], each["state"], each["found"]) for each in checks])
    hints = [(each["name"], each["hint"]) for each in checks if each["state"] != OK and each["hint"]]
    if hints:
        put("")
        show_table(("CHECK", "WHAT TO DO"), hints)


def _entry(name: str, state: str, found: str, hint: str = "") -> Entry:
    return {"name": name, "state": state, "found": found, "hint": hint, "details": []}


def _reached(uptime_s: float) -> Entry:
    return _entry("daemon", OK, f"answers; up for {span(uptime_s)}")


def _versions(ours: str, daemons: str) -> Entry:
    if ours == daemons:
        return _entry("version", OK, f"this command and the daemon are {ours}")
    return _entry(
        "version",
        WARN,
        f"this command is {ours} and the daemon {daemons}",
        "start the daemon again if it was upgraded, or use the command of its release",
    )


def _private(state: Path) -> Entry:
    """Check that the state directory is its owner's alone, and that no bug has ended a daemon."""
    hint = f"chmod -R go= {state}"
    secrets = [str(state / name) for name in SECRETS if _mode(state / name) & OTHERS]
    if secrets:
        found = f"others of this host may read or change {', '.join(secrets)}"
        return _entry("state", FAIL, found, f"{hint}; and make a new key if somebody may have looked")
    if _mode(state) & WRITING:
        return _entry("state", FAIL, f"others of this host may write to {state}", hint)
    if _mode(state) & OTHERS:
        return _entry("state", WARN, f"others of this host may look into {state}", hint)
    if (state / CRASH).exists():
        hint = f"`gossipmesh sim --replay {state / CRASH}` plays it; report it, and remove the file"
        return _entry("state", WARN, "a bug ended an earlier daemon here, and left a recording", hint)
    return _entry("state", OK, f"{state} is its owner's alone")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0

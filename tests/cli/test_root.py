"""``gossipmesh root``: replacing what a mesh's trust begins with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gossipmesh import crypto
from gossipmesh.cli.main import cli
from gossipmesh.daemon.disk.root import load_root


def run(*args: str | Path, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert done.exit_code == status, done.output
    return done


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    run("init", tmp_path / "mesh")
    return tmp_path / "mesh"


def test_a_root_is_rotated_and_the_next_steps_are_said(mesh: Path) -> None:
    old = load_root(mesh)
    done = run("root", "rotate", "--root", mesh)
    assert done.stdout.startswith("trust bundle 1 lists the new root ")
    assert f"gossipmesh root drop --root {mesh}" in done.stderr
    shown = json.loads(run("root", "show", "--root", mesh, "--json").stdout)
    assert shown["bundle"] == 1
    assert shown["roots"] == [crypto.signing_public(old.seed).hex(), shown["present"]]
    assert f"root: {shown['present']} (in root.key)" in run("root", "show", "--root", mesh).stdout
    # Tokens made now tell of the new root.
    token = run("token", "new", "--root", mesh).stdout.strip()
    assert json.loads(run("token", "show", token, "--json").stdout)["root"] == shown["present"]


def test_a_root_is_not_dropped_blindly(mesh: Path, tmp_path: Path) -> None:
    run("root", "rotate", "--root", mesh)
    # Nobody can say who hangs on it.
    run("root", "drop", "--root", mesh, "--state", tmp_path / "nobody", status=3)
    assert len(load_root(mesh).trust.roots) == 2
    done = run("root", "drop", "--root", mesh, "--force")
    assert done.stdout.startswith("trust bundle 2 lists the root ")
    assert len(load_root(mesh).trust.roots) == 1
    assert "has one root" in run("root", "drop", "--root", mesh, "--force", status=1).stderr


def test_a_second_rotation_waits_for_the_end_of_the_first(mesh: Path) -> None:
    run("root", "rotate", "--root", mesh)
    assert "finish it first: gossipmesh root drop" in run("root", "rotate", "--root", mesh, status=1).stderr

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gossipmesh.cli.main import cli
from gossipmesh.daemon.disk.root import load_root
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.token import parse_token


@pytest.mark.parametrize(("flags", "allowed"), [([], True), (["--default-deny"], False)])
def test_a_mesh_is_made_and_its_first_token_is_alone_on_stdout(
    tmp_path: Path, flags: list[str], allowed: bool
) -> None:
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "mesh"), *flags])
    assert result.exit_code == 0
    token = parse_token(result.stdout.removesuffix("\n"))
    root = load_root(tmp_path / "mesh")
    assert token.mesh_id == root.trust.mesh_id
    assert token.grants.allows(Capability.JOIN)
    assert token.trust().default_allow is allowed
    assert "gossipmesh up --token-file" in result.stderr
    assert result.stdout.strip() not in result.stderr
    assert root.seed.hex() not in result.output


def test_a_mesh_that_is_there_is_left_alone(tmp_path: Path) -> None:
    CliRunner().invoke(cli, ["init", str(tmp_path / "mesh")])
    before = load_root(tmp_path / "mesh").seed
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "mesh")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "already holds a mesh" in result.stderr
    assert load_root(tmp_path / "mesh").seed == before


def test_an_empty_directory_name_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gossipmesh", "init", ""],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "'DIR': it is empty" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_mesh_that_denies_says_that_nothing_passes(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["init", str(tmp_path / "mesh"), "--default-deny"])
    assert "requests are denied until a policy allows them" in result.stderr

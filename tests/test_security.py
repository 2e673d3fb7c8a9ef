"""SECURITY.md names tests that exist, and misses no attack that has one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED: Final = sorted(set(re.findall(r"`(tests/[a-z0-9_/]+\.py)::([a-zA-Z0-9_]+)`", TEXT)))
ATTACKS: Final = [*sorted((ROOT / "tests" / "attacks").glob("test_*.py")), ROOT / "tests/e2e/test_attacks.py"]


@cache
def named_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    functions = (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_every_test_that_is_named_exists(path: str, test: str) -> None:
    assert (ROOT / path).is_file(), path
    assert test in named_in(ROOT / path)


@pytest.mark.parametrize("path", ATTACKS, ids=lambda path: path.stem)
def test_every_file_of_attacks_is_told_of(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    assert relative in {named for named, _ in NAMED}


def test_every_row_of_the_table_names_a_test() -> None:
    table = TEXT.partition("| attack | what must hold |")[2]
    rows = [line for line in table.splitlines()[2:] if line.startswith("|")]
    assert len(rows) >= 18
    assert [row for row in rows if not re.search(r"`tests/[a-z0-9_/]+\.py::test_", row)] == []

"""What keeps this repository easy to live in: small files and functions, mirrored tests, no sleeps, no mocks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "gossipmesh"
TESTS: Final = ROOT / "tests"
MAX_FILE: Final = 400
MAX_FUNCTION: Final = 70
PURE: Final = ("mesh", "membership", "registry", "policy", "routing", "identity", "channel")
PURE_FILES: Final = ("wire.py", "crypto.py", "model.py", "errors.py")
UNMIRRORED: Final = ("e2e", "bench", "simulation", "attacks", "fuzz", "containers", "netns")
"""Folders of tests that are about the whole, not about one file."""
WAITS: Final = TESTS / "e2e" / "harness.py"
"""The one file of the tests that may wait for real time to pass; benchmarks do nothing else."""
BENCH: Final = TESTS / "bench"

SOURCE_FILES: Final = sorted(SOURCE.rglob("*.py"))
TEST_FILES: Final = sorted(TESTS.rglob("*.py"))
EXAMPLE_FILES: Final = sorted((ROOT / "examples").rglob("*.py"))
OTHER_FILES: Final = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / ".ci" / "run"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), relative(path))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported_modules(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", [*SOURCE_FILES, *TEST_FILES, *EXAMPLE_FILES, *OTHER_FILES], ids=relative)
def test_no_file_is_long(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines <= MAX_FILE


@pytest.mark.parametrize("path", [*SOURCE_FILES, *TEST_FILES, *EXAMPLE_FILES], ids=relative)
def test_no_function_is_long(path: Path) -> None:
    lengths = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions(parsed(path))}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION} == {}


@pytest.mark.parametrize("path", [*SOURCE_FILES, *EXAMPLE_FILES], ids=relative)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("__init__.py")), ids=relative)
def test_every_package_maps_its_files(path: Path) -> None:
    described = ast.get_docstring(parsed(path)) or ""
    files = {each.stem for each in path.parent.glob("*.py") if not each.stem.startswith("__")}
    packages = {each.parent.name for each in path.parent.glob("*/__init__.py")}
    assert {name for name in files | packages if name not in described} == set()


def mirroring_files() -> list[Path]:
    places = [path.relative_to(TESTS) for path in TEST_FILES if path.name.startswith("test_")]
    return [TESTS / place for place in places if len(place.parts) > 1 and place.parts[0] not in UNMIRRORED]


@pytest.mark.parametrize("path", mirroring_files(), ids=relative)
def test_every_test_file_mirrors_a_source_file(path: Path) -> None:
    """``test_hop.py`` is about ``hop.py``, and so is ``test_hop_credit.py``, where one file would be too long."""
    words = path.stem.removeprefix("test_").split("_")
    folder = SOURCE / path.relative_to(TESTS).parent
    candidates = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    assert any((folder / f"{name}.py").exists() for name in candidates), (
        f"no {' or '.join(candidates)} in {folder}"
    )


@pytest.mark.parametrize("path", SOURCE_FILES, ids=relative)
def test_no_handler_takes_every_exception(path: Path) -> None:
    blind = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            named = {
                each.id for each in ast.walk(node.type or ast.Name("Exception")) if isinstance(each, ast.Name)
            }
            if named & {"Exception", "BaseException"}:
                blind.append(node.lineno)
    assert blind == []


@pytest.mark.parametrize("path", TEST_FILES, ids=relative)
def test_no_test_is_built_on_mocks(path: Path) -> None:
    tree = parsed(path)
    assert {name for name in imported_modules(tree) if "mock" in name.split(".")} == set()
    patched = [
        each.name
        for each in functions(tree)
        if "monkeypatch" in {argument.arg for argument in each.args.args + each.args.kwonlyargs}
    ]
    assert patched == []


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Give the lines that sleep for more than zero seconds of real time."""
    virtual = {
        id(inner)
        for each in functions(tree)
        if "autojump_clock" in {argument.arg for argument in each.args.args}
        for inner in ast.walk(each)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in virtual:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            zero = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if name == "sleep" and not zero:
                yield node.lineno


@pytest.mark.parametrize(
    "path", [each for each in TEST_FILES if each != WAITS and BENCH not in each.parents], ids=relative
)
def test_no_test_sleeps(path: Path) -> None:
    assert list(sleeps(parsed(path))) == []


def pure_files() -> list[Path]:
    packages = [path for name in PURE for path in sorted((SOURCE / name).rglob("*.py"))]
    return [*packages, *(SOURCE / name for name in PURE_FILES)]


@pytest.mark.parametrize("path", pure_files(), ids=relative)
def test_pure_code_has_no_dice_of_its_own(path: Path) -> None:
    """import-linter sees to all other modules; ``random`` may be imported to annotate, so it is checked here."""
    tree = parsed(path)
    annotations = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    only_typed = set().union(*(imported_modules(node) for node in annotations))
    at_run_time = imported_modules(tree) - only_typed
    assert not any(name.split(".")[0] == "random" for name in at_run_time)

"""The list of modules that may be compiled, and what mypyc would make of them.

Each of these patterns is read without a word and does something else, or fails at import, once it is compiled. What
only running shows, `make test-compiled` shows.
"""

from __future__ import annotations

import ast
import enum
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

import gossipmesh

ROOT: Final = Path(__file__).parents[1]


def hook() -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: dict[str, Any] = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    return found


MODULES: Final = tuple(hook()["include"])


def classes_of(path: str) -> Iterator[ast.ClassDef]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def name_of(base: ast.expr) -> str:
    return ast.unparse(base).partition("[")[0]


def test_the_list_is_sorted_names_each_module_once_and_only_those_that_there_are() -> None:
    assert list(MODULES) == sorted(set(MODULES))
    assert [path for path in MODULES if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("path", MODULES)
def test_what_tests_a_module_is_run_with_that_module_compiled_too(path: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    parts = " ".join(re.findall(r"^COMPILED_PARTS [:+]= (.*)$", makefile, re.MULTILINE)).split()
    part = Path(path).parts[1]
    assert (f"test_{part}" if part.endswith(".py") else part) in parts


def test_it_is_compiled_only_where_somebody_asks_for_it() -> None:
    assert hook()["enable-by-default"] is False


@pytest.mark.parametrize("path", MODULES)
def test_no_attribute_is_made_by_a_call_of_field(path: str) -> None:
    """The field would have to be of the attribute's type, and is not: the module fails at import."""
    for owner in classes_of(path):
        for line in owner.body:
            value = line.value if isinstance(line, ast.AnnAssign) else None
            assert not (isinstance(value, ast.Call) and name_of(value.func) == "field"), (
                owner.name,
                line.lineno,
            )


@pytest.mark.parametrize("path", MODULES)
def test_no_method_has_a_second_name(path: str) -> None:
    """``closed = broken`` in a class gives an object without ``closed``."""
    for owner in classes_of(path):
        methods = {line.name for line in owner.body if isinstance(line, ast.FunctionDef)}
        for line in owner.body:
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Name):
                assert line.value.id not in methods, (owner.name, line.lineno)


@pytest.mark.parametrize("path", MODULES)
def test_what_a_class_sets_to_none_is_of_one_other_type(path: str) -> None:
    """``kept: A | B | None = None`` in a class counts as unset."""
    for owner in classes_of(path):
        for line in owner.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
                kinds = ast.unparse(line.annotation).split(" | ")
                assert line.value.value is not None or len(kinds) <= 2, line.lineno


@pytest.mark.parametrize("path", MODULES)
def test_no_slice_is_kept_under_a_name(path: str) -> None:
    """Bytes that are asked for ``[NAMED]`` ask back for an integer."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        assert not (isinstance(node, ast.Call) and name_of(node.func) == "slice"), node.lineno


@pytest.mark.parametrize("path", MODULES)
def test_constant_tuples_of_floats_are_of_any_length(path: str) -> None:
    """Of a fixed length, as mypy takes them unasked, they count as unset."""
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Tuple):
            first = node.value.elts[0]
            floats = isinstance(first, ast.Constant) and isinstance(first.value, float)
            assert not floats or "..." in ast.unparse(node.annotation), node.lineno


@pytest.mark.parametrize("path", MODULES)
def test_exceptions_of_two_types_have_two_names(path: str) -> None:
    """The second ``except ... as error`` of a function raises TypeError, as ``error`` has the first one's type."""
    for function in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types: defaultdict[str, set[str]] = defaultdict(set)
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                    types[node.name].add(ast.unparse(node.type))
            assert {name for name, kinds in types.items() if len(kinds) > 1} == set(), function.name


def test_no_class_of_these_has_a_base_or_an_heir_on_the_other_side() -> None:
    mixed = []
    for source in (ROOT / "gossipmesh").rglob("*.py"):
        path = str(source.relative_to(ROOT))
        imported = {
            name.asname or name.name: f"{node.module.replace('.', '/')}.py"
            for node in ast.walk(ast.parse(source.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module
            for name in node.names
        }
        for heir in classes_of(path):
            for base in map(name_of, heir.bases):
                home = imported.get(base, path)
                if home.startswith("gossipmesh/") and (path in MODULES) != (home in MODULES):
                    mixed.append((path, heir.name, base))
    assert mixed == []


@pytest.mark.parametrize("path", MODULES)
def test_bases_from_elsewhere_have_no_attributes(path: str) -> None:
    """A compiled object has its attributes where one of such a base has its own; the collector falls over them."""
    module = import_module(path.removesuffix(".py").replace("/", "."))
    for owner in classes_of(path):
        if any("native_class=False" in ast.unparse(each) for each in owner.decorator_list):
            continue  # Not compiled but for its methods.
        made = getattr(module, owner.name, None)
        if isinstance(made, type) and not issubclass(made, enum.Enum):
            for base in made.__mro__[1:]:
                ours = f"{base.__module__.replace('.', '/')}.py" in MODULES
                assert ours or base.__basicsize__ == object.__basicsize__, (owner.name, base)


def test_a_class_that_can_be_copied_says_so_in_the_way_that_works() -> None:
    """mypyc 2.4: with ``serializable`` alone, a call from code that is not compiled leaves out ``__init__``."""
    for path in MODULES:
        for each in classes_of(path):
            for said in map(ast.unparse, each.decorator_list):
                if "serializable" in said:
                    assert "allow_interpreted_subclasses=True" in said, (path, each.name)


def test_the_release_says_which_build_it_is() -> None:
    said = gossipmesh.release()
    assert said == f"gossipmesh {gossipmesh.__version__}" + (", compiled" if gossipmesh.is_compiled() else "")
    import gossipmesh.wire as hot

    assert gossipmesh.is_compiled() is not str(hot.__file__).endswith(".py")

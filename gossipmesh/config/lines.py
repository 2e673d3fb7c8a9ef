"""In which line of a TOML text a key stands: tomllib parses, and does not say.

Only for texts that tomllib took: nothing is checked again here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final

Path = tuple[str | int, ...]
"""Names of keys, and the index of a table in an array of tables: ``("rule", 2, "paths")``."""

_TOKEN: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[A-Za-z0-9_-]+|\s|.''',
    re.DOTALL,
)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def lines_of(text: str) -> dict[Path, int]:
    """Give the line, from 1, in which each table and key begins; keys in inline tables and arrays are not there."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for line, tokens in _statements(text):
        if tokens[0] != "[":
            path = (*table, *_key(tokens))
        elif tokens[1:2] != ["["]:
            table = path = _resolved(_key(tokens[1:]), counts)
        else:
            array = _resolved(_key(tokens[2:]), counts, whole=False)
            index = counts[array] = counts.get(array, -1) + 1
            lines.setdefault(array, line)
            table = path = (*array, index)
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Give the line of ``path``, else of what holds it; 1 where nothing is known of it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each header and each key with its value, as tokens without blanks and comments, and its first line."""
    line, depth, first = 1, 0, 1
    tokens: list[str] = []
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token == "\n" and depth == 0 and tokens:
            yield first, tokens
            tokens = []
        elif not token.isspace() and not token.startswith("#"):
            first = first if tokens else line
            tokens.append(token)
            depth += (token in "[{") - (token in "]}")
        line += token.count("\n")
    if tokens:
        yield first, tokens


def _key(tokens: list[str]) -> tuple[str, ...]:
    """Give the parts of the key with which ``tokens`` begin."""
    parts: list[str] = []
    for token in tokens:
        if token in ("=", "]"):
            break
        if token[0] in "\"'":
            parts.append(tomllib.loads(f"key = {token}")["key"])
        elif _BARE.fullmatch(token):
            parts.append(token)
    return tuple(parts)


def _resolved(key: tuple[str, ...], counts: dict[Path, int], *, whole: bool = True) -> Path:
    """Put the index of its newest table behind each array of tables that a header leads through."""
    path: Path = ()
    for place, part in enumerate(key):
        path = (*path, part)
        if path in counts and (whole or place < len(key) - 1):
            path = (*path, counts[path])
    return path

"""What a file, the environment and flags say, all in one shape: path to :class:`Given`.

Nothing is checked here but that the sources can be read and that their tables and variables exist; values and the
keys inside tables are checked when they are bound.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from gossipmesh.config.hints import PREFIX, nearest
from gossipmesh.config.keys import FLAGS, KEYS, LISTS, TABLES, TRAFFIC, VARIABLES
from gossipmesh.errors import ConfigError

MAX_FILE_BYTES: Final = 1 << 20
NOT_KEYS: Final = frozenset({"GOSSIPMESH_TOKEN", "GOSSIPMESH_CONFIG"})
"""Variables that the commands read themselves: a secret, and where the file is."""
_INJECTED: Final = re.compile(r".*SERVICE_HOST|.*SERVICE_PORT(_.*)?|(.*_)?PORT(_[0-9]+_(TCP|UDP|SCTP).*)?")
"""What Kubernetes puts into each container for a Service whose name begins with ``gossipmesh``."""


@frozen
class Given:
    """A value as one source has it, and that source for people: a file, a variable or a flag."""

    raw: object
    origin: str

    def at(self, path: str) -> str:
        """Give where the value stands, for an error: with its path where the source holds several.

        A flag or variable that stands for a table holds several, too: ``path`` is then ``service[0].weight``, say.
        """
        if not self.origin.startswith(("--", PREFIX)):
            return f"{self.origin}: {path}"
        _, in_table, key = path.partition("].")
        return f"{self.origin}: {key}" if in_table else self.origin


def from_file(file: Path) -> dict[str, Given]:
    """Read a TOML file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has a table that does not exist.
    """
    given: dict[str, Given] = {}
    for table, content in _toml(file).items():
        if table not in TABLES:
            homes = [path.partition(".")[0] for path in KEYS if path.endswith(f".{table}")]
            hint = f"{table} belongs below [{homes[0]}]" if homes else nearest(table, TABLES)
            raise ConfigError("config.unknown-key", f"{file}: there is no table [{table}]; {hint}")
        if table in LISTS:
            if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
                raise ConfigError(
                    "config.value", f"{file}: each {table} is a table of its own; write [[{table}]]"
                )
            given[table] = Given(content, str(file))
            continue
        if not isinstance(content, dict):
            header = f"[{table}.SERVICE]" if table == TRAFFIC else f"[{table}]"
            text = f"{file}: {table} is a table; write {header} and its keys below"
            raise ConfigError("config.value", text)
        if table == TRAFFIC:
            given[table] = Given(content, str(file))
            continue
        given |= {f"{table}.{name}": Given(raw, str(file)) for name, raw in content.items()}
    return given


def _toml(file: Path) -> dict[str, object]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError("config.file", f"{file}: {error.strerror}; check the path after -c") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            "config.file", f"{file}: over {MAX_FILE_BYTES} bytes; this cannot be the right file"
        )
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ConfigError("config.file", f"{file}: not UTF-8 text; write the file in TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config.file", f"{file}: {error}") from None


def from_environ(environ: Mapping[str, str]) -> dict[str, Given]:
    """Read the variables that begin with ``GOSSIPMESH_``; an empty one counts as not set, as in container files.

    Raises:
        ConfigError: one of them is not a variable of ours.
    """
    given: dict[str, Given] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in NOT_KEYS:
            continue
        if (path := VARIABLES.get(name)) is None:
            if _INJECTED.fullmatch(name.removeprefix(PREFIX)):
                continue
            hint = nearest(name, VARIABLES)
            raise ConfigError("config.unknown-key", f"{name} is not a variable of gossipmesh; {hint}")
        if text.strip():
            given[path] = Given(_from_text(path, text.strip()), name)
    return given


def from_flags(flags: Mapping[str, object]) -> dict[str, Given]:
    """Read flags by the path that each sets; None and empty sequences count as not given."""
    given: dict[str, Given] = {}
    for path, raw in flags.items():
        if raw is None or raw in ((), []):
            continue
        given[path] = Given(list(raw) if isinstance(raw, tuple) else raw, FLAGS[path])
    return given


def _from_text(path: str, text: str) -> object:
    """Give what TOML would have for the text of a variable."""
    if path in LISTS:
        return text.split()
    reader = KEYS[path].reader
    if reader.many:
        return text.replace(",", " ").split()
    if not reader.literal:
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)

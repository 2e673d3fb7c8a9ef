"""From given values to the frozen parts, strictly: an unknown key, a missing one and a wrong value are errors.

cattrs does the binding; each field's hook is its key's reader, which blames the source that gave the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from attrs import fields
from cattrs import Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from gossipmesh.config.hints import nearest
from gossipmesh.config.keys import PARTS, keys_of_table
from gossipmesh.config.readers import Reader
from gossipmesh.config.sources import Given
from gossipmesh.errors import ConfigError

PartT = TypeVar("PartT")

# Detailed validation would collect errors into groups; a user gets one line, for the first thing that is wrong.
_CONVERTER: Final = Converter(detailed_validation=False)


def read(given: Given, path: str, reader: Reader) -> Any:
    """Give the value of one key.

    Raises:
        ConfigError: what the reader says, with the value's source and path in front.
    """
    try:
        return reader.read(given.raw)
    except ConfigError as error:
        raise ConfigError(error.code, f"{given.at(path)}: {error}") from None


def bind(part: type[PartT], table: str, given: Mapping[str, Given], *, within: Given | None = None) -> PartT:
    """Give a part of the configuration.

    Args:
        part: one of the classes in ``PARTS``.
        table: its path, for errors: ``proxy``, ``service[0]``.
        given: key to value.
        within: the value that holds this table, blamed for a missing key.

    Raises:
        ConfigError: an unknown or missing key, or a value that its reader refuses.
    """
    tagged = {name: (f"{table}.{name}", value) for name, value in given.items()}
    try:
        return _structure_of(part)(tagged, part)
    except ForbiddenExtraKeysError as error:
        name = min(error.extra_fields)
        hint = nearest(name, keys_of_table(table.partition("[")[0]))
        text = f"{given[name].at(table + '.' + name)}: there is no such key; {hint}"
        raise ConfigError("config.unknown-key", text) from None
    except KeyError as error:
        where = within.at(table) if within is not None else table
        raise ConfigError("config.missing-key", f"{where}: {error.args[0]} is missing") from None


def bind_list(
    part: type[PartT],
    table: str,
    given: Given | None,
    *,
    most: int,
    from_flag: Callable[[str], dict[str, object]],
) -> tuple[PartT, ...]:
    """Give the parts of an array of tables, or of flags that stand for such tables.

    Raises:
        ConfigError: as :func:`bind`; and for more than ``most`` of them.
    """
    if given is None:
        return ()
    items = given.raw if isinstance(given.raw, list) else [given.raw]
    if len(items) > most:
        raise ConfigError(
            "config.value", f"{given.at(table)}: {len(items)} of them; at most {most} are allowed"
        )
    unfold = Reader(lambda item: item if isinstance(item, dict) else from_flag(str(item)))
    parts: list[PartT] = []
    for index, item in enumerate(items):
        raw = read(Given(item, given.origin), table, unfold)
        values = {name: Given(value, given.origin) for name, value in raw.items()}
        parts.append(bind(part, f"{table}[{index}]", values, within=given))
    return tuple(parts)


def _structure_of(part: type[PartT]) -> Callable[[Mapping[str, Any], Any], PartT]:
    """Make the strict binding of one part: each key renamed to its field and read by its reader."""
    keys = {key.attribute: override(rename=key.name, struct_hook=_hook(key.reader)) for key in PARTS[part]}
    others = {name: override(omit=True) for name in _attributes_of(part) if name not in keys}
    overrides: dict[str, Any] = keys | others
    return make_dict_structure_fn(part, _CONVERTER, _cattrs_forbid_extra_keys=True, **overrides)


def _attributes_of(part: type) -> list[str]:
    return [attribute.name for attribute in fields(part)]


def _hook(reader: Reader) -> Callable[[tuple[str, Given], Any], Any]:
    return lambda tagged, _: read(tagged[1], tagged[0], reader)

"""The base of values of which every request makes some: never changed, equal where their fields are.

What attrs would make of such a class stays Python where the rest is compiled (docs/compiled.md), and to make one with
twenty fields, and to read each, then costs more than what is done with it. So these classes say their ``__init__``
themselves; what is rarely asked, they have from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

LONGEST: Final = 128
"""Bytes that are shown in a repr; of more, only the number is."""


class Unchanging:
    """A value. An heir names its fields, in the order of its ``__init__``, and sets them there."""

    __match_args__: ClassVar[tuple[str, ...]] = ()
    __slots__ = ()

    def changed(self, **fields: Any) -> Self:
        """Give the same value with other ``fields``."""
        make: Callable[..., Self] = type(self)
        return make(**{**dict(zip(self.__match_args__, self._fields(), strict=True)), **fields})

    def _fields(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self) and isinstance(other, Unchanging) and self._fields() == other._fields()
        )

    def __hash__(self) -> int:
        return hash((type(self), self._fields()))

    def __repr__(self) -> str:
        fields = zip(self.__match_args__, self._fields(), strict=True)
        return f"{type(self).__name__}({', '.join([f'{name}={_shown(field)}' for name, field in fields])})"


def _shown(field: Any) -> str:
    return f"<{len(field)} bytes>" if isinstance(field, bytes) and len(field) > LONGEST else repr(field)

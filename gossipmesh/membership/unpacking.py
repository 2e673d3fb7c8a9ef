"""Arrays, numbers and bytes back to the machine's objects: the other half of ``packing``.

Law: unpacking calls nothing that the bytes name. It fills in objects of the classes that :mod:`packing
<gossipmesh.membership.packing>` lists, and gives for names what the caller hands in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.accusation import decode_accusation_untrusted
from gossipmesh.identity.record import decode_record_untrusted
from gossipmesh.membership.packing import AS_IT_IS, BY_TAG, MEMBERS, NUMBER_BYTES, Tag

MALFORMED: Final = "trace.malformed"
OTHER_RELEASE: Final = "trace.release"
MAX_DEPTH: Final = 64


@define(eq=False)
class Unpacking:
    """Restores what a :class:`Packing` packed.

    Args:
        named: gives what a name stands for, or None.
        texts: the byte strings that were packed as numbers; None where none was.
    """

    named: Callable[[str], object | None] = lambda _: None
    texts: Sequence[bytes] | None = None
    _seen: list[object] = field(factory=list)
    _depth: int = 0

    def value_untrusted(self, packed: object) -> Any:
        """Give the value.

        Raises:
            RemoteProtocolError: ``trace.malformed``; ``trace.release`` for a class that this release does not have.
        """
        if type(packed) in AS_IT_IS:
            # No time is "not a number", and whoever waits until one has passed waits for ever.
            if isinstance(packed, float) and math.isnan(packed):
                raise malformed()
            return packed
        if type(packed) is bytes:
            return packed if self.texts is None else self._text(self.texts, packed)
        if type(packed) is not list or not packed or self._depth >= MAX_DEPTH:
            raise malformed()
        self._depth += 1
        head, parts = packed[0], packed[1:]
        found = self._tagged(head, parts) if type(head) is int else self._object(self._bytes(head), parts)
        self._depth -= 1
        return found

    def _text(self, texts: Sequence[bytes], packed: bytes) -> bytes:
        number = int.from_bytes(packed, "big")
        if len(packed) != NUMBER_BYTES or number >= len(texts):
            raise malformed()
        return texts[number]

    def _object(self, tag: bytes, parts: list[object]) -> object:
        if (plan := BY_TAG.get(tag)) is None:
            text = "it holds a class that this release does not have, or not with these fields"
            raise RemoteProtocolError(OTHER_RELEASE, text)
        if plan.fields is not None and len(parts) != len(plan.fields):
            raise malformed()
        if issubclass(plan.made, tuple):
            return tuple.__new__(plan.made, map(self.value_untrusted, parts))
        made: object = object.__new__(plan.made)
        if plan.shared:
            self._seen.append(made)
        if plan.fields is None:
            self._fill(made, parts)
        else:
            for name, part in zip(plan.fields, parts, strict=True):
                object.__setattr__(made, name, self.value_untrusted(part))
        return made

    def _fill(self, made: object, parts: list[object]) -> None:
        if len(parts) % 2:
            raise malformed()
        for name, part in zip(map(self._string, parts[::2]), parts[1::2], strict=True):
            if part != [Tag.VIEW]:
                vars(made)[name] = self.value_untrusted(part)
            elif type(shown := vars(made).get("_" + name)) is dict:
                vars(made)[name] = MappingProxyType(shown)
            else:
                raise malformed()

    def _tagged(self, tag: int, parts: list[object]) -> object:
        match tag, parts:
            case Tag.TEXT, [text]:
                return self._string(text)
            case ((Tag.RECORD | Tag.ACCUSATION), [raw]):
                return _signed(tag, self._bytes(raw))
            case Tag.ENUM, [cls, name]:
                found = MEMBERS.get((self._bytes(cls), self._bytes(name)))
                if found is not None:
                    return found
            case Tag.NAMED, [name]:
                named = self.named(self._string(name))
                if named is not None:
                    return named
            case Tag.AGAIN, [int(number)] if 0 <= number < len(self._seen):
                return self._seen[number]
            case _:
                return self._boxed(tag, parts)
        raise malformed()

    def _boxed(self, tag: int, parts: list[object]) -> object:
        match tag, parts:
            case ((Tag.DICT | Tag.COUNTER), [list(keys), list(values)]) if len(keys) == len(values):
                table = dict(zip(map(self._key, keys), map(self.value_untrusted, values), strict=True))
                return table if tag == Tag.DICT else Counter(table)
            case Tag.TUPLE, _:
                return tuple(map(self.value_untrusted, parts))
            case Tag.LIST, _:
                return list(map(self.value_untrusted, parts))
            case Tag.SET, _:
                return set(map(self._key, parts))
            case _:
                raise malformed()

    def _key(self, packed: object) -> object:
        key = self.value_untrusted(packed)
        try:
            hash(key)
        except TypeError:
            raise malformed() from None
        return key

    def _bytes(self, packed: object) -> bytes:
        found = self.value_untrusted(packed)
        if type(found) is not bytes:
            raise malformed()
        return found

    def _string(self, packed: object) -> str:
        try:
            return self._bytes(packed).decode()
        except UnicodeDecodeError:
            raise malformed() from None


def malformed(what: str = "it was cut short or altered") -> RemoteProtocolError:
    """Give the one error of everything that is no trace."""
    return RemoteProtocolError(MALFORMED, what)


def _signed(tag: int, raw: bytes) -> object:
    try:
        return decode_record_untrusted(raw) if tag == Tag.RECORD else decode_accusation_untrusted(raw)
    except RemoteProtocolError:
        raise malformed() from None

"""Arrays, numbers and bytes back to the machine's objects: the other half of ``packing``.

Law: unpacking calls nothing that the bytes name. It fills in objects of the classes that :mod:`packing
<gossipmesh.membership.packing>` lists, and gives for names what the caller hands in. What it gives takes no more memory
than :data:`MAX_WORDS` allow, even when every place that shares something had a copy; and no number in it makes whoever
counts with it wait for ever.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs
from attrs import define, field

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.accusation import decode_accusation_untrusted
from gossipmesh.identity.record import decode_record_untrusted
from gossipmesh.membership.packing import AS_IT_IS, BY_TAG, MEMBERS, NUMBER_BYTES, PLANS, Plan, Tag

MALFORMED: Final = "trace.malformed"
OTHER_RELEASE: Final = "trace.release"
MAX_DEPTH: Final = 64
MAX_WORDS: Final = 2_000_000
"""Values, and for each 8 bytes of text one more. A keyframe of 768 members has some 400,000."""
WORD_BYTES: Final = 8
MAX_NUMBER: Final = 2.0**53
"""No time is that large, and sums and products of such numbers stay finite."""
INFINITE: Final[Mapping[str, float]] = MappingProxyType(
    dict.fromkeys(
        (
            *("alive_at", "silent_at", "failed_at", "doubted_at", "returned_at"),
            *("_gossiped_at", "_refuted_at", "_put_off_until"),
        ),
        -math.inf,
    )
    | dict.fromkeys(("_gossip_at", "_reconnect_at", "_next_period_at", "nack_at"), math.inf)
)
"""Fields that may say "not yet" or "not due". Infinity anywhere else would make the difference of two no number, and
whoever waits until that has passed waits for ever."""
_KINDS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "bool": (bool,),
        "bytes": (bytes,),
        "float": (float, int),
        "int": (int,),
        "NodeId": (bytes,),
        "str": (str,),
    }
)
"""What a field with this annotation may hold. The other ones hold objects, whose own fields are looked at."""


def _kinds_of(plan: Plan) -> dict[str, tuple[type, ...]]:
    made = plan.made
    if attrs.has(made):
        said = {each.name: each.type for each in attrs.fields(made)}
    else:
        said = dict(vars(made).get("__annotations__", {}))
    words = {name: getattr(kind, "__forward_arg__", kind) for name, kind in said.items()}
    return {name: _KINDS[kind] for name, kind in words.items() if kind in _KINDS}


_FIELDS: Final = {plan.tag: _kinds_of(plan) for plan in PLANS.values()}


@define(eq=False)
class Unpacking:
    """Restores what a :class:`Packing` packed.

    Args:
        named: gives what a name stands for, or None.
        texts: the byte strings that were packed as numbers; None where none was. Then there are only values,
            none that can change.
    """

    named: Callable[[str], object | None] = lambda _: None
    texts: Sequence[bytes] | None = None
    _seen: list[object] = field(factory=list)
    _sizes: list[int] = field(factory=list)
    """How many words each of those has; 0 while it is not whole."""
    _signed: dict[tuple[int, bytes], object] = field(factory=dict)
    _depth: int = 0
    _words: int = 0

    def value_untrusted(self, packed: object) -> Any:
        """Give the value.

        Raises:
            RemoteProtocolError: ``trace.malformed``; ``trace.release`` for a class that this release does not have.
        """
        self._spend(1)
        if type(packed) in AS_IT_IS:
            # Also true of what is no number.
            if isinstance(packed, float) and not abs(packed) <= MAX_NUMBER:
                raise malformed()
            return packed
        if type(packed) is bytes:
            text = packed if self.texts is None else self._text(self.texts, packed)
            self._spend(len(text) // WORD_BYTES)
            return text
        if type(packed) is not list or not packed or self._depth >= MAX_DEPTH:
            raise malformed()
        self._depth += 1
        head, parts = packed[0], packed[1:]
        found = self._tagged(head, parts) if type(head) is int else self._object(self._bytes(head), parts)
        self._depth -= 1
        return found

    def _spend(self, words: int) -> None:
        self._words += words
        if self._words > MAX_WORDS:
            raise malformed("it holds more than any machine does")

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
            return tuple.__new__(plan.made, self._fields(plan, parts))
        made: object = object.__new__(plan.made)
        if not plan.shared:
            self._set(made, plan, parts)
        elif self.texts is None:
            raise malformed()
        else:
            number, before = len(self._seen), self._words
            self._seen.append(made)
            self._sizes.append(0)
            self._set(made, plan, parts)
            self._sizes[number] = self._words - before + 1
        return made

    def _set(self, made: object, plan: Plan, parts: list[object]) -> None:
        if plan.fields is None:
            self._fill(made, parts)
            return
        for name, value in zip(plan.fields, self._fields(plan, parts), strict=True):
            object.__setattr__(made, name, value)

    def _fields(self, plan: Plan, parts: list[object]) -> list[object]:
        kinds = _FIELDS[plan.tag]
        found = []
        for name, part in zip(plan.fields or (), parts, strict=True):
            value = self._field(name, part)
            if type(value) not in kinds.get(name, (type(value),)):
                raise malformed()
            found.append(value)
        return found

    def _field(self, name: str, part: object) -> Any:
        if isinstance(part, float) and part == INFINITE.get(name):
            return part
        return self.value_untrusted(part)

    def _fill(self, made: object, parts: list[object]) -> None:
        if len(parts) % 2:
            raise malformed()
        for name, part in zip(map(self._string, parts[::2]), parts[1::2], strict=True):
            if part != [Tag.VIEW]:
                vars(made)[name] = self._field(name, part)
            elif type(shown := vars(made).get("_" + name)) is dict:
                vars(made)[name] = MappingProxyType(shown)
            else:
                raise malformed()

    def _tagged(self, tag: int, parts: list[object]) -> object:
        match tag, parts:
            case Tag.TEXT, [text]:
                return self._string(text)
            case ((Tag.RECORD | Tag.ACCUSATION), [raw]):
                return self._signed_untrusted(tag, self._bytes(raw))
            case Tag.ENUM, [cls, name]:
                found = MEMBERS.get((self._bytes(cls), self._bytes(name)))
                if found is not None:
                    return found
            case Tag.NAMED, [name]:
                named = self.named(self._string(name))
                if named is not None:
                    return named
            case Tag.AGAIN, [int(number)] if 0 <= number < len(self._seen) and self._sizes[number]:
                self._spend(self._sizes[number])
                return self._seen[number]
            case _:
                return self._boxed(tag, parts)
        raise malformed()

    def _signed_untrusted(self, tag: int, raw: bytes) -> object:
        # A record takes twenty times the room of its bytes, and those are in a keyframe once, however many name them.
        if (found := self._signed.get((tag, raw))) is not None:
            return found
        try:
            made = decode_record_untrusted(raw) if tag == Tag.RECORD else decode_accusation_untrusted(raw)
        except RemoteProtocolError:
            raise malformed() from None
        self._signed[tag, raw] = made
        return made

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

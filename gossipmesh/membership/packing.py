"""The machine's objects as arrays, numbers and bytes: what a recording is made of.

Nothing here knows what a class is for. An object is packed as the tag of its class and its fields; the tag is a hash
of the class's name and of its fields' names, so that a release whose class differs says so instead of restoring
nonsense. Only the classes of this package and a few nouns have a tag. Records and accusations go as they were signed.

Law: what cannot be restored as it was is refused: objects of other classes, and lists that two places share. Ports
and dice are named, never packed.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, IntEnum
from functools import partial
from operator import attrgetter
from types import MappingProxyType, ModuleType
from typing import Any, Final

import attrs
from attrs import frozen

from gossipmesh import model, wire
from gossipmesh.errors import LocalProtocolError
from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership import (
    awareness,
    beliefs,
    credibility,
    findings,
    machine,
    members,
    messages,
    outputs,
    parameters,
    piggyback,
    probe,
    prober,
    suspicion,
    suspicions,
    withdrawing,
)

MODULES: Final[tuple[ModuleType, ...]] = (
    awareness,
    beliefs,
    credibility,
    findings,
    machine,
    members,
    messages,
    outputs,
    parameters,
    piggyback,
    probe,
    prober,
    suspicion,
    suspicions,
    withdrawing,
)
"""Where the classes come from that a machine is made of."""
NOUNS: Final = (model.Address, model.MemberState, model.Serving)
AS_IT_IS: Final = frozenset({bool, float, int, type(None)})
NUMBER_BYTES: Final = 3


class Tag(IntEnum):
    """The first element of an array that is no object."""

    TEXT = 0
    TUPLE = 1
    LIST = 2
    DICT = 3
    COUNTER = 4
    SET = 5
    RECORD = 6
    ACCUSATION = 7
    ENUM = 8
    NAMED = 9
    AGAIN = 10
    VIEW = 11


class Texts(dict[bytes, bytes]):
    """Byte strings, each by a number of three bytes that it gets at its first use."""

    def __missing__(self, text: bytes) -> bytes:
        number = self[text] = len(self).to_bytes(NUMBER_BYTES, "big")
        return number


class _NoTexts(dict[bytes, bytes]):
    """Each byte string as it is."""

    def __missing__(self, text: bytes) -> bytes:
        return text


@frozen
class Plan:
    """How a class is packed. ``fields`` is None where each object says itself what it has."""

    tag: bytes
    made: type
    fields: tuple[str, ...] | None
    values: Callable[[Any], Iterable[Any]]
    shared: bool
    """Whether it can change, so that two places that hold it must hold the same one again."""


def _tag_of(cls: type, fields: Sequence[str]) -> bytes:
    text = f"{cls.__module__}.{cls.__qualname__}:{','.join(fields)}"
    return zlib.crc32(text.encode()).to_bytes(4, "big")


def _plan(cls: type) -> Plan:
    fields: tuple[str, ...] | None = None
    if attrs.has(cls):
        fields = tuple(each.name for each in attrs.fields(cls))
    elif issubclass(cls, tuple):
        fields = tuple(vars(cls)["_fields"])
    elif "__slots__" in vars(cls):
        fields = tuple(vars(cls)["__slots__"])
    is_value = issubclass(cls, tuple) or (attrs.has(cls) and cls.__setattr__ is not object.__setattr__)
    return Plan(_tag_of(cls, fields or ()), cls, fields, _values(fields), not is_value)


def _values(fields: tuple[str, ...] | None) -> Callable[[Any], Iterable[Any]]:
    if fields is None:
        return lambda value: vars(value).values()
    if len(fields) == 1:
        (only,) = fields
        return lambda value: (getattr(value, only),)
    return attrgetter(*fields) if fields else lambda _: ()


def _classes() -> Iterable[type]:
    yield from NOUNS
    for module in MODULES:
        for found in vars(module).values():
            if isinstance(found, type) and found.__module__ == module.__name__:
                yield found


PLANS: Final[dict[type, Plan]] = {cls: _plan(cls) for cls in _classes() if not issubclass(cls, Enum)}
BY_TAG: Final[dict[bytes, Plan]] = {plan.tag: plan for plan in PLANS.values()}
ENUMS: Final[dict[type[Enum], bytes]] = {cls: _tag_of(cls, ()) for cls in _classes() if issubclass(cls, Enum)}
MEMBERS: Final[dict[tuple[bytes, bytes], Enum]] = {
    (tag, each.name.encode()): each for cls, tag in ENUMS.items() for each in cls
}
# Plain integers: msgpack looks twice at an IntEnum's.
_TEXT, _TUPLE, _LIST, _DICT, _COUNTER, _SET, _RECORD, _ACCUSATION, _ENUM, _NAMED, _AGAIN, _VIEW = map(
    int, Tag
)


def flat(value: Any) -> object:
    """Give what an object consists of, for a hash: it cannot be restored from that.

    Raises:
        LocalProtocolError: ``keyframe.type``.
    """
    kind = type(value)
    if (plan := PLANS.get(kind)) is not None:
        return (plan.tag, *plan.values(value))
    if kind in ENUMS:
        return value._name_
    raise _unknown(kind)


class Packing:
    """Packs values one after the other, each object that can change once.

    Args:
        named: what is named instead of packed, by ``id()``: ports, and the dice.
        texts: numbers for byte strings; None packs each in its place, and only values: calls and answers hold no object
            that can change.
    """

    def __init__(self, named: Mapping[int, str] = MappingProxyType({}), texts: Texts | None = None) -> None:
        self._named = named
        self._texts: dict[bytes, bytes] = _NoTexts((tag, tag) for tag in BY_TAG) if texts is None else texts
        self._only_values = texts is None
        self._as_it_is = AS_IT_IS | {bytes} if texts is None else AS_IT_IS
        self._seen: dict[int, int] = {}
        self._boxes: set[int] = set()

    def pack(self, value: Any) -> Any:
        """Give what :func:`gossipmesh.wire.pack` takes, and floats, booleans and None as they are.

        Raises:
            LocalProtocolError: ``keyframe.type``, for anything that could not be restored; ``keyframe.size``.
        """
        return self.pack_all((value,))[0]

    def pack_as(self, value: object, cls: type) -> Any:
        """Pack an object of a class that was derived from ``cls``, as one of ``cls`` itself."""
        return _HOW[cls](self, value)

    def pack_all(self, values: Iterable[Any]) -> list[Any]:
        """Give what each of ``values`` is packed as; as :meth:`pack`."""
        # A mesh of a thousand has fifty thousand of them, most of these two kinds: a call each would double the pause.
        texts, as_it_is = self._texts, self._as_it_is
        return [
            each
            if (kind := type(each)) in as_it_is
            else texts[each]
            if kind is bytes
            else _HOW[kind](self, each)
            for each in values
        ]

    def name_of(self, value: object) -> Any:
        """Give the name of what is not packed but named."""
        if (name := self._named.get(id(value))) is not None:
            return (_NAMED, self._texts[name.encode()])
        raise _unknown(type(value))

    def _object(self, value: Any) -> Any:
        plan = PLANS[type(value)]
        if plan.shared:
            if self._only_values:
                raise _unknown(type(value))
            seen = self._seen
            if id(value) in seen:
                return (_AGAIN, seen[id(value)])
            seen[id(value)] = len(seen)
        return [self._texts[plan.tag], *self.pack_all(plan.values(value))]

    def _open(self, value: Any, plan: Plan) -> Any:
        if self._only_values:
            raise _unknown(type(value))
        if (number := self._seen.get(id(value))) is not None:
            return (_AGAIN, number)
        self._seen[id(value)] = len(self._seen)
        parts: list[Any] = [self._texts[plan.tag]]
        for name, each in vars(value).items():
            # A read-only view has a name without the underscore of what it shows.
            shown = vars(value).get("_" + name) if type(each) is MappingProxyType else None
            parts += [self._texts[name.encode()], self.pack(each) if shown is None else (_VIEW,)]
        return parts

    def _text(self, value: str) -> Any:
        return (_TEXT, self._texts[value.encode()])

    def _record(self, value: MemberRecord) -> Any:
        return (_RECORD, self._texts[value.signed.raw])

    def _accusation(self, value: Accusation) -> Any:
        return (_ACCUSATION, self._texts[value.signed.raw])

    def _enum(self, value: Enum) -> Any:
        return (_ENUM, self._texts[ENUMS[type(value)]], self._texts[value._name_.encode()])

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        return (_TUPLE, *self.pack_all(value))

    def _list(self, value: list[Any]) -> Any:
        self._check_box(value)
        return (_LIST, *self.pack_all(value))

    def _dict(self, value: dict[Any, Any]) -> Any:
        self._check_box(value)
        tag = _DICT if type(value) is dict else _COUNTER
        return (tag, self.pack_all(value), self.pack_all(value.values()))

    def _set(self, value: set[Any]) -> Any:
        self._check_box(value)
        # Its order is another in each process; whoever depends on it shows in the replay.
        return (_SET, *self.pack_all(sorted(value)))

    def _check_box(self, value: Any) -> None:
        kind = type(value)
        if len(value) >= wire.MAX_ARRAY:
            raise LocalProtocolError("keyframe.size", f"a {kind.__name__} of {len(value)} is too long")
        # Two places that share one box could not be told from two boxes that are equal now.
        if id(value) in self._boxes:
            raise LocalProtocolError("keyframe.type", f"a {kind.__name__} is held in two places")
        self._boxes.add(id(value))

    @classmethod
    def ways(cls) -> dict[type, Callable[[Packing, Any], Any]]:
        """Give how each class is packed."""
        ways: dict[type, Callable[[Packing, Any], Any]] = {
            tuple: cls._tuple,
            str: cls._text,
            MemberRecord: cls._record,
            Accusation: cls._accusation,
            list: cls._list,
            dict: cls._dict,
            Counter: cls._dict,
            set: cls._set,
        }
        ways |= dict.fromkeys(ENUMS, cls._enum)
        for made, plan in PLANS.items():
            ways[made] = cls._object if plan.fields is not None else partial(cls._open, plan=plan)
        return ways


class _Ways(dict[type, Callable[[Packing, Any], Any]]):
    """How each class is packed; of any other class there may be an object that has a name."""

    def __missing__(self, kind: type) -> Callable[[Packing, Any], Any]:
        return Packing.name_of


_HOW: Final = _Ways(Packing.ways())


def _unknown(kind: type) -> LocalProtocolError:
    return LocalProtocolError("keyframe.type", f"a {kind.__qualname__} cannot be recorded")

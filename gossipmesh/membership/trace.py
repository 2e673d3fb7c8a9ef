"""A recording of one node's membership: what it is made of, and the file that it leaves the daemon in.

A trace is a few segments. Each begins with a keyframe, the whole state of the machine at that moment, and goes on with
entries: every call with its arguments and the hash of what it gave, and whatever the machine asked of the outside
meanwhile. So a segment runs again from its keyframe, without keys, clock or network.

File: a first line, 16 bytes of BLAKE2b over the rest, then parts, each with its length before it: a head, and for each
segment its keyframe and its entries. A trace names members and their addresses; it holds no key.

Law: damage is found before anything is restored, and :func:`decode_trace_untrusted` raises one thing. The hash is no
signature: whoever makes a file can make its hash, so all that it holds is checked as it is restored.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgpack
from attrs import field, frozen

from gossipmesh import wire
from gossipmesh.errors import LocalProtocolError
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.packing import Packing, Texts, flat
from gossipmesh.membership.unpacking import MALFORMED, MAX_NUMBER, Unpacking, malformed

if TYPE_CHECKING:
    import random

MAGIC: Final = b"gossipmesh trace 1\n"
HASH_BYTES: Final = 16
MAX_SEGMENTS: Final = 2
MAX_ENTRIES: Final = 1024 * 1024
"""Bytes of the entries of one segment."""
MAX_KEYFRAME: Final = 1024 * 1024
"""Bytes of a keyframe: some 1,800 members with records of common length, or 800 with long ones."""
MAX_ENTRY: Final = 8 * 1024
MAX_HEAD: Final = 4 * 1024
MAX_CALLS: Final = 64
MAX_ARGUMENTS: Final = 16
MAX_TRACE: Final = MAX_SEGMENTS * (MAX_ENTRIES + MAX_KEYFRAME) + 2 * MAX_HEAD
_PACKER: Final = msgpack.Packer(use_bin_type=True, default=flat)
"""For entries, which are made between two packets: a packer of its own for each would cost half of the time."""
_LENGTH: Final = struct.Struct(">I")
_TIMES: Final = struct.Struct(">dd")
_DICE: Final = struct.Struct(">625I")
_DICE_VERSION: Final = 3


@frozen
class Call:
    """One call of the machine. ``outcome`` is the hash of what it gave, or the class of what it raised."""

    name: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    outcome: int | str

    @property
    def now(self) -> float | None:
        """When it was, in monotonic seconds; None for a call that takes no time."""
        now = self.keywords.get("now")
        return now if type(now) is float else None


@frozen
class Answer:
    """What the outside said to the machine inside the call that comes next."""

    port: str
    value: Any


Entry = Call | Answer


@frozen
class Segment:
    """A keyframe, still packed, and what came after it."""

    keyframe: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    entries: tuple[Entry, ...]


@frozen
class Trace:
    """A whole recording. ``now`` (monotonic) and ``wall`` (unix), in seconds, are the same moment: its end."""

    release: str
    now: float
    wall: float
    segments: tuple[Segment, ...]


# Entries.


class _Names(dict[tuple[str, ...], list[bytes]]):
    """The names of keywords as they are written; there are as many as there are ways to call the machine."""

    def __missing__(self, names: tuple[str, ...]) -> list[bytes]:
        encoded = self[names] = [name.encode() for name in names]
        return encoded


_NAMES: Final = _Names()


def digest(outcome: object) -> int:
    """Give the hash by which what a call gave is compared."""
    raw: bytes = _PACKER.pack(outcome)
    return zlib.crc32(raw)


def encode_call(
    packing: Packing,
    number: int,
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    outcome: int | str,
) -> bytes:
    """Give the entry of the call that the head lists at ``number``.

    Raises:
        LocalProtocolError: ``keyframe.type``, for arguments that could not be restored; ``trace.size``.
    """
    result = outcome if type(outcome) is int else str(outcome).encode()
    names = _NAMES[tuple(keywords)]
    values = packing.pack_all(keywords.values())
    raw: bytes = _PACKER.pack((number, result, packing.pack_all(arguments), names, values))
    return _framed(raw)


def encode_answer(packing: Packing, port: str, value: object) -> bytes:
    """Give the entry of what the outside answered at ``port``."""
    return _framed(wire.pack((port.encode(), packing.pack(value))))


def _framed(raw: bytes, most: int = MAX_ENTRY) -> bytes:
    if len(raw) > most:
        raise LocalProtocolError("trace.size", f"{len(raw)} bytes are too many for one part of a trace")
    return _LENGTH.pack(len(raw)) + raw


def _entries_untrusted(raw: bytes, calls: tuple[str, ...]) -> Iterable[Entry]:
    for part in _parts_untrusted(raw, most=MAX_ENTRY):
        items = _array(wire.unpack_untrusted(part, code=MALFORMED, max_bytes=MAX_ENTRY))
        values = Unpacking()
        match items:
            case [bytes(port), packed]:
                yield Answer(_string(port), values.value_untrusted(packed))
            case [int(number), (int() | bytes()) as outcome, list(arguments), list(names), list(said)]:
                if not 0 <= number < len(calls) or len(names) != len(said) or len(arguments) > MAX_ARGUMENTS:
                    raise malformed()
                yield Call(
                    calls[number],
                    tuple(map(values.value_untrusted, arguments)),
                    dict(zip(map(_string, names), map(values.value_untrusted, said), strict=True)),
                    outcome if isinstance(outcome, int) else _string(outcome),
                )
            case _:
                raise malformed()


# Keyframes.


def encode_keyframe(machine: Membership, *, rng: random.Random, ports: Mapping[str, object]) -> bytes:
    """Give the whole state of a machine.

    Args:
        machine: between two calls.
        rng: its dice, wherever in it they are.
        ports: what it asks of the outside, by name.

    Raises:
        LocalProtocolError: ``keyframe.size`` where it would be longer than :data:`MAX_KEYFRAME`, ``keyframe.type``.
    """
    texts = Texts()
    packing = Packing({id(rng): "rng"} | {id(port): name for name, port in ports.items()}, texts)
    state = packing.pack_as(machine, Membership)
    version, words, gauss = rng.getstate()
    if version != _DICE_VERSION:
        raise LocalProtocolError("keyframe.type", f"dice of version {version} cannot be recorded")
    known = list(texts)
    chunks: list[wire.Value] = []
    for start in range(0, len(known), wire.MAX_ARRAY):
        chunks.append(tuple(known[start : start + wire.MAX_ARRAY]))
    raw = wire.pack([state, chunks, _DICE.pack(*words), Packing().pack(gauss)])
    if len(raw) > MAX_KEYFRAME:
        raise LocalProtocolError("keyframe.size", f"a keyframe would take {len(raw)} bytes")
    return raw


def restore_keyframe_untrusted(
    raw: bytes, *, rng: random.Random, ports: Mapping[str, Callable[..., object]]
) -> Membership:
    """Give a machine in the very state that a keyframe holds.

    Args:
        raw: of :func:`encode_keyframe`.
        rng: gets the state that the dice had.
        ports: what answers in place of the outside, by name.

    Raises:
        RemoteProtocolError: ``trace.malformed``, or ``trace.release`` where a class of it is not ours.
    """
    items = _array(wire.unpack_untrusted(raw, code=MALFORMED, max_bytes=MAX_KEYFRAME))
    match items:
        case [state, list(chunks), bytes(words), gauss] if len(words) == _DICE.size:
            texts = [text for chunk in chunks for text in _array(chunk) if type(text) is bytes]
        case _:
            raise malformed()
    try:
        rng.setstate((_DICE_VERSION, _DICE.unpack(words), Unpacking().value_untrusted(gauss)))
    except (TypeError, ValueError):
        raise malformed() from None
    named: dict[str, object] = {"rng": rng, **ports}
    machine = Unpacking(named.get, texts).value_untrusted(state)
    if not isinstance(machine, Membership):
        raise malformed()
    return machine


# The file.


def encode_trace(
    segments: Iterable[tuple[bytes, bytes]], *, calls: tuple[str, ...], release: str, now: float, wall: float
) -> bytes:
    """Give the file for keyframes with the entries that follow each.

    Args:
        segments: in order; entries as :func:`encode_call` and :func:`encode_answer` gave them, one after the other.
        calls: the names of the calls that the entries number.
        release: ours.
        now: monotonic seconds.
        wall: the same moment in unix seconds.
    """
    head: list[wire.Value] = [release.encode(), _TIMES.pack(now, wall), [call.encode() for call in calls]]
    body = _framed(wire.pack(head))
    body += b"".join(_framed(part, MAX_KEYFRAME) for segment in segments for part in segment)
    return MAGIC + _hash(body) + body


def decode_trace_untrusted(raw: bytes) -> Trace:
    """Give the recording that a file holds.

    Raises:
        RemoteProtocolError: ``trace.malformed``, for any other bytes; ``trace.release``, for one that this release
            cannot read.
    """
    begin = len(MAGIC) + HASH_BYTES
    if len(raw) > MAX_TRACE or not raw.startswith(MAGIC):
        raise malformed("it does not begin as a trace does")
    body = raw[begin:]
    if raw[len(MAGIC) : begin] != _hash(body):
        raise malformed()
    parts = list(_parts_untrusted(body, most=max(MAX_KEYFRAME, MAX_ENTRIES)))
    if len(parts) % 2 == 0 or not 0 < len(parts) // 2 <= MAX_SEGMENTS:
        raise malformed()
    head = parts.pop(0)
    fields = wire.Fields(wire.unpack_untrusted(head, code=MALFORMED, max_bytes=MAX_HEAD), code=MALFORMED)
    release = _string(fields.binary(1, 64))
    now, wall = _TIMES.unpack(fields.binary(_TIMES.size, _TIMES.size))
    calls = tuple(map(_string, fields.array(MAX_CALLS)))
    if not all(abs(moment) <= MAX_NUMBER for moment in (now, wall)):
        raise malformed()
    segments = (
        Segment(keyframe, tuple(_entries_untrusted(entries, calls)))
        for keyframe, entries in zip(parts[::2], parts[1::2], strict=True)
    )
    return Trace(release, now, wall, tuple(segments))


def _hash(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=HASH_BYTES, person=b"gossipmesh-trace").digest()


def _parts_untrusted(raw: bytes, *, most: int) -> Iterable[bytes]:
    at = 0
    while at < len(raw):
        begin = at + _LENGTH.size
        if begin > len(raw):
            raise malformed()
        (length,) = _LENGTH.unpack_from(raw, at)
        at = begin + length
        if length > most or at > len(raw):
            raise malformed()
        yield raw[begin:at]


def _array(value: object) -> list[object]:
    if type(value) is not list:
        raise malformed()
    return value


def _string(value: object) -> str:
    if type(value) is not bytes or not value.isascii():
        raise malformed()
    return value.decode("ascii")

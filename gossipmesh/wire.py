"""msgpack with limits and strict types: the one place where received bytes become values.

On the wire there are only arrays, integers and byte strings. ``unpackb``'s defaults let 1 MiB of ``0x80`` become
76 MB, take booleans for integers and accept extension types, so every limit is set here and every element is
checked by :class:`Fields`. Unknown trailing elements of an array are ignored: neighbouring releases interoperate.
"""

from __future__ import annotations

from typing import Final, NoReturn

import msgpack

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.model import is_name

MAX_MESSAGE: Final = 65_535
MAX_ARRAY: Final = 4_096
MAX_INT: Final = 2**64 - 1

Value = int | bytes | list["Value"] | tuple["Value", ...]
"""What may be packed."""


# One for all: to make one costs as much as to pack a head. It holds nothing from one call to the next, not even after
# a failure, and nothing else runs while it packs: there are no callbacks.
_packer: Final = msgpack.Packer(use_bin_type=True)


def pack(value: Value) -> bytes:
    """Encode integers, bytes and arrays of them."""
    packed: bytes = _packer.pack(value)
    return packed


def _refuse(*_: object) -> NoReturn:
    raise ValueError("neither maps nor extension types are on the wire")


def unpack_untrusted(data: bytes, *, code: str, max_bytes: int = MAX_MESSAGE) -> object:
    """Give the one value that ``data`` holds; types and ranges are still to be checked by :class:`Fields`.

    Raises:
        RemoteProtocolError: ``code``, for malformed, oversized, nested-too-deep or trailing bytes.
    """
    if len(data) > max_bytes:
        raise RemoteProtocolError(code, f"{len(data)} bytes where at most {max_bytes} are allowed")
    try:
        return msgpack.unpackb(
            data,
            # With raw=True an empty string would pass for no bytes: a second spelling of one value.
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=0,
            max_bin_len=max_bytes,
            max_array_len=min(MAX_ARRAY, max_bytes),
            max_map_len=0,
            max_ext_len=0,
            # Limits of 0 let what is empty through. A hook is called for nothing else, so it costs nothing.
            object_hook=_refuse,
            ext_hook=_refuse,
        )
    except (ValueError, msgpack.UnpackException, OverflowError, TypeError, RecursionError) as error:
        raise RemoteProtocolError(code, f"not a message: {type(error).__name__}") from None


class Fields:
    """Walks one received array, each element checked for type and range before it is used.

    Args:
        value: what :func:`unpack_untrusted` gave, or an element of it.
        code: the error code to raise with.
    """

    __slots__ = ("_code", "_items", "_next")

    def __init__(self, value: object, *, code: str) -> None:
        if type(value) is not list:
            raise RemoteProtocolError(code, "an array was expected")
        self._items: list[object] = value
        self._next = 0
        self._code = code

    def _take(self) -> object:
        if self._next >= len(self._items):
            raise RemoteProtocolError(self._code, "an array is too short")
        item = self._items[self._next]
        self._next += 1
        return item

    @property
    def left(self) -> int:
        """How many elements were not yet taken."""
        return len(self._items) - self._next

    def next_is_array(self) -> bool:
        """Tell whether the next element is an array; only where there is one."""
        return type(self._items[self._next]) is list

    def integer(self, low: int = 0, high: int = MAX_INT) -> int:
        """Take an integer from ``low`` to ``high``, both included. A boolean is not one."""
        item = self._take()
        if type(item) is not int or not low <= item <= high:
            raise RemoteProtocolError(self._code, f"an integer from {low} to {high} was expected")
        return item

    def binary(self, low: int, high: int) -> bytes:
        """Take a byte string of ``low`` to ``high`` bytes, both included."""
        item = self._take()
        if type(item) is not bytes or not low <= len(item) <= high:
            raise RemoteProtocolError(self._code, f"{low} to {high} bytes were expected")
        return item

    def name(self, *, empty: bool = False) -> str:
        """Take a name, ``[a-z0-9-]{1,63}``, or with ``empty`` also the empty string."""
        raw = self.binary(0 if empty else 1, 63)
        text = raw.decode("ascii", "replace")
        if raw and not is_name(text):
            raise RemoteProtocolError(self._code, "a name was expected: [a-z0-9-]{1,63}")
        return text

    def array(self, most: int) -> list[object]:
        """Take an array of at most ``most`` elements, themselves unchecked."""
        item = self._take()
        if type(item) is not list or len(item) > most:
            raise RemoteProtocolError(self._code, f"an array of at most {most} was expected")
        return item

    def fields(self, most: int) -> Fields:
        """Take an array of at most ``most`` elements, to be walked in turn."""
        return Fields(self.array(most), code=self._code)

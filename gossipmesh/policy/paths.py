"""What a request's path is to a rule, when nobody can know what it is to the app.

A router may ignore case, a slash at the end, ``;parameters``, and will decode percent-encoding; another may do none
of that. What was checked is byte for byte what is forwarded, so nothing is rewritten here. Instead:

- a target that routers may read as a path in *another place* is refused (:func:`ambiguous_path`): ``%2f``, ``%5c``,
  a backslash, ``//``, dot segments, control bytes, an encoded ``?`` or ``#``, each also encoded twice;
- a rule that denies matches if *any* reading of the path does: both sides are :func:`folded`;
- a rule that allows matches the very bytes that it names, for those alone were meant.

So another spelling of a denied path is denied, and another spelling of an allowed one is not allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

NONE: Final = 1 << 30
"""The index of no rule: above all others."""
BELOW: Final = b"/*"
"""At the end of a rule's path: whatever is below it."""
SERVER: Final = b"*"
"""The target of ``OPTIONS *``, which is about the server and no path of it (RFC 9110, section 9.3.7)."""

_Pair: TypeAlias = tuple[int, int]
"""The index of a rule that denies, and that of one that allows."""
_NEITHER: Final[_Pair] = (NONE, NONE)

_FINE: Final = rb"%(?![01][0-9A-Fa-f]|7[Ff]|2[35EFef]|3[BbFf]|5[Cc]|[Cc][01])[0-9A-Fa-f]{2}"
_PLAIN: Final = re.compile(
    rb"(?:/\.?(?:[A-Za-z0-9_~!$&'()*+,=:@-]|%b)(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%b)*)*/?" % (_FINE, _FINE)
)
"""Paths about which there is no doubt, so that most are read once and fast. A path has one parse at most by this, so
nothing is tried twice. Possessive quantifiers would say so, but before Python 3.11.5 those of groups match what they
should not (python/cpython issue 106052)."""
_RAW: Final = re.compile(rb"(#)|(\x00)|(%(?![0-9A-Fa-f]{2}))")
_READINGS: Final = re.compile(
    rb"(%2f)|(%5c|\\)|(%[01][0-9a-f]|%7f|[\x00-\x1f\x7f])|(%3f|%23)|(%c[01]|[\xc0\xc1])|(/(?:\.|%2e){1,2}(?=[/;]|%3b|\Z))|(/(?:[/;]|%3b))",
    re.IGNORECASE,
)
_SETTLED: Final = bytes(byte for byte in range(128) if byte not in b"%;ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""What :func:`folded` leaves as it is, but for a slash at the end."""
_PARAMETERS: Final = re.compile(rb";[^/]*")
_RAW_REASONS: Final = ("#, which no request target has", "a NUL byte", "% without two hex digits")
_REASONS: Final = (
    "%2f, which some apps take for a slash",
    "a backslash, which some apps take for a slash",
    "a NUL or another control byte, which some apps leave out, or match a path's end before",
    "an encoded ? or #, at which some apps end the path",
    "bytes that are not UTF-8 and that some apps take for others",
    "a segment . or .., which some apps resolve",
    "an empty segment, which some apps leave out",
)


def ambiguous_path(target: bytes) -> str | None:
    """Say why apps may differ about which path a request target names; None if they do not.

    Only the part before ``?`` is looked at. To be asked where a rule with paths names the service
    (:meth:`~gossipmesh.policy.rules.Policy.has_paths`): other services may need such paths (npm, GitLab, S3).
    """
    path = target.partition(b"?")[0]
    if _PLAIN.fullmatch(path) is not None and path:
        return None
    if not path.startswith(b"/"):
        return None if path == SERVER else "it does not begin with a slash"
    if (found := _RAW.search(path)) is not None and found.lastindex is not None:
        return f"it has {_RAW_REASONS[found.lastindex - 1]}"
    if (found := _READINGS.search(path)) is not None and found.lastindex is not None:
        return f"it has {_REASONS[found.lastindex - 1]}"
    if b"%25" in path:
        found = _READINGS.search(unquote_to_bytes(path))
        if found is not None and found.lastindex is not None:
            return f"decoded twice, it has {_REASONS[found.lastindex - 1]}"
    return None


def folded(path: bytes) -> bytes:
    """Give one spelling for all paths that some router takes for the same.

    Decoded (twice), without ``;parameters`` and the slash at the end, and in lower case. Two paths that fold to
    different bytes are different to every app that we know of; two that fold to the same may or may not be.
    """
    if b"%" in path:
        # Twice: some apps sit behind a gateway that decodes, and decode once more.
        path = unquote_to_bytes(path)
        path = unquote_to_bytes(path) if b"%" in path else path
    if b";" in path:
        path = _PARAMETERS.sub(b"", path)
    path = path.lower() if path.isascii() else _lower(path)
    return path.rstrip(b"/") or b"/" if path.endswith(b"/") else path


def _lower(path: bytes) -> bytes:
    """Give what is not all ASCII in lower case, as far as it is UTF-8."""
    # Upper first: a dotless i and a long s have only their capitals in common with i and s.
    return path.decode("utf-8", "surrogateescape").upper().lower().encode("utf-8", "surrogateescape")


class PathIndex:
    """Finds the first of many rules whose paths match, in time that depends on the path alone.

    Args:
        deny: the paths of rules that deny, each with its rule's index; compared in all readings.
        allow: those of rules that allow, likewise; compared as they are.
    """

    __slots__ = ("_below", "_exact", "_levels")

    def __init__(
        self, deny: Iterable[tuple[bytes, int]] = (), allow: Iterable[tuple[bytes, int]] = ()
    ) -> None:
        self._exact: dict[bytes, _Pair] = {}
        """Paths, each with the first rule that denies it and the first that allows it."""
        self._below: dict[bytes, _Pair] = {}
        """Likewise what rules about all that is below it have before their slash."""
        for path, index in deny:
            self._add(path, index, allows=False)
        for path, index in allow:
            self._add(path, index, allows=True)
        # How deep a path is looked into is bounded by the rules, not by who sends the path.
        depths = {base.count(b"/") for base in self._below}
        self._levels = tuple(depth in depths for depth in range(max(depths, default=-1) + 1))

    def _add(self, path: bytes, index: int, *, allows: bool) -> None:
        below = path.endswith(BELOW)
        base = path[: -len(BELOW)] if below else path
        if not allows and base:
            base = folded(base)
            base = b"" if below and base == b"/" else base
        pair = (NONE, index) if allows else (index, NONE)
        if below:
            self._below[base] = _first_of(pair, self._below.get(base, _NEITHER))
        if not below or not allows or not base:
            # To a router that ignores a last slash, `/admin` is `/admin/`, which is below `/admin`.
            exact = [base or b"/"]
            # Who denies every path means this one too; no rule that allows names it.
            exact += [SERVER] if below and not base and not allows else []
            for each in exact:
                self._exact[each] = _first_of(pair, self._exact.get(each, _NEITHER))

    def first(self, path: bytes) -> int:
        """Give the least index of a rule that denies and has ``path`` or what is above it; else of one that allows.

        :data:`NONE` if there is neither.
        """
        deny, allow = self._matching(path)
        # A path that is its only reading is looked for once.
        if path.translate(None, _SETTLED) or path.endswith(b"/"):
            deny, _ = self._matching(folded(path))
        return allow if deny == NONE else deny

    def _matching(self, path: bytes) -> _Pair:
        found = self._exact.get(path, _NEITHER)
        slash, last = path.find(b"/"), len(path) - 1
        for is_base in self._levels:
            if not 0 <= slash < last:
                break
            if is_base and (pair := self._below.get(path[:slash])) is not None:
                found = _first_of(pair, found)
            slash = path.find(b"/", slash + 1)
        return found


def _first_of(one: _Pair, other: _Pair) -> _Pair:
    return min(one[0], other[0]), min(one[1], other[1])

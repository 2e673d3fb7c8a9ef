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
from typing import Final
from urllib.parse import unquote_to_bytes

NONE: Final = 1 << 30
"""The index of no rule: above all others."""
BELOW: Final = b"/*"
"""At the end of a rule's path: whatever is below it."""

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
        return None if path == b"*" else "it does not begin with a slash"
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
        path = unquote_to_bytes(unquote_to_bytes(path))
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
        paths: paths as rules have them, each with its rule's index.
        folds: whether they and those asked for are compared in all readings (rules that deny), or as they are.
    """

    __slots__ = ("_below", "_exact", "_folds", "_levels")

    def __init__(self, paths: Iterable[tuple[bytes, int]], *, folds: bool) -> None:
        self._exact: dict[bytes, int] = {}
        self._below: dict[bytes, int] = {}
        self._folds = folds
        for path, index in paths:
            self._add(path, index)
        # How deep a path is looked into is bounded by the rules, not by who sends the path.
        depths = {base.count(b"/") for base in self._below}
        self._levels = tuple(depth in depths for depth in range(max(depths, default=-1) + 1))

    def _add(self, path: bytes, index: int) -> None:
        below = path.endswith(BELOW)
        base = path[: -len(BELOW)] if below else path
        if self._folds and base:
            base = folded(base)
            base = b"" if below and base == b"/" else base
        if below:
            self._below[base] = min(index, self._below.get(base, NONE))
        if not below or self._folds or not base:
            # To a router that ignores a last slash, `/admin` is `/admin/`, which is below `/admin`.
            base = base or b"/"
            self._exact[base] = min(index, self._exact.get(base, NONE))

    def first(self, path: bytes) -> int:
        """Give the least index of a rule one of whose paths is ``path`` or above it; :data:`NONE` if there is none."""
        if self._folds:
            path = folded(path)
        first = self._exact.get(path, NONE)
        slash, last = path.find(b"/"), len(path) - 1
        for is_base in self._levels:
            if not 0 <= slash < last:
                break
            if is_base:
                index = self._below.get(path[:slash])
                if index is not None and index < first:
                    first = index
            slash = path.find(b"/", slash + 1)
        return first

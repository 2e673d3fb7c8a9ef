"""Where a gateway's requests go: a fixed map from host and path to a service. Pure.

Bytes are compared, on the borders of segments, and nothing is normalised: ``/api`` stands for ``/api``, ``/api/`` and
``/api/x``, not for ``/apis``, and a service gets the path as it came. Whatever an app could take for another path than
it is here (dot segments, empty ones, encoded slashes) is refused where paths decide; where a host has one service for
all its paths, nothing depends on it, and it is passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from gossipmesh.errors import RequestError
from gossipmesh.model import value

MAX_ROUTES: Final = 1_024
ANY_HOST: Final = "*"
ROOT: Final = "/"

_UNCLEAR: Final = re.compile(rb"//|/;[^/]*/|[\\\0\xc0\xc1]")
"""Empty segments, parameters or not, with something behind them; what some take for a slash or for the end; and bytes
that begin no UTF-8, but spellings of ASCII that careless decoders take for it."""
_BLANKS: Final = bytes(range(33))
MAX_DECODED: Final = 3
"""How often a path is decoded before nobody can be expected to read it so."""
_PORT: Final = re.compile(rb":[0-9]*\Z")


@value
class Route:
    """One entry of the map."""

    service: str
    host: str = ANY_HOST
    """A name in lower case, ``*.`` in front of one for every name below it, or ``*`` for all that no other names."""
    path: str = ROOT
    """A prefix, without a slash at its end."""


class Routes:
    """The map of one gateway.

    The nearest host decides: a name before ``*.`` of it, the longer of these before the shorter, ``*`` last; then the
    longest path. A host that has routes never falls back on those of another.

    Args:
        routes: at most one for each host and path.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        hosts: dict[str, list[tuple[bytes, str]]] = {}
        for route in routes:
            hosts.setdefault(route.host, []).append((route.path.encode(), route.service))
        self._hosts: Final = {
            host: sorted(paths, key=lambda each: -len(each[0])) for host, paths in hosts.items()
        }

    def find(self, host: bytes, target: bytes) -> str:
        """Give the service of a request.

        Args:
            host: a valid authority, or empty where none was said.
            target: in origin form.

        Raises:
            RequestError: 404 ``NR`` where no route leads; 400 ``DPE`` for a path that could be read in two ways.
        """
        paths = self._of_host(host)
        path = target.partition(b"?")[0]
        if paths is not None and path.startswith(b"/"):
            if len(paths) > 1 or paths[0][0] != b"/":
                _check_clear(path)
            for prefix, service in paths:
                if _leads(prefix, path):
                    return service
        raise RequestError("NR", 404, "nothing is published here under this host and path")

    def _of_host(self, host: bytes) -> list[tuple[bytes, str]] | None:
        name = _PORT.sub(b"", host).decode("latin-1").lower().removesuffix(".")
        if (exact := self._hosts.get(name)) is not None and name != ANY_HOST:
            return exact
        _, _, parent = name.partition(".")
        while parent and "" not in name.split("."):
            if (below := self._hosts.get(f"*.{parent}")) is not None:
                return below
            _, _, parent = parent.partition(".")
        return self._hosts.get(ANY_HOST)


def _leads(prefix: bytes, path: bytes) -> bool:
    return prefix in (b"/", path) or path.startswith(prefix + b"/")


def is_clear(path: bytes) -> bool:
    """Tell whether everybody reads the same segments in a path, however often they decode it."""
    slashes = path.count(b"/")
    for _ in range(MAX_DECODED):
        if _UNCLEAR.search(path) or path.count(b"/") != slashes:
            return False
        segments = (segment.partition(b";")[0].translate(None, _BLANKS) for segment in path.split(b"/"))
        if any(segment in (b".", b"..") for segment in segments):
            return False
        before, path = path, unquote_to_bytes(path)
        if path == before:
            return True
    return False


def _check_clear(path: bytes) -> None:
    if not is_clear(path):
        text = "a path with dot segments, empty ones, or encoded slashes: it could be read in two ways"
        raise RequestError("DPE", 400, text)

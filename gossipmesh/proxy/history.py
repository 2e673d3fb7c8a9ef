"""Requests that are over, kept for a while to be asked about. Pure.

The newest are there, whatever became of them; those that failed or were slow are kept beside them, for they are what
somebody asks about, and later. A report is kept as it came, by reference; whoever asks makes words of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Final

from attrs import frozen

from gossipmesh.model import Endpoint
from gossipmesh.proxy.access import Direction, RequestReport, text_in
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.standing import LeftOut

MAX_NEWEST: Final = 1_024
MAX_FAILED: Final = 256
"""Requests that failed or were slow."""
SLOW_S: Final = 1.0
MAX_PATH: Final = 256
"""Characters of a path, or of a method; more is cut."""
MAX_LEFT_OUT: Final = 16
"""Endpoints of which it is kept why one request could not get them."""
MAX_LOOKED_AT: Final = 256
"""Endpoints that are looked at for those."""
MAX_FOUND: Final = 16
"""Requests with the same id or trace that are given at once."""
_TUNNELS: Final = frozenset({"CONNECT", b"CONNECT"})


@frozen
class Past:
    """One request that is over."""

    report: RequestReport
    wall: float
    """When it ended, in unix seconds."""


class History:
    """The last requests of one node, both directions."""

    __slots__ = ("_failed", "_newest", "ended")

    def __init__(self) -> None:
        self.ended = 0
        """How many were ever added; the newest of them has this number, the first one 1."""
        self._newest: deque[tuple[RequestReport, float]] = deque(maxlen=MAX_NEWEST)
        self._failed: deque[tuple[RequestReport, float]] = deque(maxlen=MAX_FAILED)

    def add(self, report: RequestReport, *, wall: float, snapshot: Snapshot) -> None:
        """Keep a request that has just ended.

        Args:
            report: of it.
            wall: unix seconds.
            snapshot: the present picture, which says what is wrong with endpoints that could not be chosen.
        """
        if len(report.path) > MAX_PATH or len(report.method) > MAX_PATH:
            report = report.changed(path=report.path[:MAX_PATH], method=report.method[:MAX_PATH])
        if len(report.left_out) > MAX_LEFT_OUT:
            report = report.changed(left_out=report.left_out[:MAX_LEFT_OUT])
        entry = report, wall
        if report.flag or report.code >= 500 or not report.code or report.duration_s >= SLOW_S:
            if not report.tries and report.service:
                ill = _ineligible(snapshot.endpoints(report.service))
                entry = report.changed(left_out=ill), wall
            if report.flag or (
                report.method not in _TUNNELS and report.code != 101
            ):  # Those take long by nature.
                self._failed.append(entry)
        self._newest.append(entry)
        self.ended += 1

    def since_number(self, number: int) -> Iterator[tuple[int, Past]]:
        """Give those of the newest that came after the one with this number, the oldest first, each with its own."""
        oldest = self.ended - len(self._newest)
        skipped = max(0, number - oldest)
        for place, (report, wall) in enumerate(islice(self._newest, skipped, None), oldest + skipped + 1):
            yield place, Past(report, wall)

    def find(self, name: str) -> list[Past]:
        """Give what is known of the request with the id ``name``, or of those of the trace ``name``, oldest first."""
        seen: dict[int, Past] = {}
        for report, wall in (*self._failed, *self._newest):
            if name in (text_in(report.request_id), text_in(report.trace_id)):
                seen[id(report)] = Past(report, wall)
        return sorted(seen.values(), key=lambda past: past.wall)[-MAX_FOUND:]

    def called(self, since: float) -> frozenset[str]:
        """Give the services that local apps asked for lately: since ``since``, in unix seconds, at the earliest."""
        recent = takewhile(lambda entry: entry[1] >= since, reversed(self._newest))
        return frozenset(
            report.service
            for report, _ in recent
            if report.service and report.direction is Direction.OUTBOUND
        )

    @property
    def kept(self) -> int:
        """How many of the newest requests are known."""
        return len(self._newest)

    @property
    def since(self) -> float | None:
        """When the oldest of the newest ended, in unix seconds; None: there was none."""
        return self._newest[0][1] if self._newest else None


def _ineligible(endpoints: tuple[Endpoint, ...]) -> tuple[LeftOut, ...]:
    some = (LeftOut(each.id, each.reason) for each in islice(endpoints, MAX_LOOKED_AT) if not each.eligible)
    return tuple(islice(some, MAX_LEFT_OUT))

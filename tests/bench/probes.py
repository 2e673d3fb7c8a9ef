"""What membership felt while a daemon forwarded at full load: its probes' round trips, and who was suspected."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from attrs import define, field

from forwarders import Running

BUCKET: Final = re.compile(r'^gossipmesh_probe_rtt_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
SUSPECTED: Final = re.compile(r'"event":"member".*"now":"(?:suspect|dead)"')

Snapshot = Counter[float]
"""How many probes were answered within so many seconds, of all daemons."""


@define
class Probes:
    """Adds up, by contender, what happened under loads."""

    _within: dict[str, Snapshot] = field(factory=dict)
    _suspected: dict[str, int] = field(factory=dict)

    def snapshot(self, running: Running) -> Snapshot:
        seen: Snapshot = Counter()
        for node in running.nodes:
            _, body = node.fetch("/metrics")
            seen.update({float(le): int(float(count)) for le, count in BUCKET.findall(body.decode())})
        return seen

    def count(self, name: str, running: Running, before: Snapshot) -> None:
        """Add what happened since ``before``; suspicions count since the daemons' start."""
        if not running.nodes:
            return
        since = self.snapshot(running)
        since.subtract(before)
        self._within.setdefault(name, Counter()).update(since)

    def end(self, name: str, running: Running) -> None:
        """Add what the daemons said of each other in all their life."""
        if running.nodes:
            said = sum(len(SUSPECTED.findall(node.log())) for node in running.nodes)
            self._suspected[name] = self._suspected.get(name, 0) + said

    def rows(self) -> list[str]:
        """Give one line per contender that has members."""
        lines = []
        for name, within in self._within.items():
            total = within[float("inf")]
            p99 = next((le for le in sorted(within) if within[le] >= 0.99 * total), float("inf"))
            lines.append(
                f"probes of {name} under load: p99 <= {p99 * 1e3:g} ms of {total}, "
                f"{self._suspected.get(name, 0)} times a member was suspected"
            )
        return lines

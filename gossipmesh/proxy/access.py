"""What the proxy tells about each request once it is over. Who writes it down is the daemon's affair."""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import frozen


class Direction(enum.Enum):
    """Which side of the proxy saw the request."""

    OUTBOUND = "outbound"
    """From a local app into the mesh."""
    INBOUND = "inbound"
    """From the mesh to a local app."""


@frozen
class RequestReport:
    """One request, after its end: the fields of one access-log line and of the metrics."""

    direction: Direction
    request_id: str
    """Empty if the request could not be read that far; so are the fields below."""
    trace_id: str
    source: str
    """The service that the caller speaks as, or empty."""
    service: str
    method: str
    path: str
    """Without the query, which may hold secrets."""
    code: int
    """The status that the caller got; 0 if it got none."""
    flag: str
    """Why the mesh answered itself or broke the answer off (``UF``, ``DC`` ...); empty if all went well."""
    bytes_in: int
    """Of the request's body, as read from the caller."""
    bytes_out: int
    """Of the response's body, as sent to the caller."""
    duration_s: float
    attempts: int
    endpoint: str
    """The node that answered, or that was tried last; inbound: the caller's node."""
    retried: tuple[str, ...] = ()
    """The flag of each failed attempt that was followed by another."""


Observer = Callable[[RequestReport], None]
"""Takes each report, at once and without waiting."""


def path_of(target: bytes) -> str:
    """Give a request target without its query, as text."""
    return target.partition(b"?")[0].decode("ascii", "replace")

"""What the proxy tells about each request once it is over. Who writes it down is the daemon's affair."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from gossipmesh.model import value
from gossipmesh.routing.outcomes import Attempt
from gossipmesh.routing.standing import LeftOut


class Direction(enum.Enum):
    """Which side of the proxy saw the request."""

    OUTBOUND = "outbound"
    """From a local app into the mesh."""
    INBOUND = "inbound"
    """From the mesh to a local app."""


@value
class RequestReport:
    """One request, after its end: the fields of one access-log line and of the metrics.

    What came as bytes may stay so: it is made text by whoever writes it down, and most daemons write few.
    """

    direction: Direction
    request_id: str | bytes
    """Empty if the request could not be read that far; so are the fields below."""
    trace_id: str | bytes
    source: str
    """The service that the caller speaks as, or empty."""
    service: str
    method: str | bytes
    path: str | bytes
    """Text is without the query, which may hold secrets; bytes are the whole target (see :func:`path_in`)."""
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
    tries: Sequence[Attempt] = ()
    """The attempts, with their times, by the reactor's clock."""
    left_out: tuple[LeftOut, ...] = ()
    """The endpoints that the last of them could not get, and why."""
    begun: float = 0.0
    """When the request came, by the same clock; means something where there are attempts."""
    session: str = ""
    """How the caller's session told the endpoint: see :func:`~gossipmesh.routing.explain.session_of`."""


Observer = Callable[[RequestReport], None]
"""Takes each report, at once and without waiting."""


def path_of(target: bytes) -> str:
    """Give a request target without its query, as text."""
    return target.partition(b"?")[0].decode("ascii", "replace")


def path_in(path: str | bytes) -> str:
    """Give the path of a report, as text and without a query."""
    return path if isinstance(path, str) else path_of(path)


def text_in(field: str | bytes) -> str:
    """Give a field of a report as text."""
    return field if isinstance(field, str) else field.decode("ascii", "replace")

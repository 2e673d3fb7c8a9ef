"""What the proxy tells about each request once it is over. Who writes it down is the daemon's affair."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from gossipmesh.routing.outcomes import Attempt
from gossipmesh.routing.standing import LeftOut
from gossipmesh.unchanging import Unchanging


class Direction(enum.Enum):
    """Which side of the proxy saw the request."""

    OUTBOUND = "outbound"
    """From a local app into the mesh."""
    INBOUND = "inbound"
    """From the mesh to a local app."""


class RequestReport(Unchanging):
    """One request, after its end: the fields of one access-log line and of the metrics.

    What came as bytes may stay so: it is made text by whoever writes it down, and most daemons write few.
    """

    __match_args__: ClassVar = (
        "direction",
        "request_id",
        "trace_id",
        "source",
        "service",
        "method",
        "path",
        "code",
        "flag",
        "bytes_in",
        "bytes_out",
        "duration_s",
        "attempts",
        "endpoint",
        "retried",
        "tries",
        "left_out",
        "begun",
        "session",
    )
    __slots__ = __match_args__

    def __init__(  # noqa: PLR0917 -- one for each field
        self,
        direction: Direction,
        request_id: str | bytes,
        trace_id: str | bytes,
        source: str,
        service: str,
        method: str | bytes,
        path: str | bytes,
        code: int,
        flag: str,
        bytes_in: int,
        bytes_out: int,
        duration_s: float,
        attempts: int,
        endpoint: str,
        retried: tuple[str, ...] = (),
        tries: Sequence[Attempt] = (),
        left_out: tuple[LeftOut, ...] = (),
        begun: float = 0.0,
        session: str = "",
    ) -> None:
        self.direction: Final = direction
        self.request_id: Final = request_id
        """Empty if the request could not be read that far; so are the fields below."""
        self.trace_id: Final = trace_id
        self.source: Final = source
        """The service that the caller speaks as, or empty."""
        self.service: Final = service
        self.method: Final = method
        self.path: Final = path
        """Text is without the query, which may hold secrets; bytes are the whole target (see :func:`path_in`)."""
        self.code: Final = code
        """The status that the caller got; 0 if it got none."""
        self.flag: Final = flag
        """Why the mesh answered itself or broke the answer off (``UF``, ``DC`` ...); empty if all went well."""
        self.bytes_in: Final = bytes_in
        """Of the request's body, as read from the caller."""
        self.bytes_out: Final = bytes_out
        """Of the response's body, as sent to the caller."""
        self.duration_s: Final = duration_s
        self.attempts: Final = attempts
        self.endpoint: Final = endpoint
        """The node that answered, or that was tried last; inbound: the caller's node."""
        self.retried: Final = retried
        """The flag of each failed attempt that was followed by another."""
        self.tries: Final = tries
        """The attempts, with their times, by the reactor's clock."""
        self.left_out: Final = left_out
        """The endpoints that the last of them could not get, and why."""
        self.begun: Final = begun
        """When the request came, by the same clock; means something where there are attempts."""
        self.session: Final = session
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

"""What may be asked of the requests that ended lately, and the shape of the answer.

Whoever follows them asks again and again, each time for what came after the last answer: by the cursor that it gave.
"""

from __future__ import annotations

from typing import Final, Literal, TypedDict, cast
from urllib.parse import parse_qsl

from attrs import frozen

from gossipmesh.errors import ConfigError
from gossipmesh.model import is_name

MAX_TOLD: Final = 256
"""Requests in one answer; some milliseconds of the daemon's time."""
DEFAULT_LAST: Final = 10
MAX_DIGITS: Final = 18
FIELDS: Final = ("after", "last", "service", "direction", "failed")
Side = Literal["inbound", "outbound"]


@frozen
class Cursor:
    """Where somebody has got to: the daemon's start that they asked, and the number of its request."""

    boot: int
    number: int

    def __str__(self) -> str:
        """Give it as the answer says it, and the next question too."""
        return f"{self.boot}.{self.number}"


@frozen
class RequestsAsked:
    """A question for requests that are over. Empty: whatever it is."""

    after: Cursor | None = None
    """None: the last ones, ``last`` of them."""
    last: int = DEFAULT_LAST
    service: str = ""
    direction: Side | Literal[""] = ""
    failed: bool = False
    """Only what the mesh or the service could not answer."""


class Requests(TypedDict):
    """``/v1/requests``: those that fit the question, the oldest first."""

    requests: list[dict[str, object]]
    """Each as the access log has it."""
    next: str
    """The cursor for the next question; if there are ``MAX_TOLD`` of them, there may be more at once."""
    missed: int
    """Requests, of whatever kind, that came after the cursor and are forgotten already."""


def requests_asked(query: str) -> RequestsAsked:
    """Read a question.

    Raises:
        ConfigError: it is none, with what is wrong.
    """
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(FIELDS)
        )
    except ValueError:
        raise _wrong(f"write ?NAME=VALUE&..., with {', '.join(FIELDS)}") from None
    fields = dict(pairs)
    if len(fields) < len(pairs) or not fields.keys() <= set(FIELDS):
        raise _wrong(f"it takes {', '.join(FIELDS)}, each once")
    if {"after", "last"} <= fields.keys():
        raise _wrong("last: that is for the first question; after says where the next one begins")
    service, direction = fields.get("service", ""), fields.get("direction", "")
    if service and not is_name(service):
        raise _wrong(f"service: {service[:64]!r} is no service's name")
    if direction not in ("", "inbound", "outbound"):
        raise _wrong(f"direction: {direction[:64]!r} is neither inbound nor outbound")
    if fields.get("failed", "") not in ("", "yes"):
        raise _wrong("failed: say yes, or leave it out")
    return RequestsAsked(
        after=_cursor(fields["after"]) if "after" in fields else None,
        last=_last(fields["last"]) if "last" in fields else DEFAULT_LAST,
        service=service,
        direction=cast("Side | Literal['']", direction),
        failed=bool(fields.get("failed")),
    )


def _cursor(text: str) -> Cursor:
    boot, dot, number = text.partition(".")
    if not (dot and _is_number(boot) and _is_number(number)):
        raise _wrong(f"after: {text[:64]!r} is no cursor; give what `next` said")
    return Cursor(int(boot), int(number))


def _last(text: str) -> int:
    if not _is_number(text) or int(text) > MAX_TOLD:
        raise _wrong(f"last: {text[:64]!r} is no number of requests, 0 to {MAX_TOLD}")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _wrong(text: str) -> ConfigError:
    return ConfigError("config.value", f"this is no question: {text}")

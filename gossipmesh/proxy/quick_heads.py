"""Heads of whole, plain messages, from an app's bytes to header lines and back: the quick way's rules. Pure.

A message is taken only where all of it is here at once, every line of its head is one that :mod:`~.header_lines` knows
all about, and nothing about it needs the general rules; None for everything else. What is taken comes out as the
general way (http1, :mod:`.headers`, :mod:`.names`, :mod:`.tracing`) would have it, byte for byte: that is the law, and
tests/proxy/test_quick_heads.py holds it to that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from gossipmesh.channel.header_lines import (
    DROPPED,
    FORWARDED,
    HOST,
    HOST_AT,
    LENGTH,
    LENGTH_AT,
    PLAIN,
    REQUEST_ID,
    REQUEST_ID_AT,
    TRACE_ID_FROM,
    TRACE_ID_TO,
    TRACEPARENT,
    TRACESTATE,
    VIA,
    kinds_untrusted,
)
from gossipmesh.errors import RequestError
from gossipmesh.proxy.headers import NODE_HEADER, SOURCE_HEADER
from gossipmesh.proxy.names import name_request

MAX_HOSTS: Final = 1_024
"""Ways to name a service that are remembered; one more, and all are forgotten."""

_REQUEST: Final = re.compile(
    rb"(GET|POST|PUT|DELETE|PATCH) (?:http://([A-Za-z0-9.:-]+))?(/[\x21-\x22\x24-\x7e]*) HTTP/1\.1"
)
"""Methods whose answer has a body, and a target in origin or absolute form; no fragment."""
_ANNOUNCED: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_FROM_CALLER: Final = bytes((PLAIN, HOST, LENGTH, REQUEST_ID, TRACEPARENT, TRACESTATE, DROPPED))
_FROM_MESH: Final = bytes((PLAIN, HOST, LENGTH, REQUEST_ID, TRACEPARENT, TRACESTATE, FORWARDED, VIA))
_FROM_APP: Final = bytes((PLAIN, LENGTH, REQUEST_ID, TRACEPARENT, TRACESTATE, FORWARDED, VIA, DROPPED))
_ANSWER_FROM_MESH: Final = bytes((PLAIN, LENGTH, REQUEST_ID, TRACEPARENT, TRACESTATE, FORWARDED, VIA))
"""What each reader takes. In answers, what speaks of requests is as plain as the rest."""
_HOST: Final = bytes((HOST,))
_BODYLESS: Final = (204, 304)

_hosts: Final[dict[bytes, tuple[str, bytes]]] = {}
_statuses: Final[dict[bytes, int]] = {}


class QuickRequest:
    """A whole request of a local app, as it goes into the mesh but for what this daemon adds."""

    __slots__ = ("body", "host", "lines", "method", "request_id", "service", "target", "trace_id")

    def __init__(
        self, method: bytes, target: bytes, *, service: str, host: bytes, lines: list[bytes], body: bytes
    ) -> None:
        self.method = method
        self.target = target
        self.service = service
        self.host = host
        self.lines = lines
        """``Name: value`` each, in order."""
        self.body = body
        self.request_id = b""
        self.trace_id = b""


def read_request(
    data: bytes, *, fixed: str | None, max_bytes: int, max_lines: int, entropy: Callable[[int], bytes]
) -> QuickRequest | None:
    """Give the request that ``data`` is, all of it and nothing more; None where the general way has to look.

    Args:
        data: as received.
        fixed: the service of the port that it came in on, or None.
        max_bytes: of a head.
        max_lines: header lines of a head.
        entropy: gives so many random bytes, for ids that the app did not give.
    """
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= max_bytes - 4:
        return None
    lines = data[:end].split(b"\r\n")
    match = _REQUEST.fullmatch(lines[0])
    if match is None or len(lines) > max_lines:
        return None
    del lines[0]
    kinds = kinds_untrusted(lines)
    if kinds.translate(None, _FROM_CALLER) or not _is_led_by_host(kinds):
        return None
    method, authority, target = match.groups()
    body = data[end + 4 :]
    if not _is_whole(lines, kinds, body):
        return None
    host = lines[0][HOST_AT:]
    if fixed is None:
        named = _named(authority or host)
        if named is None:
            return None
        service, wanted = named
        if wanted != host:
            lines[0] = lines[0][:HOST_AT] + wanted
    elif authority is not None:
        return None
    else:
        service, wanted = fixed, host
        if _named(host) is None:
            return None  # The general way knows what else a Host may be here.
    request = QuickRequest(method, target, service=service, host=wanted, lines=lines, body=body)
    return request if _trace(request, kinds, entropy) else None


def body_missing(data: bytes) -> int:
    """Give how many bytes of its body a request lacks that ``data`` is the beginning of, as far as that is plain.

    A guess, for whoever may read on at once: what the request is, :func:`read_request` says.
    """
    if data[:4] == b"GET " or data[:5] == b"HEAD ":
        return 0
    end = data.find(b"\r\n\r\n")
    announced = _ANNOUNCED.search(data, 0, end + 2) if end > 0 else None
    return 0 if announced is None else max(0, int(announced[1]) - (len(data) - end - 4))


def _is_led_by_host(kinds: bytes) -> bool:
    # Where it stands elsewhere, h11 moves it to the front (RFC 9110, section 7.2), and so does our own writer.
    return kinds[:1] == _HOST and kinds.count(HOST) == 1


def _is_whole(lines: list[bytes], kinds: bytes, body: bytes) -> bool:
    lengths = kinds.count(LENGTH)
    if lengths == 0:
        return not body
    return lengths == 1 and int(lines[kinds.index(LENGTH)][LENGTH_AT:]) == len(body)


def _named(authority: bytes) -> tuple[str, bytes] | None:
    """Give service and Host of an authority, remembered; None for one that is refused."""
    known = _hosts.get(authority)
    if known is None:
        try:
            named = name_request(b"GET", b"/", authority, fixed=None)
        except RequestError:
            return None
        known = named.service, named.host
        if len(_hosts) >= MAX_HOSTS:
            _hosts.clear()
        _hosts[authority] = known
    return known


def _trace(request: QuickRequest, kinds: bytes, entropy: Callable[[int], bytes]) -> bool:
    """Find or make the request's two names, and drop what is about one connection; False where it is not as usual."""
    lines = request.lines
    ids, parents = kinds.count(REQUEST_ID), kinds.count(TRACEPARENT)
    if ids > 1 or parents > 1 or (not parents and TRACESTATE in kinds):
        return False
    if ids:
        request.request_id = lines[kinds.index(REQUEST_ID)][REQUEST_ID_AT:]
    if parents:
        request.trace_id = lines[kinds.index(TRACEPARENT)][TRACE_ID_FROM:TRACE_ID_TO]
    if DROPPED in kinds:
        request.lines = lines = [line for line, kind in zip(lines, kinds, strict=True) if kind != DROPPED]
    if not ids:
        request.request_id = entropy(16).hex().encode()
        lines.append(b"X-Request-Id: " + request.request_id)
    if not parents:
        request.trace_id = entropy(16).hex().encode()
        lines.append(b"Traceparent: 00-%b-%b-01" % (request.trace_id, entropy(8).hex().encode()))
    return True


def added_lines(host: bytes, caller: str, via: str) -> list[bytes]:
    """Give what this daemon adds to a request that came straight from a local app."""
    return [
        b"X-Forwarded-For: " + caller.encode(),
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: " + host,
        b"Via: 1.1 " + via.encode(),
    ]


def trace_id_in(lines: list[bytes], kinds: bytes) -> bytes:
    """Give the trace id (32 hex digits) of a request from the mesh, or none if there is no valid one."""
    return (
        lines[kinds.index(TRACEPARENT)][TRACE_ID_FROM:TRACE_ID_TO] if kinds.count(TRACEPARENT) == 1 else b""
    )


def identity_lines(node: str, source: str) -> bytes:
    """Give what an app is told about its caller, each line ended, and the empty line."""
    lines = [NODE_HEADER + b": " + node.encode(), b"", b""]
    if source:
        lines.insert(0, SOURCE_HEADER + b": " + source.encode())
    return b"\r\n".join(lines)


def may_go_to_app(kinds: bytes) -> bool:
    """Tell whether header lines that came from the mesh need nothing but this node's own added to them."""
    return not kinds.translate(None, _FROM_MESH) and _is_led_by_host(kinds) and kinds.count(LENGTH) <= 1


def length_fits(lines: list[bytes], kinds: bytes, body: bytes) -> bool:
    """Tell whether a request from the mesh has the body that it announces."""
    return _is_whole(lines, kinds, body)


def read_answer(data: bytes, *, max_bytes: int, max_lines: int) -> tuple[int, list[bytes], int, int] | None:
    """Give status and header lines of the answer that ``data`` begins with, where its body begins, and its length.

    None where the general way has to look. Not for answers to HEAD and CONNECT.
    """
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= max_bytes - 4:
        return None
    lines = data[:end].split(b"\r\n")
    status = _statuses.get(lines[0]) or _learn_status(lines[0])
    if not status or len(lines) > max_lines:
        return None
    del lines[0]
    kinds = kinds_untrusted(lines)
    if kinds.translate(None, _FROM_APP) or kinds.count(LENGTH) != 1:
        return None
    length = int(lines[kinds.index(LENGTH)][LENGTH_AT:])
    if DROPPED in kinds:
        lines = [line for line, kind in zip(lines, kinds, strict=True) if kind != DROPPED]
    return status, lines, end + 4, length


def _learn_status(line: bytes) -> int:
    match = _STATUS.fullmatch(line)
    status = int(match[1]) if match is not None else 0
    if status in _BODYLESS:
        status = 0
    if len(line) <= 64:
        if len(_statuses) >= MAX_HOSTS:
            _statuses.clear()
        _statuses[line] = status
    return status


def may_go_to_caller(status: int, lines: list[bytes], kinds: bytes, body: bytes) -> bool:
    """Tell whether an answer from the mesh needs nothing but Via added to it."""
    return (
        200 <= status <= 599
        and status not in _BODYLESS
        and not kinds.translate(None, _ANSWER_FROM_MESH)
        and kinds.count(LENGTH) == 1
        and int(lines[kinds.index(LENGTH)][LENGTH_AT:]) == len(body)
    )


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, _reason(status)) for status in range(200, 600)
}
"""How the final head of an answer begins."""

"""What a request would come to that nobody made: named, judged and balanced as if it had, without any effect. Pure.

The steps are those of :meth:`.exchange.Exchange._decide`, made by the same functions in the same order.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from attrs import frozen

from gossipmesh.channel.hop_headers import are_tokens, are_values
from gossipmesh.channel.hop_messages import MAX_METHOD, Headers, is_request_line
from gossipmesh.errors import RequestError
from gossipmesh.model import Protocol
from gossipmesh.proxy import deciding
from gossipmesh.proxy.headers import values_of, visits
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.names import Named
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.replies import refusal
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.explain import Explanation, explain
from gossipmesh.routing.upstreams import Upstream

_AUTHORITY: Final = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)

Decision = Literal["send", "wait", "direct", "answer", "refuse"]
"""Sent at once, or after its turn has come; sent to a host outside the mesh; answered by the proxy; or refused."""


@frozen
class DryRun:
    """What it would come to."""

    decision: Decision
    named: Named | None = None
    """What the request asks for; None: that cannot be said."""
    error: RequestError | None = None
    """Why it is refused."""
    upstream: Upstream | None = None
    """What is known of the service, to be read; None: no service is asked."""
    explanation: Explanation | None = None
    """Whom the service's balancer chooses; None: it is not asked."""


def request_of(method: str, url: str, headers: list[tuple[str, str]]) -> RequestIn:
    """Give the head that a client sends with ``http_proxy`` set.

    Args:
        method: case counts.
        url: ``http://NAME/PATH``; ``/PATH`` beside a header ``Host``; ``HOST:PORT`` for a CONNECT.
        headers: names and values; a ``Host`` stands in place of what the URL says, as it may in a real request.

    Raises:
        RequestError: 400 ``DPE`` for what no head can hold.
    """
    try:
        line = method.encode("ascii"), url.encode("ascii")
        pairs: Headers = tuple(
            (name.encode("ascii"), text.strip().encode("latin-1")) for name, text in headers
        )
    except UnicodeEncodeError:
        raise RequestError(
            "DPE", 400, "a request's head is ASCII; write anything else in percent signs"
        ) from None
    if not is_request_line(*line) or len(line[0]) > MAX_METHOD:
        raise RequestError("DPE", 400, "this is no method, or no target of a request")
    if not (are_tokens([name for name, _ in pairs]) and are_values([text for _, text in pairs])):
        raise RequestError("DPE", 400, "a header is `Name: value`, without line breaks")
    hosts = [text for name, text in pairs if name.lower() == b"host"]
    if len(hosts) > 1:
        raise RequestError("DPE", 400, "two headers Host")
    authority = _AUTHORITY.match(line[1])
    if hosts:
        host: bytes | None = hosts[0]
    else:
        host = authority[1] if authority else line[1] if line[0] == b"CONNECT" else None
    return RequestIn(*line, b"1.1", pairs, 0, False, b"", host, False)


def _as_read(ports: OutboundPorts, request: RequestIn) -> RequestIn:
    """Give a head as a connection of an app's would read it.

    Raises:
        RequestError: what it would be answered with: for headers that contradict each other, say.
    """
    pairs = request.headers
    if request.host is not None and not values_of(pairs, b"host"):
        pairs = ((b"Host", request.host), *pairs)
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target), *(b"%b: %b" % pair for pair in pairs)]
    reading = Serving(ports.limits, fast_lane=ports.fast_lane)
    reading.receive(b"\r\n".join(lines) + b"\r\n\r\n")
    read = reading.next_request()
    assert read is not None, "a whole head was given"
    return read


def dry_run(ports: OutboundPorts, request: RequestIn, *, overflow: bool) -> DryRun:
    """Give what a request on the proxy's own port would come to.

    Args:
        ports: what surrounds it.
        request: its head.
        overflow: whether too many requests are in flight to take another one.
    """
    try:
        request = _as_read(ports, request)
    except RequestError as error:
        return DryRun("refuse", error=error)
    headers = deciding.forwardable(request)
    try:
        named = deciding.name(request, fixed=None, external=ports.external)
    except RequestError as error:
        return DryRun("refuse", error=error)
    if overflow:
        return DryRun("refuse", named, refusal("UO"))
    if visits(request.headers, ports.node) >= ports.limits.visits:
        return DryRun("refuse", named, refusal("LP"))
    if headers is None:
        return DryRun("answer", named)
    if named.outside is not None:
        return DryRun("direct", named)
    try:
        snapshot = ports.snapshot()
        unfit = deciding.unfit(snapshot, request, named)
    except RequestError as error:
        return DryRun("refuse", named, error)
    twin = ports.upstreams.twin(named.service)
    explanation = explain(
        snapshot,
        twin,
        request.method,
        max_attempts=ports.limits.max_attempts,
        now=ports.reactor.now,
        session=deciding.session(ports, request, twin.traffic.sticky),
        unfit=unfit,
    )
    why_not = _refusal(request, explanation)
    decision: Decision = "wait" if explanation.admission is Admission.WAIT else "send"
    return DryRun("refuse" if why_not else decision, named, why_not, twin, explanation)


def _refusal(request: RequestIn, explanation: Explanation) -> RequestError | None:
    chosen = explanation.chosen
    if explanation.flag or chosen is None:
        return refusal(explanation.flag)
    if chosen.service.protocol is Protocol.TCP and request.method != b"CONNECT":
        return refusal("AZ", f"{chosen.service.name} speaks tcp: HTTP requests are not for it")
    return None

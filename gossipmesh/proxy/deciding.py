"""What one request of a local app asks for, where it may go, and with which headers. Pure."""

from __future__ import annotations

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import RequestError
from gossipmesh.model import NodeId
from gossipmesh.proxy.headers import request_to_mesh, request_to_outside, spend_forward, values_of
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.names import Named, name_request, name_tunnel, tunnel_endpoints
from gossipmesh.proxy.outside import External
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.routing.balancing.cookies import read_cookie_untrusted
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import Sticky


def name(request: RequestIn, *, fixed: str | None, external: External) -> Named:
    """Tell what a request names; for a CONNECT, target and host are its ``HOST:PORT``.

    Raises:
        RequestError: as :func:`.names.name_request` and :func:`.names.name_tunnel`; 400 ``DPE`` for a CONNECT with a
            body, which would be neither in the tunnel nor out of it.
    """
    if request.method != b"CONNECT":
        return name_request(request.method, request.target, request.host, fixed=fixed, external=external)
    if request.has_body:
        raise RequestError("DPE", 400, "a CONNECT has no body")
    tunnel = name_tunnel(request.target, request.host, fixed=fixed, external=external)
    return Named(tunnel.service, request.target, request.target, tunnel.outside)


def plan(ports: OutboundPorts, request: RequestIn, named: Named, *, now: float, request_id: bytes) -> Plan:
    """Give the attempts of a request to a service.

    Args:
        ports: what surrounds it.
        request: as it came.
        named: what it asks for.
        now: when it came, in monotonic seconds.
        request_id: by which it is found again.

    Raises:
        RequestError: 405 ``AZ`` for a CONNECT to a service that has no endpoint for it.
    """
    snapshot = ports.snapshot()
    upstream = ports.upstreams.of(named.service, keep=snapshot.knows(named.service))
    connects = request.method == b"CONNECT"  # Which ports lead where was decided in this picture.
    timeout_s = upstream.traffic.timeout_s
    return Plan(
        snapshot,
        upstream,
        request.method,
        max_attempts=ports.limits.max_attempts,
        now=now,
        deadline=now + (ports.limits.request_timeout_s if timeout_s is None else timeout_s),
        session=session(ports, request, upstream.traffic.sticky),
        is_retry=ports.retries.is_retry(request_id, now=now),
        unfit=unfit(snapshot, request, named),
        newest=None if connects else ports.snapshot,
    )


def unfit(snapshot: Snapshot, request: RequestIn, named: Named) -> frozenset[NodeId]:
    """Give the endpoints of the service that a request must not go to: a CONNECT leads to one port only.

    They stay in the picture: balancer and ejection would take one without them for that of the whole service.

    Raises:
        RequestError: 405 ``AZ`` for a CONNECT to a service that has no endpoint for it.
    """
    if request.method != b"CONNECT":
        return frozenset()
    port = int(named.target.rpartition(b":")[2])
    endpoints = snapshot.endpoints(named.service)
    fit = {each.id for each in tunnel_endpoints(endpoints, port)}
    return frozenset(each.id for each in endpoints if each.id not in fit)


def session(ports: OutboundPorts, request: RequestIn, sticky: Sticky | None) -> bytes | None:
    """Give what tells which session a request belongs to, as its service's settings ask for it; None: nothing does."""
    if sticky is None:
        return None
    if sticky.by == "source":
        return (ports.source_service or ports.node).encode()
    if sticky.by == "cookie":
        return read_cookie_untrusted(values_of(request.headers, b"cookie"), sticky.name.encode())
    values = values_of(request.headers, sticky.name.encode())
    return values[0] if values else None


def forwardable(request: RequestIn) -> Headers | None:
    """Give the headers of a request that is to be passed on; None if it may go no further (Max-Forwards)."""
    return spend_forward(request.headers) if request.method == b"OPTIONS" else request.headers


def headers_to_mesh(
    ports: OutboundPorts, request: RequestIn, named: Named, *, traced: Headers, address: str
) -> Headers:
    """Give the headers that go to a service.

    Args:
        ports: what surrounds the request.
        request: as it came.
        named: what it asks for.
        traced: its headers, with the names under which it is found again.
        address: the app's IP address.
    """
    return tuple(
        request_to_mesh(
            traced,
            host=named.host,
            version=request.version,
            via=ports.node,
            caller=address,
            chunked=request.length is None,
            upgrade=request.upgrade,
        )
    )


def headers_to_outside(
    ports: OutboundPorts, request: RequestIn, named: Named, *, headers: Headers
) -> Headers:
    """Give the headers that leave the mesh; how a request is found again in here is nobody's affair out there.

    Args:
        ports: what surrounds the request.
        request: as it came.
        named: what it asks for.
        headers: the request's, as :func:`forwardable` gave them.
    """
    return tuple(
        request_to_outside(
            headers,
            host=named.host,
            version=request.version,
            via=ports.node,
            chunked=request.length is None,
            upgrade=request.upgrade,
        )
    )

"""How an app names a service of the mesh: the request's target, its Host, or the port it came in on. Pure.

========================================  ==================================================================
``GET http://hello/x``                    what a client sends with ``http_proxy`` set; the target's authority
                                          wins over Host (RFC 9112, section 3.2.2), which is rewritten to it
``GET /x`` and ``Host: hello.mesh``       to the proxy's own port, also as plain ``hello``
``GET http://hello.proxy.mesh:4140/x``      the same; what the mesh's DNS calls this proxy
``GET /x`` on an upstream's own port      the port says which service; Host is passed on as it came
``CONNECT db:5432``                       a service that speaks tcp, and the port that it declares
========================================  ==================================================================

Elsewhere a port behind the name is not looked at: a service has one declared port, known from its signed record alone,
and an app that found the proxy by DNS writes the proxy's own port there. What is a name outside the mesh, and whether
a request may go there, is :mod:`.outside`.
"""

from __future__ import annotations

import re
from typing import Final

from gossipmesh.errors import RequestError
from gossipmesh.model import Endpoint, Protocol, Service, is_name, value
from gossipmesh.proxy.outside import MAX_PORT, REFUSED, External, outside

DOMAIN: Final = ".mesh"
PROXY_DOMAIN: Final = ".proxy.mesh"
"""Names below it are this proxy's in DNS."""
MAX_AUTHORITIES: Final = 1_024
"""Authorities whose service is remembered; one more, and all are forgotten."""
MAX_AUTHORITY: Final = 128
"""Bytes of an authority that is remembered."""

_AUTHORITY: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
"""uri-host [ ":" port ] (RFC 9110, section 7.2); no userinfo, no path, no fragment, no spaces."""
_ABSOLUTE: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_HTTP: Final = b"http://"
_AUTHORITY_FORM: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+):([0-9]{1,5})")
"""uri-host ":" port, both of them there (RFC 9112, section 3.2.3)."""
_NOT_FOR_HTTP: Final = {
    b"CONNECT": "CONNECT is not for http services: it would walk around every rule on requests",
    b"TRACE": "TRACE is not passed on: its answer would show the caller the headers that are added on the way",
}
_SERVICES: Final[dict[bytes, str]] = {}
"""The service of each valid authority that was seen, empty for one outside the mesh."""


@value
class Named:
    """What a request asks for."""

    service: str
    """Empty for a host outside the mesh."""
    target: bytes
    """In origin form (``/path?query``), or ``*`` for OPTIONS; byte for byte as received."""
    host: bytes
    """The Host header that the app gets."""
    outside: tuple[str, int] | None = None
    """Host and port outside the mesh, where the request may go there."""


@value
class Tunnel:
    """What a CONNECT asks for."""

    service: str
    """Empty for a host outside the mesh."""
    port: int
    outside: tuple[str, int] | None = None
    """Host and port outside the mesh, where the request may go there."""


def name_request(
    method: bytes,
    target: bytes,
    host: bytes | None,
    *,
    fixed: str | None,
    external: External = REFUSED,
) -> Named:
    """Tell which service a request names, and give its target in origin form.

    Args:
        method: as received; for CONNECT there is :func:`name_tunnel`.
        target: the request target in whichever form it came.
        host: the Host header's value, or None if there is none (HTTP/1.0 only; h11 refuses it in 1.1).
        fixed: the service of the port that it came in on, or None for the proxy's own port.
        external: what becomes of names outside the mesh.

    Raises:
        RequestError: as :func:`check_method`; 400 ``DPE`` for what is not valid; 403 ``NR`` for a name outside the
            mesh that may not be gone to; 404 ``NR`` for one that no service can have.
    """
    if method in _NOT_FOR_HTTP:
        check_method(method)
    if b"#" in target:
        raise RequestError("DPE", 400, "a request target has no fragment")
    if not target.startswith(b"/"):
        target, authority = _split_target(method, target)
        if authority is not None:
            host = authority
    if host and fixed is None:
        service = _SERVICES.get(host)
        if service is None:
            service = _service_of(host)
        if service:
            return Named(service, target, host)
        return Named("", target, host, outside(host, external))
    if host is not None and _AUTHORITY.fullmatch(host) is None:
        raise RequestError("DPE", 400, "Host is not a host name with an optional port")
    if fixed is not None:
        return Named(fixed, target, host if host is not None else fixed.encode())
    raise RequestError("DPE", 400, "no service is named: write http://NAME/ or Host: NAME.mesh")


def name_tunnel(
    target: bytes, host: bytes | None, *, fixed: str | None, external: External = REFUSED
) -> Tunnel:
    """Tell where a CONNECT wants to go (RFC 9110, section 9.3.6). Host says the same or is not looked at.

    Whether it may go to that port of that service is for :func:`check_tunnel` to say.

    Raises:
        RequestError: 405 ``AZ`` on a port that is one service's own; else as :func:`name_request`.
    """
    if fixed is not None:
        raise RequestError(
            "AZ", 405, f"this port is for requests to {fixed}; CONNECT goes to the proxy's own"
        )
    match = _AUTHORITY_FORM.fullmatch(target)
    if match is None or not 0 < (port := int(match[2])) <= MAX_PORT:
        raise RequestError("DPE", 400, "the target of a CONNECT is HOST:PORT")
    if host is not None and _AUTHORITY.fullmatch(host) is None:
        raise RequestError("DPE", 400, "Host is not a host name with an optional port")
    if service := _service_of(target):
        return Tunnel(service, port)
    return Tunnel("", port, outside(target, external, default_port=None))


def check_tunnel(service: Service, port: int) -> None:
    """Refuse a CONNECT to a service that speaks http, or to another port than the one that it declares.

    Raises:
        RequestError: 405 ``AZ``.
    """
    if service.protocol is not Protocol.TCP:
        text = f"{service.name} speaks http: CONNECT would walk around every rule on requests; send them as they are"
        raise RequestError("AZ", 405, text)
    if port != service.port:
        text = f"{service.name} declares port {service.port}, and CONNECT leads to no other"
        raise RequestError("AZ", 405, text)


def check_method(method: bytes) -> None:
    """Refuse the methods that no http service gets through the mesh.

    Raises:
        RequestError: 405 ``AZ``.
    """
    text = _NOT_FOR_HTTP.get(method)
    if text is not None:
        raise RequestError("AZ", 405, text)


def tunnel_endpoints(endpoints: tuple[Endpoint, ...], port: int) -> tuple[Endpoint, ...]:
    """Give those endpoints of a service to which a CONNECT to ``port`` may lead.

    Raises:
        RequestError: 405 ``AZ`` if there are endpoints, and none of them is one; see :func:`check_tunnel`.
    """
    fitting = tuple(
        each for each in endpoints if each.service.protocol is Protocol.TCP and each.service.port == port
    )
    if endpoints and not fitting:
        check_tunnel(
            next((e.service for e in endpoints if e.service.protocol is Protocol.TCP), endpoints[0].service),
            port,
        )
    return fitting


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Give the target in origin form and, where it was absolute, its authority."""
    end = target.find(b"/", len(_HTTP))
    if target.startswith(_HTTP) and (authority := target[len(_HTTP) : end]) in _SERVICES and end > 0:
        # What is remembered is valid, so there is no `?` in it: the first slash is where it ends.
        return target[end:], authority
    if target.startswith(b"/"):
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise RequestError("DPE", 400, "a request target is /PATH or http://NAME/PATH")
    scheme, authority, rest = absolute.groups()
    if scheme.lower() != b"http":
        raise RequestError("DPE", 400, "write http://: between two nodes the mesh encrypts everything itself")
    if not authority:
        raise RequestError("DPE", 400, "a request target without a host")
    if not rest and method == b"OPTIONS":
        return b"*", authority
    return (rest if rest.startswith(b"/") else b"/" + rest), authority


def authority_in(target: bytes) -> bytes | None:
    """Give the authority of an absolute target, which counts in the place of Host (RFC 9112, section 3.2.2)."""
    absolute = None if target.startswith(b"/") else _ABSOLUTE.fullmatch(target)
    return None if absolute is None else absolute[2]


def service_of_authority(authority: bytes) -> str:
    """Give the service that a valid ``HOST[:PORT]`` names.

    Raises:
        RequestError: 403 ``NR`` for a host outside the mesh, 404 ``NR`` for a name that no service can have.
    """
    service = _service_of(authority)
    if not service:
        outside(authority, REFUSED)
    return service


def _service_of(authority: bytes) -> str:
    """Give the service that ``HOST[:PORT]`` names, or nothing for a host outside the mesh.

    Raises:
        RequestError: 400 ``DPE`` if it is not valid, 404 ``NR`` for a name that no service can have.
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise RequestError("DPE", 400, "Host is not a host name with an optional port")
    host = match[1].decode("ascii").lower().removesuffix(".")
    name = host.removesuffix(PROXY_DOMAIN).removesuffix(DOMAIN)
    if "." in name or name.startswith("["):
        name = ""
    elif not is_name(name):
        raise RequestError("NR", 404, f"{name!r} cannot be a service: names are [a-z0-9-]{{1,63}}")
    if len(authority) <= MAX_AUTHORITY:
        if len(_SERVICES) >= MAX_AUTHORITIES:
            _SERVICES.clear()
        _SERVICES[authority] = name
    return name

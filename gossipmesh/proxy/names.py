"""How an app names a service of the mesh: the request's target, its Host, or the port it came in on. Pure.

========================================  ==================================================================
``GET http://hello/x``                    what a client sends with ``http_proxy`` set; the target's authority
                                          wins over Host (RFC 9112, section 3.2.2), which is rewritten to it
``GET /x`` and ``Host: hello.mesh``       to the proxy's own port, also as plain ``hello``
``GET /x`` on an upstream's own port      the port says which service; Host is passed on as it came
========================================  ==================================================================

A port behind the name is not looked at: a service has one declared port, known from its signed record alone, and an
app that found the proxy by DNS writes the proxy's own port there.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from gossipmesh.errors import RequestError
from gossipmesh.model import is_name

DOMAIN: Final = ".mesh"

_AUTHORITY: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
"""uri-host [ ":" port ] (RFC 9110, section 7.2); no userinfo, no path, no fragment, no spaces."""
_ABSOLUTE: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)


@frozen
class Named:
    """What a request asks for."""

    service: str
    target: bytes
    """In origin form (``/path?query``), or ``*`` for OPTIONS; byte for byte as received."""
    host: bytes
    """The Host header that the app gets."""


def name_request(method: bytes, target: bytes, host: bytes | None, *, fixed: str | None) -> Named:
    """Tell which service a request names, and give its target in origin form.

    Args:
        method: as received.
        target: the request target in whichever form it came.
        host: the Host header's value, or None if there is none (HTTP/1.0 only; h11 refuses it in 1.1).
        fixed: the service of the port that it came in on, or None for the proxy's own port.

    Raises:
        RequestError: 405 ``AZ`` for CONNECT; 400 ``DPE`` for what is not valid; 403 ``NR`` for a name outside the
            mesh; 404 ``NR`` for one that no service can have.
    """
    if method == b"CONNECT":
        raise RequestError(
            "AZ", 405, "CONNECT is not for http services: it would walk around every rule on requests"
        )
    if b"#" in target:
        raise RequestError("DPE", 400, "a request target has no fragment")
    target, authority = _split_target(method, target)
    if authority is not None:
        host = authority
    if host is not None and _AUTHORITY.fullmatch(host) is None:
        raise RequestError("DPE", 400, "Host is not a host name with an optional port")
    if fixed is not None:
        return Named(fixed, target, host if host is not None else fixed.encode())
    if not host:
        raise RequestError("DPE", 400, "no service is named: write http://NAME/ or Host: NAME.mesh")
    return Named(service_of_authority(host), target, host)


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Give the target in origin form and, where it was absolute, its authority."""
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


def service_of_authority(authority: bytes) -> str:
    """Give the service that a valid ``HOST[:PORT]`` names.

    Raises:
        RequestError: 403 ``NR`` for a host outside the mesh, 404 ``NR`` for a name that no service can have.
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise RequestError("DPE", 400, "Host is not a host name with an optional port")
    host = match[1].decode("ascii").lower().removesuffix(".")
    name = host.removesuffix(DOMAIN)
    if "." in name or name.startswith("["):
        raise RequestError(
            "NR",
            403,
            f"{host} is not in the mesh, and requests to the outside are refused here; "
            "list it in the app's no_proxy to let it go there directly",
        )
    if not is_name(name):
        raise RequestError("NR", 404, f"{name!r} cannot be a service: names are [a-z0-9-]{{1,63}}")
    return name

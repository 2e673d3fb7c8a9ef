"""Every timer and limit of the proxy, by name."""

from __future__ import annotations

import math
from typing import Final

from attrs import frozen

CHUNK: Final = 65_536
"""Body bytes in flight in each direction of a request: read, forwarded, and only then read again."""


@frozen
class ProxyLimits:
    """What bounds one daemon's proxy; each has an answer when it is reached (http-status in brackets).

    Sizes are bytes, times are seconds.
    """

    head_bytes: int = 65_536
    """Request line and headers together [431]; of an app's response [502, UPE]."""
    head_count: int = 256
    """Header lines [431]; of an app's response [502, UPE]."""
    trailer_bytes: int = 16_384
    """Trailers of a chunked body together [431]; of an app's response [truncated, UPE]."""
    trailer_count: int = 64
    """Trailer lines; answered likewise."""
    informational_count: int = 8
    """Interim responses (1xx) to one request; an app that sends more broke HTTP [502, UPE]."""
    replay_bytes: int = 65_536
    """How much of a body is kept so that an idempotent request can be tried on another endpoint."""
    held_response_bytes: int = 16_384
    """A response that announces at most this much is passed on once it is whole.

    Until then its request can still be tried elsewhere: a node that dies between head and body fails nobody.
    """
    connections: int = 4_096
    """Connections from local apps at once; above it those that wait longest for a request are closed, else new ones."""
    requests_in_flight: int = 1_024
    """Requests in flight per daemon and direction [503, UO]."""
    tunnels: int = 1_024
    """CONNECTs and upgraded connections at once, per daemon and direction [503, UO]; no request in flight is one."""
    pipelined_bytes: int = 65_536
    """Bytes behind a request that are taken from an app while it is answered; more of them stay in the socket."""
    visits: int = 8
    """How often one request may come back to this daemon, headers copied from call to call [508, LP]."""
    head_timeout_s: float = 10.0
    """From a connection's first byte to the end of its request head [408]."""
    body_idle_timeout_s: float = 30.0
    """Silence inside a request body [408]."""
    write_idle_timeout_s: float = 30.0
    """A reader that takes nothing for this long is gone [DC; an app: 504, UT]."""
    connect_timeout_s: float = 2.0
    """Dial and handshake to a peer, or connect to the local app [503, UF]."""
    response_timeout_s: float = 60.0
    """From the end of the request to the first byte of the response [504, UT]."""
    request_timeout_s: float = math.inf
    """From the request's head to the first byte of its response, all attempts and the body included [504, UT].

    Off by default: how long an upload may take is the service's affair. What it leaves travels with the request.
    """
    keep_alive_s: float = 60.0
    """An app's idle connection to us is closed in silence after this."""
    app_keep_alive_s: float = 3.0
    """How long we keep an idle connection to a local app: less than apps do, so that we close first."""
    app_idle_connections: int = 64
    """Idle connections kept to each local app; beyond it the oldest is closed."""
    tunnel_idle_timeout_s: float = 3_600.0
    """Silence both ways in a CONNECT or an upgraded connection; it is closed. Longer than any protocol's own pings."""
    linger_s: float = 2.0
    """How long a connection that ends with unread request bytes is still read from.

    Closing it at once would reset it, and the reset could overtake the answer (RFC 9112, section 9.6).
    """
    drain_timeout_s: float = 15.0
    """How long requests in flight may take once this daemon is told to drain: half of what Kubernetes gives a pod."""
    max_attempts: int = 3
    """Tries per request, the first included, each on another endpoint."""

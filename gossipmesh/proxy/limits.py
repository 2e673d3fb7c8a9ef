"""Every timer and limit of the proxy, by name."""

from __future__ import annotations

from attrs import frozen


@frozen
class ProxyLimits:
    """What bounds one daemon's proxy; each has an answer when it is reached (http-status in brackets).

    Sizes are bytes, times are seconds.
    """

    head_bytes: int = 65_536
    """Request line and headers together [431]."""
    head_count: int = 256
    """Header lines [431]."""
    replay_bytes: int = 65_536
    """How much of a body is kept so that an idempotent request can be tried on another endpoint."""
    connections: int = 4_096
    """Connections from local apps at once; above it new ones are closed."""
    requests_in_flight: int = 1_024
    """Requests in flight per daemon and direction [503, UO]."""
    head_timeout_s: float = 10.0
    """From a connection's first byte to the end of its request head [408]."""
    body_idle_timeout_s: float = 30.0
    """Silence inside a request body [408]."""
    write_idle_timeout_s: float = 30.0
    """A reader that takes nothing for this long is gone [DC]."""
    connect_timeout_s: float = 2.0
    """Dial and handshake to a peer, or connect to the local app [503, UF]."""
    response_timeout_s: float = 60.0
    """From the end of the request to the first byte of the response [504, UT]."""
    keep_alive_s: float = 60.0
    """An app's idle connection to us is closed in silence after this."""
    app_keep_alive_s: float = 3.0
    """How long we keep an idle connection to a local app: less than apps do, so that we close first."""
    max_attempts: int = 3
    """Tries per request, the first included, each on another endpoint."""

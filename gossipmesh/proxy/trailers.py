"""What a proxy passes on of the header fields behind a chunked body. Pure."""

from __future__ import annotations

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.proxy.kinds import NOT_IN_TRAILERS, OURS, canonical, is_claim


def filter_trailers(trailers: Headers) -> Headers:
    """Give the trailers that may be passed on: none that frames, routes, authenticates or tells whence a message is.

    A recipient may merge trailers into the headers (RFC 9110, section 6.5.1), long after they were checked.
    """
    if not trailers:
        return ()
    names = [canonical(name) for name, _ in trailers]
    return tuple(
        header
        for name, header in zip(names, trailers, strict=True)
        if name not in NOT_IN_TRAILERS and not is_claim(name) and not name.startswith(OURS)
    )

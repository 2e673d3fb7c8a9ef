"""A request that went well, as the proxy tells of it."""

from __future__ import annotations

from gossipmesh.proxy.access import Direction, RequestReport

REPORT = RequestReport(
    direction=Direction.OUTBOUND,
    request_id=b"r1",
    trace_id=b"t1",
    source="web",
    service="hello",
    method=b"GET",
    path=b"/a",
    code=200,
    flag="",
    bytes_in=0,
    bytes_out=5,
    duration_s=0.00123456,
    attempts=1,
    endpoint="node-1",
)

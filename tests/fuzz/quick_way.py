"""The quick way beside the general one: the same bytes in, and what either of them would pass on.

Each function gives nothing where the quick way leaves a message to the general way, and raises AssertionError where it
takes one and passes it on otherwise than h11 and the general rules would. Run as a program, this file lets atheris
look for such bytes.

    quick_way.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

import sys

from gossipmesh.channel.header_lines import HeaderLines, kinds_untrusted
from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.proxy.headers import (
    request_to_app,
    request_to_mesh,
    response_to_caller,
    response_to_mesh,
    visits,
)
from gossipmesh.proxy.http1.asking import Asking
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.names import name_request
from gossipmesh.proxy.quick_heads import (
    STATUS_LINES,
    QuickRequest,
    added_lines,
    body_missing,
    identity_lines,
    length_fits,
    may_go_to_app,
    may_go_to_caller,
    read_answer,
    read_request,
)
from gossipmesh.proxy.tracing import trace, trace_id_of

LIMITS = ProxyLimits()
NODE = "web-1"


def entropy(size: int) -> bytes:
    return b"\x5a" * size


def quick_request(data: bytes, fixed: str | None = None) -> QuickRequest | None:
    """Read a request the quick way."""
    return read_request(
        data, fixed=fixed, max_bytes=LIMITS.head_bytes, max_lines=LIMITS.head_count, entropy=entropy
    )


def by_the_general_way(data: bytes, fixed: str | None) -> tuple[object, ...]:
    """Give service, target, Host, ids, headers and body of the request that ``data`` is, read by h11."""
    serving = Serving(LIMITS, fast_lane=False)
    serving.receive(data)
    request = serving.next_request()
    assert request is not None
    body = b""
    while part := serving.take_body():
        body += part
    assert serving.body_ended
    assert serving.buffered == 0
    assert not request.expects
    assert not request.upgrade
    assert not request.close
    traced = trace(request.headers, entropy)
    named = name_request(request.method, request.target, request.host, fixed=fixed)
    assert visits(request.headers, NODE) == 0
    headers = request_to_mesh(
        traced.headers,
        host=named.host,
        version=request.version,
        via=NODE,
        caller="127.0.0.1",
        chunked=request.length is None,
    )
    ids = traced.request_id, traced.trace_id
    return named.service, request.method, named.target, named.host, *ids, tuple(headers), body


def compare_request(data: bytes, fixed: str | None = None) -> None:
    """Compare what goes into the mesh, and what then goes to an app."""
    quick = quick_request(data, fixed)
    if quick is None:
        return
    for cut in range(len(data) - len(quick.body), len(data), 1 + len(quick.body) // 8):
        # What came so far is no request, and no more is read for it at once than belongs to it.
        assert quick_request(data[:cut], fixed) is None
        assert body_missing(data[:cut]) in (0, len(data) - cut)
    lines = quick.lines + added_lines(quick.host, "127.0.0.1", NODE)
    kinds = kinds_untrusted(lines)
    headers = HeaderLines(lines, kinds)
    ids = quick.request_id, quick.trace_id
    general = by_the_general_way(data, fixed)
    assert general == (
        quick.service,
        quick.method,
        quick.target,
        quick.host,
        *ids,
        headers.pairs,
        quick.body,
    )
    assert may_go_to_app(kinds)
    assert length_fits(lines, kinds, quick.body)
    assert trace_id_of(headers) == quick.trace_id
    added = identity_lines(NODE, "web")
    head = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (quick.method, quick.target, b"\r\n".join(lines), added)
    pairs = request_to_app(headers, source="web", node=NODE)
    asking = Asking(LIMITS, fast_lane=False)
    assert asking.whole(quick.method, quick.target, pairs, quick.body) == head + quick.body


def compare_answer(data: bytes) -> None:
    """Compare what an app's answer becomes in the mesh."""
    answer = read_answer(data, max_bytes=LIMITS.head_bytes, max_lines=LIMITS.head_count)
    if answer is None:
        return
    status, lines, start, length = answer
    if length > MAX_LONG:
        return
    end = start + length
    came, late = data[:end], bytes(max(0, end - len(data)))
    for cut in range(start, len(came), 1 + len(came) // 8):
        assert read_answer(came[:cut], max_bytes=LIMITS.head_bytes, max_lines=LIMITS.head_count) == answer
    asking = Asking(LIMITS, fast_lane=False)
    asking.whole(b"GET", b"/", [(b"Host", b"hello")], b"")
    got = b""
    asking.receive(data)
    response = asking.next_response()
    assert response is not None
    while part := asking.take_body():
        got += part
    if late:
        assert not asking.body_ended
        asking.receive(late)
        while part := asking.take_body():
            got += part
    assert asking.body_ended
    assert asking.spare is (len(data) <= end)  # With anything behind it, it is no answer for the quick way.
    assert (response.status, got) == (status, came[start:] + late)
    headers = response_to_mesh(response.headers, status=status)
    assert HeaderLines(lines, b"") == tuple(headers)


def compare_forwarded_answer(data: bytes) -> None:
    """Compare what a caller gets of an answer from the mesh: a status line, header lines and a body."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if not first[9:12].isdigit():
        return
    status, kinds = int(first[9:12]), kinds_untrusted(lines)
    if not may_go_to_caller(status, lines, kinds, body):
        return
    written = b"%b%b\r\nVia: 1.1 web-1\r\n\r\n%b" % (STATUS_LINES[status], b"\r\n".join(lines), body)
    serving = Serving(LIMITS, fast_lane=False)
    serving.receive(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
    assert serving.next_request() is not None
    pairs = response_to_caller(HeaderLines(lines, kinds), status=status, via=NODE)
    assert serving.whole(ResponseHead(status, tuple(pairs)), body, last=False) == written
    assert serving.complete


def compare(data: bytes) -> None:
    """Compare both ways as the first byte says."""
    choice, stream = data[:1], data[1:]
    if choice == b"q":
        compare_request(stream)
    elif choice == b"f":
        compare_request(stream, "world")
    elif choice == b"a":
        compare_answer(stream)
    else:
        compare_forwarded_answer(stream)


def main() -> None:
    """Fuzz until told to stop."""
    try:
        import atheris
    except ImportError:
        sys.exit("quick_way.py: atheris is not installed; python -m pip install 'gossipmesh[fuzz]' gets it")
    atheris.instrument_all()
    atheris.Setup(sys.argv, compare)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

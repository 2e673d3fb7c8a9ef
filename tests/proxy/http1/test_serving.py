"""A server's connection, without a connection: what comes as a request, and how it is answered. In both lanes."""

from __future__ import annotations

import pytest

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import PeerGone, RequestError
from gossipmesh.proxy.http1.messages import MAX_AHEAD, RequestIn
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import CHUNK, ProxyLimits
from gossipmesh.proxy.replies import reply_to

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = ResponseHead(200, ((b"Content-Length", b"2"),))


@pytest.fixture(params=[True, False], ids=["fast", "h11"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def serving(fast: bool, data: bytes = b"", **limits: float) -> Serving:
    machine = Serving(ProxyLimits(**limits), fast_lane=fast)  # type: ignore[arg-type]
    machine.receive(data)
    return machine


def asked(machine: Serving) -> RequestIn:
    request = machine.next_request()
    assert request is not None
    return request


def whole_body(machine: Serving) -> bytes:
    body = b""
    while data := machine.take_body():
        body += data
    return body


def everything(machine: Serving) -> None:
    """Take all that is here, whatever it is."""
    if machine.next_request() is not None:
        while not machine.body_ended:
            machine.take_body()


def refused(machine: Serving) -> RequestError:
    with pytest.raises(RequestError) as raised:
        everything(machine)
    return raised.value


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_request_says_what_of_it_is_still_to_come(fast: bool) -> None:
    machine = serving(
        fast,
        b"PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    request = asked(machine)
    assert (request.method, request.target, request.version, request.host) == (b"PUT", b"/x", b"1.1", b"a")
    assert request.length is None
    assert request.has_body
    assert request.expects
    assert not machine.body_ended


@pytest.mark.parametrize(
    "head", [GET, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"]
)
def test_a_request_without_a_body_is_read_to_its_end_with_its_head(fast: bool, head: bytes) -> None:
    machine = serving(fast, head)
    request = asked(machine)
    assert request.length == 0
    assert not request.has_body
    assert not request.expects
    assert machine.body_ended
    assert machine.take_body() == b""


def test_a_content_length_of_nothing_survives(fast: bool) -> None:
    request = asked(serving(fast, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
    assert (b"Content-Length", b"0") in request.headers


def test_headers_come_in_order_with_duplicates_and_without_the_space_around_them(fast: bool) -> None:
    request = asked(serving(fast, b"GET / HTTP/1.1\r\nHOST:a\r\nB: \t x  y \r\nA:\r\nB: z\r\n\r\n"))
    assert request.headers == ((b"HOST", b"a"), (b"B", b"x  y"), (b"A", b""), (b"B", b"z"))


@pytest.mark.parametrize("cut", range(1, len(POST)))
def test_a_head_in_two_parts_is_given_once_it_is_whole(fast: bool, cut: int) -> None:
    machine = serving(fast, POST[:cut])
    assert machine.next_request() is None
    assert machine.begun
    assert machine.buffered == cut
    machine.receive(POST[cut:] + b"he")
    assert asked(machine).length == 5
    assert whole_body(machine) == b"he"


def test_a_request_comes_in_parts_as_it_is_received(fast: bool) -> None:
    machine = serving(fast, POST + b"he")
    asked(machine)
    assert machine.take_body() == b"he"
    assert machine.take_body() == b""
    assert not machine.body_ended
    machine.receive(b"llo")
    assert machine.take_body() == b"llo"
    assert machine.body_ended
    assert machine.take_body() == b""


def test_a_receive_that_is_all_body_is_given_as_the_same_object() -> None:
    machine = serving(True, POST)
    asked(machine)
    data = b"hello"
    machine.receive(data)
    assert machine.take_body() is data


def test_a_body_is_given_in_chunks_of_bounded_size(fast: bool) -> None:
    total = 3 * CHUNK + 7
    for head in (POST.replace(b"5", b"%d" % total), CHUNKED + b"%x\r\n" % total):
        machine = serving(fast, head + bytes(total) + b"\r\n0\r\n\r\n")
        asked(machine)
        sizes = []
        while not machine.body_ended:
            sizes.append(len(machine.take_body()))
        assert sum(sizes) == total
        assert max(sizes) <= CHUNK


def test_all_chunks_that_are_here_are_given_as_one_and_their_trailers_are_filtered(fast: bool) -> None:
    machine = serving(
        fast, CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nDigest: z\r\nContent-Length: 9\r\n\r\n" + GET
    )
    asked(machine)
    assert machine.take_body() == b"hello"
    assert machine.body_ended
    assert machine.trailers == ((b"Digest", b"z"),)
    assert machine.buffered == len(GET)


def test_two_requests_in_one_receive_are_judged_one_by_one(fast: bool) -> None:
    machine = serving(fast, GET + b"GET / HTTP/1.1\nHost: a\n\n")
    asked(machine)
    assert machine.next_request() is None
    machine.whole(OK, b"ok", last=False)
    assert machine.complete
    assert machine.begun
    machine.next_exchange()
    assert "CR LF" in str(refused(machine))


def test_a_body_that_looks_like_the_end_of_a_head_is_a_body(fast: bool) -> None:
    machine = serving(fast, POST.replace(b"5", b"4") + b"\r\n\r\n")
    asked(machine)
    assert machine.take_body() == b"\r\n\r\n"
    assert machine.body_ended


def test_one_empty_line_before_each_request_is_ignored(fast: bool) -> None:
    machine = serving(fast, b"\r\n")
    assert machine.next_request() is None
    assert machine.begun
    machine.receive(GET)
    asked(machine)
    machine.whole(OK, b"ok", last=False)
    machine.next_exchange()
    machine.receive(b"\r\n" + GET)
    asked(machine)
    machine.whole(OK, b"ok", last=False)
    machine.next_exchange()
    machine.receive(b"\r\n\r\n" + GET)
    assert str(refused(machine)) == "this is not plain HTTP/1.1"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"X" * 40 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 256 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\n" % (b"0" * 21), 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a\rb\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\nHost: a\r\n\r\n", 400),
        (CHUNKED + b"0x5\r\nhello\r\n", 400),
        (CHUNKED + b"-5\r\n", 400),
        (CHUNKED + b"+5\r\nhello\r\n", 400),
        (CHUNKED + b"5\r\nhelloX\r\n", 400),
        (CHUNKED + b"g\r\n", 400),
        (CHUNKED + b"5 5\r\n", 400),
        (CHUNKED + b"\r\n", 400),
        (CHUNKED + b"5;" + b"x" * 20_000, 431),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 65 + b"\r\n", 431),
        (CHUNKED + b"0\r\nA: " + b"b" * 17_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_must_not_be_forwarded_is_refused_for_good_and_can_be_told_so(
    fast: bool, head: bytes, status: int
) -> None:
    machine = serving(fast, head)
    error = refused(machine)
    assert (error.flag, error.status) == ("DPE", status)
    machine.receive(GET)
    with pytest.raises(RequestError):
        machine.next_request() or machine.take_body()
    reply = reply_to(error)
    answer = machine.whole(reply.head, reply.body, last=True)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer
    assert b"\r\nx-gossipmesh-error: DPE\r\n" in answer
    assert not machine.complete


def test_the_answer_to_a_refused_head_request_has_no_body(fast: bool) -> None:
    machine = serving(fast, b"HEAD / HTTP/1.2\r\nHost: a\r\n\r\n")
    reply = reply_to(refused(machine))
    assert machine.whole(reply.head, reply.body, last=True).endswith(b"\r\n\r\n")


def test_one_refused_request_does_not_change_how_the_next_is_answered(fast: bool) -> None:
    machine = serving(fast, b"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n\x16")
    asked(machine)
    machine.whole(OK, b"", last=False)
    machine.next_exchange()
    reply = reply_to(refused(machine))
    assert machine.whole(reply.head, reply.body, last=True).endswith(reply.body)


def test_a_chunk_line_with_a_bare_line_feed_is_waited_for(fast: bool) -> None:
    machine = serving(fast, CHUNKED + b"5\nhello\n0\n\n")
    asked(machine)
    assert machine.take_body() == b""
    assert not machine.body_ended


@pytest.mark.parametrize(
    "cut", [b"POST / HTT", POST + b"he", CHUNKED + b"5\r\nhe", CHUNKED + b"0\r\n", b"\r\n"]
)
def test_a_connection_that_ends_inside_a_request_is_no_clean_end(fast: bool, cut: bytes) -> None:
    machine = serving(fast, cut)
    machine.receive_eof()
    with pytest.raises(PeerGone):
        everything(machine)


def test_a_connection_that_ends_between_requests_wants_nothing(fast: bool) -> None:
    machine = serving(fast)
    machine.receive_eof()
    assert machine.next_request() is None
    assert not machine.begun


def test_a_connection_that_ended_behind_its_request_serves_no_other(fast: bool) -> None:
    machine = serving(fast, GET)
    machine.receive_eof()
    asked(machine)
    machine.whole(OK, b"ok", last=False)
    assert not machine.complete


def test_what_comes_early_is_counted_so_that_it_can_be_bounded(fast: bool) -> None:
    machine = serving(fast, POST + b"hello")
    asked(machine)
    assert machine.take_body() == b"hello"
    pieces = 0
    while machine.buffered < MAX_AHEAD:
        machine.receive(GET * 100)
        pieces += 1
    assert machine.next_request() is None
    assert machine.buffered == pieces * 100 * len(GET)

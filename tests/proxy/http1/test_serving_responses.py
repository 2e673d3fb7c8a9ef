"""A server's connection, without a connection: how responses are written. In both lanes."""

from __future__ import annotations

import pytest

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import LocalProtocolError, RequestError
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import refusal, reply_to

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
OK = ResponseHead(200, ((b"Content-Length", b"2"),))


@pytest.fixture(params=[True, False], ids=["fast", "h11"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def serving(fast: bool, data: bytes) -> Serving:
    machine = Serving(ProxyLimits(), fast_lane=fast)
    machine.receive(data)
    return machine


def asked(machine: Serving) -> None:
    assert machine.next_request() is not None


def test_a_response_of_known_length_keeps_its_length(fast: bool) -> None:
    machine = serving(fast, GET)
    asked(machine)
    assert not machine.answering
    assert machine.response(OK, last=False) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert machine.answering
    assert machine.data(b"o") + machine.data(b"k") + machine.end(((b"Digest", b"x"),)) == b"ok"
    assert machine.complete


def test_a_response_of_unknown_length_is_chunked_and_keeps_its_trailers(fast: bool) -> None:
    machine = serving(fast, GET)
    asked(machine)
    link = ResponseHead(103, ((b"Link", b"</a>"),))
    written = [
        machine.interim(link),
        machine.response(ResponseHead(200), last=False),
        machine.data(b"hello"),
        machine.data(b""),
        machine.end(((b"Digest", b"x"),)),
    ]
    assert b"".join(written) == (
        b"HTTP/1.1 103 \r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nDigest: x\r\n\r\n"
    )
    assert machine.complete


@pytest.mark.parametrize("body", [b"", b"hello"])
def test_a_whole_response_of_unknown_length_is_chunked(fast: bool, body: bytes) -> None:
    machine = serving(fast, GET)
    asked(machine)
    chunk = b"5\r\nhello\r\n" if body else b""
    assert machine.whole(ResponseHead(200), body, last=False) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    )


def test_a_response_to_http_1_0_is_delimited_by_closing_and_gets_no_interim(fast: bool) -> None:
    machine = serving(fast, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    asked(machine)
    assert machine.interim(ResponseHead(103)) == b""
    assert machine.response(ResponseHead(200), last=False) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    assert machine.data(b"hello") == b"hello"
    assert machine.end(((b"Digest", b"x"),)) == b""
    assert machine.delimited_by_close
    assert not machine.complete


@pytest.mark.parametrize(
    ("method", "head", "expected"),
    [
        (b"HEAD", OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        (b"HEAD", ResponseHead(200), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", ResponseHead(304, OK.headers), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"),
        (b"GET", ResponseHead(204), b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_responses_that_have_no_body_end_with_their_head(
    fast: bool, method: bytes, head: ResponseHead, expected: bytes
) -> None:
    for whole in (True, False):
        machine = serving(fast, method + GET[3:])
        asked(machine)
        if whole:
            assert machine.whole(head, b"never sent", last=False) == expected
        else:
            assert machine.response(head, last=False) == expected
            assert machine.data(b"never sent") + machine.end(((b"Digest", b"x"),)) == b""
        assert machine.complete


@pytest.mark.parametrize("how", ["last", "asked", "said"])
def test_a_connection_closes_behind_a_response_that_says_so(fast: bool, how: str) -> None:
    machine = serving(fast, GET if how != "asked" else GET[:-2] + b"Connection: x, Close\r\n\r\n")
    asked(machine)
    head = ResponseHead(200, (*OK.headers, (b"connection", b"close"))) if how == "said" else OK
    answer = machine.whole(head, b"ok", last=how == "last")
    assert answer.lower().count(b"\r\nconnection: close\r\n") == 1
    assert not machine.complete
    with pytest.raises(LocalProtocolError):
        machine.next_exchange()


def test_a_reply_keeps_the_connection_if_the_request_was_read(fast: bool) -> None:
    machine = serving(fast, GET + GET)
    for _ in range(2):
        asked(machine)
        reply = reply_to(refusal("UH"))
        assert b"close" not in machine.whole(reply.head, reply.body, last=False)
        machine.next_exchange()


def test_a_response_that_is_over_before_its_request_ends_the_connection(fast: bool) -> None:
    machine = serving(fast, POST + b"he")
    asked(machine)
    machine.whole(OK, b"ok", last=True)
    assert not machine.complete
    machine.receive(b"llo")
    assert machine.take_body() + machine.take_body() == b"hello"
    assert machine.body_ended
    assert not machine.complete


def test_a_request_that_never_became_whole_can_be_answered(fast: bool) -> None:
    machine = serving(fast, GET[:-1])
    assert machine.next_request() is None
    reply = reply_to(RequestError("DPE", 408, "too slow"))
    answer = machine.whole(reply.head, reply.body, last=True)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    machine.receive(b"\n")
    assert machine.next_request() is None


@pytest.mark.parametrize(
    "head",
    [
        ResponseHead(200, ((b"A", b"b\r\nc"),)),
        ResponseHead(200, ((b"A b", b"c"),)),
        ResponseHead(200, ((b"A", b" b"),)),
        ResponseHead(200, ((b"Content-Length", b"+2"),)),
        ResponseHead(200, ((b"Content-Length", b"2"), (b"Content-Length", b"3"))),
        ResponseHead(200, ((b"Content-Length", b"3"),)),
        ResponseHead(101),
        ResponseHead(1000),
    ],
)
def test_a_head_that_is_not_valid_changes_nothing(fast: bool, head: ResponseHead) -> None:
    machine = serving(fast, GET)
    asked(machine)
    with pytest.raises(LocalProtocolError):
        machine.whole(head, b"ok", last=False)
    assert not machine.answering
    assert machine.whole(OK, b"ok", last=False).endswith(b"\r\n\r\nok")
    assert machine.complete


def test_a_body_that_does_not_fit_its_length_breaks_the_response(fast: bool) -> None:
    for data in (b"o", b"okay"):
        machine = serving(fast, GET)
        asked(machine)
        machine.response(OK, last=False)
        with pytest.raises(LocalProtocolError, match="of a body than") as raised:
            machine.data(data) + machine.end(())
        assert raised.value.code == "http.length"
        for call in (lambda machine=machine: machine.data(b"k"), lambda machine=machine: machine.end(())):
            with pytest.raises(LocalProtocolError):
                call()
        assert not machine.complete


def test_nothing_is_written_out_of_turn(fast: bool) -> None:
    machine = serving(fast, GET)
    calls = [
        lambda: machine.interim(ResponseHead(103)),
        lambda: machine.data(b"x"),
        lambda: machine.end(()),
        lambda: machine.switch(ResponseHead(101)),
    ]
    for call in calls:
        with pytest.raises(LocalProtocolError):
            call()
    asked(machine)
    with pytest.raises(LocalProtocolError):
        machine.interim(ResponseHead(101))
    machine.whole(OK, b"ok", last=False)
    for call in [*calls, lambda: machine.whole(OK, b"ok", last=False)]:
        with pytest.raises(LocalProtocolError):
            call()
    assert machine.complete

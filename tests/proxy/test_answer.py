"""One answer on its way to the caller: what is held, what goes out, what is owed."""

from __future__ import annotations

from types import ModuleType

import pytest

from gossipmesh.channel.hop_messages import Headers, ResponseHead
from gossipmesh.errors import LocalProtocolError
from gossipmesh.proxy.answer import Answer
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import refusal, reply_to

pytestmark = pytest.mark.stand_in

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = ResponseHead(200, ((b"Content-Length", b"1000000"),))
SMALL = ResponseHead(200, ((b"Content-Length", b"5"),))
CHUNKED = ResponseHead(200)


class Wire:
    """Keeps what is sent; takes as much of it as a test says."""

    def __init__(self) -> None:
        self.sent = b""
        self.unsent = 0
        self.takes = True

    def send(self, data: bytes) -> None:
        self.sent += data
        if not self.takes:
            self.unsent += len(data)


def answering(lab: ModuleType, request: bytes = GET) -> tuple[Answer, Wire]:
    limits, wire = ProxyLimits(), Wire()
    http = Serving(limits, fast_lane=lab.FAST_LANE)
    http.receive(request)
    assert http.next_request() is not None
    return Answer(http, wire, limits, "web-1"), wire  # type: ignore[arg-type]


def of_length(length: bytes) -> ResponseHead:
    return ResponseHead(200, ((b"Content-Length", length),))


@pytest.mark.parametrize("head", [LARGE, CHUNKED, of_length(b"16385"), of_length(b"1" * 20)])
def test_an_answer_that_announces_much_or_nothing_goes_out_at_once(
    lab: ModuleType, head: ResponseHead
) -> None:
    answer, wire = answering(lab)
    answer.head(head, last=False)
    assert answer.begun
    assert wire.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nVia: 1.1 web-1\r\n" in wire.sent
    assert answer.data(b"hello") == 5
    assert b"hello" in wire.sent
    assert (answer.status, answer.bytes_out) == (200, 5)


@pytest.mark.parametrize("head", [SMALL, of_length(b"16384")])
def test_an_answer_that_announces_little_is_held_until_it_is_whole(
    lab: ModuleType, head: ResponseHead
) -> None:
    answer, wire = answering(lab)
    answer.head(head, last=False)
    length = int(head.headers[0][1])
    # What is held counts as passed on: it is bounded by what was announced.
    assert [answer.data(bytes([each]) * (length // 5)) for each in b"abcd"] == [length // 5] * 4
    assert (answer.begun, wire.sent) == (False, b"")
    answer.data(b"e" * (length - length // 5 * 4))
    answer.end((), last=False)
    assert answer.begun
    assert wire.sent.endswith(b"e")
    assert answer.bytes_out == length


def test_what_was_held_is_forgotten_with_its_attempt(lab: ModuleType) -> None:
    answer, wire = answering(lab)
    answer.head(SMALL, last=False)
    answer.data(b"bad")
    answer.restart()
    answer.head(SMALL, last=False)
    answer.data(b"hello")
    answer.end((), last=False)
    assert wire.sent.endswith(b"\r\n\r\nhello")
    assert (wire.sent.count(b"HTTP/1.1"), answer.bytes_out) == (1, 5)


@pytest.mark.parametrize("body", [b"hell", b"hello!"])
def test_a_held_answer_that_is_not_as_long_as_it_says_is_none(lab: ModuleType, body: bytes) -> None:
    answer, wire = answering(lab)
    answer.head(SMALL, last=False)
    answer.data(body)
    with pytest.raises(LocalProtocolError):
        answer.end((), last=False)
    assert (answer.begun, wire.sent) == (False, b"")


def test_more_than_may_be_held_is_not(lab: ModuleType) -> None:
    answer, wire = answering(lab)
    answer.head(SMALL, last=False)
    with pytest.raises(LocalProtocolError):
        answer.data(bytes(16_385))
    assert wire.sent == b""


@pytest.mark.parametrize("trailers", [(), ((b"Digest", b"x"),)])
def test_trailers_go_out_where_there_is_room_for_them(lab: ModuleType, trailers: Headers) -> None:
    answer, wire = answering(lab)
    answer.head(CHUNKED, last=False)
    answer.data(b"hello")
    answer.end((*trailers, (b"Content-Length", b"3")), last=False)
    assert wire.sent.endswith(b"5\r\nhello\r\n0\r\nDigest: x\r\n\r\n" if trailers else b"0\r\n\r\n")
    held, wire = answering(lab)
    held.head(SMALL, last=False)
    held.data(b"hello")
    held.end(trailers, last=False)
    assert wire.sent.endswith(b"\r\n\r\nhello")
    assert held.bytes_out == 5


def test_what_the_caller_does_not_take_is_owed_until_it_does(lab: ModuleType) -> None:
    answer, wire = answering(lab)
    answer.head(LARGE, last=False)
    wire.takes = False
    assert [answer.data(b"abc"), answer.data(b"de")] == [0, 0]
    assert answer.drained() == 5
    wire.takes, wire.unsent = True, 0
    assert answer.data(b"fgh") == 3
    assert answer.drained() == 0


def test_interim_heads_go_out_but_for_100_and_so_many(lab: ModuleType) -> None:
    answer, wire = answering(lab)
    answer.interim(ResponseHead(100))
    assert (wire.sent, answer.interim_count) == (b"", 0)
    for _ in range(8):
        answer.interim(ResponseHead(103, ((b"Link", b"</a>"),)))
    with pytest.raises(LocalProtocolError):
        answer.interim(ResponseHead(103))
    assert wire.sent.count(b"HTTP/1.1 103 ") == answer.interim_count == 8
    assert not answer.begun


def test_an_answer_of_the_far_daemon_s_own_gives_its_flag(lab: ModuleType) -> None:
    for flag, known in ((b"AZ", "AZ"), (b"XX", "UR")):
        answer, _ = answering(lab)
        answer.whole(ResponseHead(403, ((b"x-gossipmesh-error", flag),)), b"no", last=False)
        assert (answer.flag, answer.status, answer.bytes_out) == (known, 403, 2)


def test_an_answer_of_our_own_says_so(lab: ModuleType) -> None:
    answer, wire = answering(lab)
    answer.reply(reply_to(refusal("UH")), last=True)
    assert wire.sent.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nx-gossipmesh-error: UH\r\n" in wire.sent
    assert b"\r\nConnection: close\r\n" in wire.sent
    assert (answer.status, answer.begun) == (503, True)


def test_an_answer_without_a_body_is_whole_with_its_head(lab: ModuleType) -> None:
    answer, wire = answering(lab, GET.replace(b"GET", b"HEAD"))
    answer.head(SMALL, last=False)
    answer.end((), last=False)
    assert wire.sent.endswith(b"\r\n\r\n")
    assert b"\r\nContent-Length: 5\r\n" in wire.sent

"""A client's connection, without a connection: what is asked, and what comes as an answer. In both lanes."""

from __future__ import annotations

import pytest

from gossipmesh.errors import LocalProtocolError, PeerGone, RemoteProtocolError
from gossipmesh.proxy.http1.asking import Asking
from gossipmesh.proxy.http1.messages import ResponseIn
from gossipmesh.proxy.limits import CHUNK, ProxyLimits

HOST = [(b"Host", b"a")]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[True, False], ids=["fast", "h11"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def asking(fast: bool, method: bytes = b"GET", *headers: tuple[bytes, bytes]) -> Asking:
    """Give a machine that has asked."""
    machine = Asking(ProxyLimits(), fast_lane=fast)
    machine.whole(method, b"/", [*HOST, *headers], b"")
    return machine


def answered(machine: Asking, data: bytes) -> ResponseIn:
    machine.receive(data)
    response = machine.next_response()
    assert response is not None
    return response


def whole_body(machine: Asking) -> bytes:
    body = b""
    while data := machine.take_body():
        body += data
    return body


def everything(machine: Asking) -> None:
    """Take all that is here, whatever it is."""
    while (response := machine.next_response()) is not None and response.status < 200:
        pass
    while not machine.body_ended:
        machine.take_body()


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_request_is_written_with_its_host_first(fast: bool) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    headers = [(b"A", b"b"), (b"Cookie", b"c"), (b"host", b"a"), (b"A", b""), (b"Content-Length", b"2")]
    assert machine.whole(b"POST", b"/x?y", headers, b"ok") == (
        b"POST /x?y HTTP/1.1\r\nhost: a\r\nA: b\r\nCookie: c\r\nA: \r\nContent-Length: 2\r\n\r\nok"
    )


def test_a_request_goes_out_in_parts(fast: bool) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    head = machine.request(b"POST", b"/", [*HOST, (b"Content-Length", b"2")])
    assert head == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
    assert machine.data(b"o") + machine.data(b"k") == b"ok"
    assert not machine.written
    assert machine.end(((b"Digest", b"x"),)) == b""
    assert machine.written


def test_a_request_of_unknown_length_is_chunked_and_keeps_its_trailers(fast: bool) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    machine.request(b"POST", b"/", [*HOST, (b"Transfer-Encoding", b"chunked")])
    written = machine.data(b"ok") + machine.data(b"") + machine.end(((b"Digest", b"x"),))
    assert written == b"2\r\nok\r\n0\r\nDigest: x\r\n\r\n"
    answered(machine, ANSWER)
    assert whole_body(machine) == b"ok"
    assert machine.spare


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        (b"GET", b"/", [], b""),
        (b"GET", b"/", [*HOST, *HOST], b""),
        (b"G T", b"/", HOST, b""),
        (b"GET", b"/ x", HOST, b""),
        (b"GET", b"", HOST, b""),
        (b"GET", b"/\r\n", HOST, b""),
        (b"GET", b"/", [*HOST, (b"A", b"b\r\nc")], b""),
        (b"GET", b"/", [*HOST, (b"A:", b"b")], b""),
        (b"GET", b"/", [*HOST, (b"Content-Length", b"x")], b""),
        (b"GET", b"/", [*HOST, (b"Content-Length", b"1")], b""),
        (b"GET", b"/", [*HOST, (b"Content-Length", b"1")], b"ok"),
        (b"GET", b"/", HOST, b"ok"),
        (b"GET", b"/", [*HOST, (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked")], b"ok"),
    ],
)
def test_a_request_that_is_not_valid_changes_nothing(
    fast: bool, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    with pytest.raises(LocalProtocolError):
        machine.whole(method, target, headers, body)
    assert machine.whole(b"GET", b"/", HOST, b"") == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_body_that_does_not_fit_its_length_is_our_own_error(fast: bool) -> None:
    for data in (b"o", b"okay"):
        machine = Asking(ProxyLimits(), fast_lane=fast)
        machine.request(b"POST", b"/", [*HOST, (b"Content-Length", b"2")])
        with pytest.raises(LocalProtocolError) as raised:
            machine.data(data) + machine.end(())
        assert raised.value.code == "http.length"
        assert not machine.spare


def test_one_request_is_asked_at_a_time(fast: bool) -> None:
    machine = asking(fast)
    with pytest.raises(LocalProtocolError):
        machine.whole(b"GET", b"/", HOST, b"")
    answered(machine, ANSWER)
    with pytest.raises(LocalProtocolError):
        machine.next_exchange()


@pytest.mark.parametrize("early", [ANSWER, b"x", b""])
def test_what_came_before_a_request_is_not_taken_for_its_answer(fast: bool, early: bytes) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    if early:
        machine.receive(early)
    else:
        machine.receive_eof()
    assert machine.next_response() is None
    with pytest.raises(LocalProtocolError):
        machine.whole(b"GET", b"/", HOST, b"")


# --- responses -------------------------------------------------------------------------------------------------------


def test_a_connection_is_spare_once_both_messages_are_over(fast: bool) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    for _ in range(2):
        machine.whole(b"GET", b"/", HOST, b"")
        assert machine.next_response() is None
        response = answered(machine, ANSWER)
        assert response == ResponseIn(200, ((b"Content-Length", b"2"),), 2)
        assert response.final
        assert not machine.spare
        assert machine.take_body() == b"ok"
        assert machine.body_ended
        assert machine.spare
        machine.next_exchange()


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_a_response_in_two_parts_is_the_same(fast: bool, cut: int) -> None:
    machine = asking(fast)
    machine.receive(ANSWER[:cut])
    early = machine.next_response()
    body = whole_body(machine)
    machine.receive(ANSWER[cut:])
    response = early or machine.next_response()
    assert response is not None
    assert body + whole_body(machine) == b"ok"
    assert machine.spare


def test_interim_responses_come_first(fast: bool) -> None:
    machine = asking(fast)
    response = answered(machine, b"HTTP/1.1 103 \r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ANSWER)
    assert (response.status, response.headers, response.final) == (103, ((b"Link", b"</a>"),), False)
    statuses = [response.status for _ in range(2) if (response := machine.next_response()) is not None]  # type: ignore[assignment]
    assert statuses == [100, 200]
    assert whole_body(machine) == b"ok"
    assert machine.next_response() is None
    assert machine.spare


def test_a_chunked_response_keeps_its_trailers_and_its_connection(fast: bool) -> None:
    machine = asking(fast)
    response = answered(machine, CHUNKED + b"2\r\nok\r\n0\r\nDigest: z\r\nHost: b\r\n\r\n")
    assert response.length is None
    assert machine.take_body() == b"ok"
    assert machine.body_ended
    assert machine.trailers == ((b"Digest", b"z"),)
    assert machine.spare


def test_a_response_without_a_length_ends_with_its_connection(fast: bool) -> None:
    machine = asking(fast)
    response = answered(machine, b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert response.length is None
    assert machine.take_body() == b"hello"
    assert not machine.body_ended
    machine.receive_eof()
    assert machine.take_body() == b""
    assert machine.body_ended
    assert not machine.spare


@pytest.mark.parametrize(
    ("method", "answer", "spare"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\nbody", False),
        (b"HEAD", ANSWER, False),
        (b"GET", b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", False),
        (b"GET", b"HTTP/1.0 204 No Content\r\n\r\n", False),
    ],
)
def test_responses_without_a_body_end_with_their_head(
    fast: bool, method: bytes, answer: bytes, spare: bool
) -> None:
    machine = asking(fast, method)
    assert answered(machine, answer).length == 0
    assert machine.body_ended
    assert machine.take_body() == b""
    assert machine.spare is spare


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER + b"excess",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_with_anything_odd_about_it_is_not_spare(fast: bool, answer: bytes) -> None:
    machine = asking(fast)
    answered(machine, answer)
    assert whole_body(machine) == b"ok"
    assert not machine.spare


def test_a_connection_that_closed_behind_its_response_is_not_spare(fast: bool) -> None:
    machine = asking(fast)
    answered(machine, ANSWER)
    whole_body(machine)
    machine.receive_eof()
    assert not machine.spare


def test_a_response_may_be_over_before_its_request_is(fast: bool) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    machine.request(b"POST", b"/", [*HOST, (b"Content-Length", b"5")])
    assert answered(machine, ANSWER).status == 200
    assert whole_body(machine) == b"ok"
    assert not machine.spare
    assert machine.data(b"hello") == b"hello"
    machine.end(())
    assert machine.spare


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent_Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 257 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\n\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"\x16\x03\x01",
        CHUNKED + b"xx\r\n",
        CHUNKED + b"0\r\n" + b"A: b\r\n" * 65 + b"\r\n",
    ],
)
def test_a_response_that_is_not_valid_is_refused_for_good(fast: bool, answer: bytes) -> None:
    machine = asking(fast)
    machine.receive(answer)
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            everything(machine)
        machine.receive(ANSWER)
    assert not machine.spare


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 103 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
        CHUNKED + b"2\r\nhe\r\n",
        CHUNKED + b"5\r\nhe",
        CHUNKED + b"0\r\n",
    ],
)
def test_a_connection_that_ends_inside_a_response_is_no_clean_end(fast: bool, answer: bytes) -> None:
    machine = asking(fast)
    machine.receive(answer)
    machine.receive_eof()
    with pytest.raises(PeerGone):
        everything(machine)
    assert not machine.spare


def test_a_body_is_given_in_chunks_of_bounded_size(fast: bool) -> None:
    total = 3 * CHUNK + 7
    machine = asking(fast)
    answered(machine, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total + bytes(total) + b"x")
    sizes = []
    while not machine.body_ended:
        sizes.append(len(machine.take_body()))
    assert sum(sizes) == total
    assert max(sizes) <= CHUNK
    assert machine.buffered == 1


# --- switches --------------------------------------------------------------------------------------------------------

UPGRADE = ((b"Connection", b"upgrade"), (b"Upgrade", b"WebSocket"))
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"


def test_what_comes_behind_a_switch_is_raw(fast: bool) -> None:
    machine = asking(fast, b"GET", *UPGRADE)
    response = answered(machine, b"HTTP/1.1 103 \r\n\r\n" + SWITCH + b"early")
    assert not response.final
    assert machine.take_raw() == b""
    switch = machine.next_response()
    assert switch is not None
    assert (switch.status, switch.final) == (101, True)
    assert machine.take_raw() == b"early"
    machine.receive(b"later")
    assert machine.take_raw() == b"later"
    assert machine.body_ended
    assert machine.next_response() is None
    assert not machine.spare


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (UPGRADE, SWITCH.replace(b"websocket", b"other")),
        (UPGRADE, SWITCH.replace(b"Upgrade: websocket\r\n", b"")),
        (UPGRADE, SWITCH.replace(b"websocket", b"websocket, other")),
        (UPGRADE[1:], SWITCH),
        ((), SWITCH),
    ],
)
def test_a_switch_that_was_not_asked_for_is_refused(
    fast: bool, headers: tuple[tuple[bytes, bytes], ...], answer: bytes
) -> None:
    machine = asking(fast, b"GET", *headers)
    with pytest.raises(RemoteProtocolError):
        answered(machine, answer + b"raw")
    assert machine.take_raw() == b""


def test_a_switch_before_the_end_of_its_request_is_refused(fast: bool) -> None:
    machine = Asking(ProxyLimits(), fast_lane=fast)
    machine.request(b"POST", b"/", [*HOST, *UPGRADE, (b"Content-Length", b"2")])
    with pytest.raises(RemoteProtocolError) as raised:
        answered(machine, SWITCH)
    assert raised.value.code == "http.upgrade"


def test_a_declined_switch_leaves_a_connection_that_can_be_used_again(fast: bool) -> None:
    machine = asking(fast, b"GET", *UPGRADE)
    answered(machine, ANSWER)
    whole_body(machine)
    assert machine.spare


def test_what_comes_behind_the_answer_to_connect_is_raw(fast: bool) -> None:
    machine = asking(fast, b"CONNECT")
    response = answered(machine, ANSWER)
    assert (response.status, response.length) == (200, 0)
    assert machine.take_body() == b""
    assert machine.take_raw() == b"ok"


def test_a_refused_connect_is_answered_like_anything_else(fast: bool) -> None:
    machine = asking(fast, b"CONNECT")
    assert answered(machine, ANSWER.replace(b"200 OK", b"405 No")).status == 405
    assert machine.take_raw() == b""
    assert whole_body(machine) == b"ok"
    assert machine.spare

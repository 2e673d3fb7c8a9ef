"""Going over to another protocol, and requests that may travel only so far."""

from __future__ import annotations

import pytest

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.proxy.headers import (
    request_to_app,
    request_to_mesh,
    response_to_caller,
    response_to_mesh,
    spend_forward,
    switches_to_what_was_asked,
    values_of,
)

HOST = (b"Host", b"hello")
ASKED: Headers = (HOST, (b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"websocket"))
SWITCHED: Headers = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Accept", b"x"),
)


def to_mesh(headers: Headers, upgrade: bytes) -> list[tuple[bytes, bytes]]:
    return request_to_mesh(
        headers,
        host=b"hello",
        version=b"1.1",
        via="web-1",
        caller="127.0.0.1",
        chunked=False,
        upgrade=upgrade,
    )


def test_what_an_app_asks_to_go_over_to_reaches_the_app_that_it_asks() -> None:
    sent = to_mesh(ASKED, b"websocket")
    assert values_of(sent, b"upgrade") == [b"websocket"]
    assert values_of(sent, b"connection") == []
    arrived = request_to_app(tuple(sent), source="", node="web-1")
    assert values_of(arrived, b"connection") == [b"Upgrade"]
    assert values_of(arrived, b"upgrade") == [b"websocket"]


def test_an_upgrade_that_the_codec_did_not_see_goes_no_further() -> None:
    assert values_of(to_mesh(ASKED, b""), b"upgrade") == []


def test_the_wish_for_trailers_and_for_another_protocol_share_one_connection_header() -> None:
    arrived = request_to_app((HOST, (b"TE", b"trailers"), (b"Upgrade", b"websocket")), source="", node="n")
    assert arrived == [
        HOST,
        (b"TE", b"trailers"),
        (b"Connection", b"TE, Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"x-gossipmesh-node", b"n"),
    ]


@pytest.mark.parametrize("asked", [b"h2c", b"H2C", b"h2c, h2c", b" , "])
def test_http_2_is_never_asked_for(asked: bytes) -> None:
    assert values_of(to_mesh((HOST,), asked), b"upgrade") == []
    assert values_of(to_mesh((HOST,), asked + b", websocket"), b"upgrade") == [b"websocket"]
    arrived = request_to_app((HOST, (b"Upgrade", asked)), source="", node="n")
    assert arrived == [HOST, (b"x-gossipmesh-node", b"n")]


def test_a_101_says_on_both_sides_what_is_spoken_from_now_on() -> None:
    passed = response_to_mesh(SWITCHED, status=101)
    assert passed == [(b"Sec-WebSocket-Accept", b"x"), (b"Upgrade", b"websocket")]
    assert response_to_caller(tuple(passed), status=101, via="web-1") == [
        (b"Sec-WebSocket-Accept", b"x"),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Via", b"1.1 web-1"),
    ]


def test_any_other_status_goes_over_to_nothing() -> None:
    assert values_of(response_to_mesh(SWITCHED, status=200), b"upgrade") == []
    assert values_of(response_to_caller(SWITCHED, status=426, via="web-1"), b"upgrade") == []


@pytest.mark.parametrize(
    ("asked", "answered", "fits"),
    [
        (b"websocket", b"WebSocket", True),
        (b"foo/2, websocket", b"websocket", True),
        (b"foo/2, websocket", b"websocket, FOO/2", True),
        (b"websocket", b"foo", False),
        (b"websocket", b"websocket, foo", False),
        (b"websocket", b"", False),
        (b"", b"websocket", False),
    ],
)
def test_a_101_must_be_about_a_protocol_that_was_asked_for(asked: bytes, answered: bytes, fits: bool) -> None:
    assert switches_to_what_was_asked(asked, ((b"upgrade", answered),)) is fits


def test_a_101_without_upgrade_is_about_none() -> None:
    assert not switches_to_what_was_asked(b"websocket", ((b"Connection", b"Upgrade"),))


def test_max_forwards_is_one_less_behind_us_and_at_zero_there_is_no_behind() -> None:
    assert spend_forward((HOST, (b"Max-Forwards", b"10"))) == (HOST, (b"Max-Forwards", b"9"))
    assert spend_forward((HOST, (b"max-forwards", b"0"))) is None
    assert spend_forward((HOST,)) == (HOST,)


@pytest.mark.parametrize("values", [(b"x",), (b"-1",), (b"",), (b"1", b"2"), (b"9" * 40,)])
def test_max_forwards_that_says_nothing_is_passed_on(values: tuple[bytes, ...]) -> None:
    headers = tuple((b"Max-Forwards", value) for value in values)
    assert spend_forward(headers) == headers

"""What the mesh says itself."""

from __future__ import annotations

import json

import h11
import pytest

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy.replies import (
    ERROR_HEADER,
    STATUS,
    caller_fault,
    known_flag,
    options_reply,
    refusal,
    reply_to,
    without_body,
)


@pytest.mark.parametrize(("flag", "status"), sorted(STATUS.items()))
def test_every_flag_has_a_status_and_a_text_for_people(flag: str, status: int) -> None:
    error = refusal(flag)
    assert (error.flag, error.status) == (flag, status)
    assert len(str(error)) > 10


def test_a_flag_of_a_later_release_is_a_reset_upstream_and_what_nobody_looked_at_is_as_at_a_draining_node() -> (
    None
):
    assert [known_flag(flag) for flag in ("XYZ", "refused", "UC")] == ["UR", "DR", "UC"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("http.head-too-large", 431),
        ("http.version", 505),
        ("http.method", 501),
        ("http.expectation", 417),
        ("http.framing", 400),
    ],
)
def test_what_the_caller_did_wrong_decides_the_status(code: str, status: int) -> None:
    error = caller_fault(RemoteProtocolError(code, "text"))
    assert (error.flag, error.status, str(error)) == ("DPE", status, "text")


def test_what_h11_refuses_keeps_its_hint() -> None:
    assert caller_fault(h11.RemoteProtocolError("text", error_status_hint=501)).status == 501


def test_a_reply_says_flag_service_and_request_in_header_and_body() -> None:
    reply = reply_to(refusal("UH", "none"), service="hello", request_id=b"abc")
    headers = dict(reply.head.headers)
    assert reply.head.status == 503
    assert headers[ERROR_HEADER] == b"UH"
    assert headers[b"content-length"] == str(len(reply.body)).encode()
    assert json.loads(reply.body) == {"error": "none", "flag": "UH", "service": "hello", "request_id": "abc"}


def test_an_options_that_goes_no_further_is_told_the_methods() -> None:
    reply = options_reply()
    assert (reply.head.status, reply.body) == (200, b"")
    assert dict(reply.head.headers)[b"allow"].startswith(b"GET, ")
    assert dict(reply.head.headers)[b"content-length"] == b"0"


def test_a_reply_whose_body_cannot_be_sent_says_so_in_its_length() -> None:
    reply = reply_to(refusal("AZ"))
    head = without_body(reply.head)
    assert head.status == 403
    assert head.headers == ((b"content-length", b"0"), (b"x-gossipmesh-error", b"AZ"))


def test_what_h11_quotes_is_quoted_without_the_type_that_holds_it() -> None:
    machine = h11.Connection(h11.SERVER)
    machine.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\nbad header: (y)\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError) as caught:
        machine.next_event()
    assert "bytearray" in str(caught.value)
    assert str(caller_fault(caught.value)) == "illegal header line: 'bad header: (y)'"

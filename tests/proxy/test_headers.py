"""What a proxy may and must do to header fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy.headers import (
    check_framing_untrusted,
    check_request_untrusted,
    request_to_app,
    request_to_mesh,
    response_to_caller,
    response_to_mesh,
    strip_connection,
    tokens_of,
    values_of,
    via_entry,
    visits,
)
from gossipmesh.proxy.trailers import filter_trailers

Pairs = list[tuple[bytes, bytes]]


def pairs(*lines: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Give headers from ``b"Name: value"`` lines."""
    return tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))


def to_mesh(*lines: bytes, host: bytes = b"hello", chunked: bool = False) -> Pairs:
    return request_to_mesh(
        pairs(*lines), host=host, version=b"1.1", via="web-1", caller="127.0.0.1", chunked=chunked
    )


def request_code(*lines: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> str:
    with pytest.raises(RemoteProtocolError) as raised:
        check_request_untrusted(method, version, pairs(*lines))
    return raised.value.code


# --- what is refused -------------------------------------------------------------------------------------------


def test_content_length_beside_transfer_encoding_is_refused() -> None:
    assert request_code(b"Content-Length: 5", b"Transfer-Encoding: chunked") == "http.framing"


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    assert request_code(b"Transfer-Encoding: chunked", version=b"1.0") == "http.framing"


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
def test_another_version_of_http_is_refused(version: bytes) -> None:
    assert request_code(b"Host: a", version=version) == "http.version"


def test_the_preface_of_http_2_is_refused_as_such() -> None:
    assert request_code(method=b"PRI", version=b"2.0") == "http.preface"


def test_a_method_longer_than_a_channel_takes_is_refused() -> None:
    assert request_code(b"Host: a", method=b"A" * 33) == "http.method"
    check_request_untrusted(b"A" * 32, b"1.1", pairs(b"Host: a"))


@pytest.mark.parametrize(
    "name",
    [
        b"Content_Length",
        b"CONTENT_LENGTH",
        b"Transfer_Encoding",
        b"transfer.encoding",
    ],
)
def test_another_spelling_of_a_framing_header_is_refused(name: bytes) -> None:
    assert request_code(name + b": 5") == "http.alias"


def test_an_underscore_in_any_other_name_passes() -> None:
    check_request_untrusted(b"GET", b"1.1", pairs(b"x_custom: 1", b"Content_Lengths: 2"))


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, x", b"100-continues"])
def test_any_expectation_but_100_continue_is_refused(value: bytes) -> None:
    assert request_code(b"Expect: " + value) == "http.expectation"


def test_100_continue_passes_and_http_1_0_has_no_expectations() -> None:
    check_request_untrusted(b"POST", b"1.1", pairs(b"Expect: 100-Continue"))
    check_request_untrusted(b"POST", b"1.0", pairs(b"Expect: anything"))


# --- hop by hop ------------------------------------------------------------------------------------------------


def test_what_is_about_one_connection_is_stripped_with_what_connection_names() -> None:
    headers = pairs(
        b"Host: a",
        b"Connection: keep-alive, X-Foo",
        b"connection: x-bar",
        b"X-Foo: 1",
        b"x-bar: 2",
        b"X-Baz: 3",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic eA==",
        b"Proxy-Authenticate: Basic",
        b"Trailer: Expires",
        b"Transfer-Encoding: chunked",
        b"Upgrade: websocket",
        b"HTTP2-Settings: x",
    )
    assert strip_connection(headers) == list(pairs(b"Host: a", b"X-Baz: 3"))


def test_a_connection_token_cannot_remove_what_frames_routes_or_identifies() -> None:
    kept = pairs(
        b"Host: a", b"Content-Length: 0", b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Host: b", b"Via: 1.1 x"
    )
    tokens = b"Connection: host, content-length, x-forwarded-for, X-Forwarded-Host, via, x-gossipmesh-source"
    assert strip_connection((*kept, *pairs(tokens))) == list(kept)


def test_of_te_only_trailers_stays() -> None:
    assert strip_connection(pairs(b"TE: gzip;q=0.5, Trailers")) == [(b"TE", b"trailers")]
    assert strip_connection(pairs(b"TE: gzip")) == []


@pytest.mark.parametrize(
    "name", [b"x-gossipmesh-source", b"X-Gossipmesh-Node", b"X_Gossipmesh_Source", b"x.gossipmesh-error"]
)
def test_what_arrives_under_our_names_is_dropped_however_it_is_spelt(name: bytes) -> None:
    assert strip_connection(((name, b"forged"),)) == []
    assert filter_trailers(((name, b"forged"),)) == ()


# --- requests --------------------------------------------------------------------------------------------------


def test_headers_travel_in_order_with_their_duplicates_and_their_case() -> None:
    sent = to_mesh(b"HOST: hello", b"b: 1", b"A: 2", b"b: 3", b"Cookie: \xff\x80")
    assert sent[:5] == list(pairs(b"HOST: hello", b"b: 1", b"A: 2", b"b: 3", b"Cookie: \xff\x80"))


def test_the_callers_address_is_appended_and_what_a_gateway_said_before_us_stays() -> None:
    sent = to_mesh(
        b"Host: hello",
        b"X-Forwarded-For: 1.2.3.4, 5.6.7.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-For: 9.9.9.9",
    )
    assert values_of(sent, b"x-forwarded-for") == [b"1.2.3.4, 5.6.7.8, 9.9.9.9, 127.0.0.1"]
    assert values_of(sent, b"x-forwarded-proto") == [b"https"]
    assert values_of(sent, b"x-forwarded-host") == [b"hello"]


def test_other_spellings_of_the_forwarded_headers_are_dropped() -> None:
    assert all(b"_" not in name for name, _ in to_mesh(b"Host: a", b"X_Forwarded_For: 1.2.3.4"))


def test_the_authority_of_the_target_replaces_host_in_its_place() -> None:
    sent = to_mesh(b"Accept: */*", b"Host: other", host=b"hello")
    assert sent[:2] == list(pairs(b"Accept: */*", b"Host: hello"))
    assert to_mesh(b"Accept: */*", host=b"hello")[0] == (b"Host", b"hello")


def test_expect_goes_no_further() -> None:
    assert values_of(to_mesh(b"Host: a", b"Expect: 100-continue"), b"expect") == []


def test_a_body_of_unknown_length_is_marked_and_one_of_known_length_keeps_its_length() -> None:
    assert tokens_of(
        to_mesh(b"Host: a", b"Transfer-Encoding: chunked", chunked=True), b"transfer-encoding"
    ) == [b"chunked"]
    assert values_of(to_mesh(b"Host: a", b"Content-Length: 0"), b"content-length") == [b"0"]


def test_the_app_learns_who_calls_from_us_alone() -> None:
    sent = request_to_app(
        pairs(b"Host: a", b"x-gossipmesh-source: forged", b"Expect: x"), source="web", node="web-1"
    )
    assert sent == list(pairs(b"Host: a", b"x-gossipmesh-source: web", b"x-gossipmesh-node: web-1"))
    assert request_to_app(pairs(b"Host: a"), source="", node="web-1") == list(
        pairs(b"Host: a", b"x-gossipmesh-node: web-1")
    )


def test_the_app_gets_the_framing_and_the_wish_for_trailers_of_the_hop() -> None:
    sent = request_to_app(
        pairs(b"Host: a", b"TE: trailers", b"Transfer-Encoding: chunked"), source="", node="n"
    )
    assert sent == list(
        pairs(
            b"Host: a",
            b"TE: trailers",
            b"Connection: TE",
            b"x-gossipmesh-node: n",
            b"Transfer-Encoding: chunked",
        )
    )


# --- responses -------------------------------------------------------------------------------------------------


def test_a_response_keeps_its_cookies_in_order_and_loses_its_connection_headers() -> None:
    headers = pairs(
        b"Set-Cookie: a=1", b"Connection: close", b"Set-Cookie: b=2", b"Transfer-Encoding: chunked"
    )
    assert response_to_mesh(headers, status=200) == list(pairs(b"Set-Cookie: a=1", b"Set-Cookie: b=2"))


@pytest.mark.parametrize(("status", "kept"), [(103, False), (204, False), (200, True), (304, True)])
def test_content_length_stays_wherever_it_may_stand(status: int, kept: bool) -> None:
    assert bool(response_to_mesh(pairs(b"Content-Length: 5"), status=status)) is kept


def test_an_app_cannot_speak_as_the_mesh_but_the_far_daemon_can() -> None:
    headers = pairs(b"x-gossipmesh-error: AZ", b"A: b")
    assert response_to_mesh(headers, status=200) == list(pairs(b"A: b"))
    assert response_to_caller(headers, status=403, via="web-1") == list(
        pairs(b"A: b", b"x-gossipmesh-error: AZ", b"Via: 1.1 web-1")
    )


def test_trailers_that_frame_route_or_authenticate_are_dropped() -> None:
    trailers = pairs(
        b"Content-Length: 5",
        b"Content_Length: 5",
        b"Host: a",
        b"Authorization: x",
        b"Digest: y",
        b"grpc-status: 0",
    )
    assert filter_trailers(trailers) == pairs(b"Digest: y", b"grpc-status: 0")


# --- loops -----------------------------------------------------------------------------------------------------


def test_visits_are_counted_by_node_in_whichever_way_via_is_written() -> None:
    headers = pairs(b"Via: 1.1 web-1, 1.0 proxy (web-1)", b"via: HTTP/1.1 web-1", b"Via: 1.1 web-10,,1.1")
    assert visits(headers, "web-1") == 2
    assert visits((), "web-1") == 0
    assert via_entry(b"1.0", "web-1") == b"1.0 web-1"


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    b"Connection",
                    b"TE",
                    b"Via",
                    b"X",
                    b"x-gossipmesh-node",
                    b"Host",
                    b"Content-Length",
                    b"Upgrade",
                ]
            ),
            st.sampled_from([b"", b"x", b"host", b"close, te", b"trailers", b"1", b"content-length,x"]),
        ),
        max_size=8,
    )
)
def test_stripping_twice_is_stripping_once(headers: Pairs) -> None:
    once = strip_connection(tuple(headers))
    assert strip_connection(tuple(once)) == once
    assert values_of(once, b"host") == values_of(headers, b"host")


@given(name=st.from_regex(rb"[A-Za-z0-9_.~-]{1,20}", fullmatch=True))
def test_a_name_that_passes_the_framing_check_is_plain_or_no_alias(name: bytes) -> None:
    try:
        check_framing_untrusted(((name, b"1"),), version=b"1.1")
    except RemoteProtocolError as error:
        assert error.code == "http.alias"
        assert not name.replace(b"-", b"").isalnum()

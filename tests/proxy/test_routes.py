"""A gateway's map: whatever is asked for, it leads to a service that stands there, or nowhere."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RequestError
from gossipmesh.proxy.routes import Route, Routes, is_clear

ROUTES = Routes(
    [
        Route("site"),
        Route("hello", path="/hello"),
        Route("deep", path="/hello/deep"),
        Route("shop", host="shop.example.com"),
        Route("admin", host="admin.example.com", path="/admin"),
        Route("below", host="*.example.com", path="/below"),
        Route("nearer", host="*.eu.example.com"),
    ]
)
UNCLEAR = [
    b"/hello/../admin",
    b"/hello/./x",
    b"/hello/..",
    b"/hello/%2e%2e/admin",
    b"/hello/.%2E/admin",
    b"/hello/%252e%252e/admin",
    b"/hello//x",
    b"//hello",
    b"/hello%2fdeep",
    b"/hello%252Fdeep",
    b"/hello\\..\\admin",
    b"/hello/%5c..",
    b"/hello/..;/admin",
    b"/hello/..%3bx/admin",
    b"/hello%00",
    b"/hello/..%20/admin",
    b"/hello/.%09./admin",
    b"/hello/%c0%ae%c0%ae/admin",
    b"/hello/%25%32%65%25%32%65/admin",
    b"/hello/%2%65%2%65/admin",
    b"/;x/hello",
    b"/x/%3Bx/hello",
]


def found(host: bytes, target: bytes) -> str | int:
    try:
        return ROUTES.find(host, target)
    except RequestError as error:
        return error.status


@pytest.mark.parametrize(
    ("target", "service"),
    [
        (b"/", "site"),
        (b"/hello", "hello"),
        (b"/hello/", "hello"),
        (b"/hello?a=/../..", "hello"),
        (b"/hello/world", "hello"),
        (b"/hello/deep", "deep"),
        (b"/hello/deeper", "hello"),
        (b"/helloworld", "site"),
        (b"/Hello", "site"),
        (b"/x/hello", "site"),
        (b"/hello.html", "site"),
        (b"/hello/a..b/.x/...", "hello"),
        (b"/%68ello", "site"),
        (b"/hello/a;v=1/b/", "hello"),
        (b"/hello/;v=1", "hello"),
        (b"/;v=1", "site"),
        (b"/hello/a%252eb", "hello"),
        (b"/hello/100%25", "hello"),
    ],
)
def test_the_longest_path_that_ends_at_a_segment_decides(target: bytes, service: str) -> None:
    assert found(b"anything", target) == service


@pytest.mark.parametrize(
    ("host", "target", "what"),
    [
        (b"shop.example.com", b"/hello", "shop"),
        (b"SHOP.Example.COM:8443", b"/", "shop"),
        (b"shop.example.com.", b"/", "shop"),
        (b"shop.example.com.:80", b"/", "shop"),
        (b"admin.example.com", b"/admin/x", "admin"),
        (b"admin.example.com", b"/", 404),
        (b"any.example.com", b"/below", "below"),
        (b"a.b.example.com", b"/below", "below"),
        (b"any.example.com", b"/hello", 404),
        (b".example.com", b"/below", "site"),
        (b"a..example.com", b"/below", "site"),
        (b"a.eu.example.com", b"/below", "nearer"),
        (b"example.com", b"/", "site"),
        (b"example.com.evil", b"/", "site"),
        (b"", b"/", "site"),
        (b"*", b"/", "site"),
        (b"[::1]:80", b"/", "site"),
        (b"\xff", b"/", "site"),
    ],
)
def test_the_nearest_host_decides_and_falls_back_on_no_other(
    host: bytes, target: bytes, what: str | int
) -> None:
    assert found(host, target) == what


@pytest.mark.parametrize("target", UNCLEAR)
def test_a_path_that_could_be_read_in_two_ways_is_refused_where_paths_decide(target: bytes) -> None:
    assert found(b"anything", target) == 400
    assert found(b"admin.example.com", target) == 400


@pytest.mark.parametrize("target", UNCLEAR)
def test_it_is_passed_on_where_one_service_has_all_paths(target: bytes) -> None:
    assert found(b"shop.example.com", target) == "shop"


@pytest.mark.parametrize("target", [b"*", b"", b"hello"])
def test_what_is_no_path_leads_nowhere(target: bytes) -> None:
    assert found(b"anything", target) == 404


def test_a_map_without_a_host_for_all_answers_strangers_with_nothing() -> None:
    with pytest.raises(RequestError, match="nothing is published"):
        Routes([Route("shop", host="shop.example.com")]).find(b"other", b"/")


@given(
    st.lists(
        st.sampled_from(
            [b"/", b".", b"..", b"%2e", b"%2F", b"%5c", b"\\", b";", b"hello", b"deep", b"x", b"%25", b"%3B"]
        ),
        max_size=12,
    )
)
def test_whoever_decodes_and_normalises_a_clear_path_reads_the_same_segments(parts: list[bytes]) -> None:
    path = b"/" + b"".join(parts)
    if not is_clear(path):
        return
    for decoded in (path, unquote_to_bytes(path), unquote_to_bytes(unquote_to_bytes(path))):
        # As servlet containers do it: parameters go first, then dot segments.
        bare = re.sub(rb";[^/]*", b"", decoded.replace(b"\\", b"/"))
        assert bare.count(b"/") == path.count(b"/")
        assert posixpath.normpath(bare).strip(b"/") == bare.strip(b"/") or bare.strip(b"/") == b""

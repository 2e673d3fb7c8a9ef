"""How an app names a service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RequestError
from gossipmesh.proxy.names import Named, name_request, service_of_authority


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"http://hello/x?y=1", b"hello", Named("hello", b"/x?y=1", b"hello")),
        (b"http://hello.mesh/x", b"hello.mesh", Named("hello", b"/x", b"hello.mesh")),
        (b"http://hello/x", b"other", Named("hello", b"/x", b"hello")),
        (b"http://hello", b"hello", Named("hello", b"/", b"hello")),
        (b"http://hello?y=1", b"hello", Named("hello", b"/?y=1", b"hello")),
        (b"HTTP://Hello.Mesh:80/", b"x", Named("hello", b"/", b"Hello.Mesh:80")),
        (b"http://hello//double//", b"hello", Named("hello", b"//double//", b"hello")),
        (b"/x", b"hello.mesh", Named("hello", b"/x", b"hello.mesh")),
        (b"/x", b"hello", Named("hello", b"/x", b"hello")),
        (b"/x", b"hello.mesh:80", Named("hello", b"/x", b"hello.mesh:80")),
        (b"/x", b"hello.mesh:4140", Named("hello", b"/x", b"hello.mesh:4140")),
        (b"/x", b"hello.mesh.", Named("hello", b"/x", b"hello.mesh.")),
        (b"/x", b"hello.proxy.mesh:4140", Named("hello", b"/x", b"hello.proxy.mesh:4140")),
        (b"/x", b"proxy.mesh", Named("proxy", b"/x", b"proxy.mesh")),
        (b"//x", b"hello", Named("hello", b"//x", b"hello")),
        (b"/http://other/", b"hello", Named("hello", b"/http://other/", b"hello")),
    ],
)
def test_a_service_is_named_by_target_or_host(target: bytes, host: bytes, expected: Named) -> None:
    assert name_request(b"GET", target, host, fixed=None) == expected


def test_without_a_host_an_absolute_target_is_enough() -> None:
    assert name_request(b"GET", b"http://hello/x", None, fixed=None) == Named("hello", b"/x", b"hello")


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"/x", b"127.0.0.1:9191", Named("world", b"/x", b"127.0.0.1:9191")),
        (b"/x", b"www.example.com", Named("world", b"/x", b"www.example.com")),
        (b"/x", b"", Named("world", b"/x", b"")),
        (b"/x", None, Named("world", b"/x", b"world")),
        (b"http://hello/x", b"b", Named("world", b"/x", b"hello")),
    ],
)
def test_a_port_of_its_own_says_which_service_whatever_host_says(
    target: bytes, host: bytes | None, expected: Named
) -> None:
    assert name_request(b"GET", target, host, fixed="world") == expected


def test_options_may_ask_about_the_whole_service() -> None:
    assert name_request(b"OPTIONS", b"*", b"hello", fixed=None).target == b"*"
    assert name_request(b"OPTIONS", b"http://hello", b"hello", fixed=None).target == b"*"
    assert name_request(b"OPTIONS", b"http://hello/", b"hello", fixed=None).target == b"/"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/x#fragment", b"hello"),
        (b"http://hello/x#fragment", b"hello"),
        (b"http://hello#fragment", b"hello"),
        (b"/x", b"a b/c@d"),
        (b"/x", b"a b"),
        (b"/x", b"hello/"),
        (b"/x", b"user@hello"),
        (b"/x", b"hello:80:80"),
        (b"/x", b"hello:http"),
        (b"/x", b"hello, world"),
        (b"/x", b"h\xc3\xa9llo"),
        (b"/x", b""),
        (b"/x", None),
        (b"*", b"hello"),
        (b"x", b"hello"),
        (b"hello:80", b"hello"),
        (b"https://hello/x", b"hello"),
        (b"ftp://hello/x", b"hello"),
        (b"http:///x", b"hello"),
        (b"http://user@hello/x", b"hello"),
        (b"http://hello:80:80/x", b"hello"),
        (b"http:hello", b"hello"),
    ],
)
def test_what_is_not_valid_is_refused(target: bytes, host: bytes | None) -> None:
    with pytest.raises(RequestError) as raised:
        name_request(b"GET", target, host, fixed=None)
    assert (raised.value.flag, raised.value.status) == ("DPE", 400)


@pytest.mark.parametrize(
    "host",
    [
        b"www.example.com",
        b"127.0.0.1:4140",
        b"[::1]:4140",
        b"hello.mesh.local",
        b"a.b.mesh",
        b"a.b.proxy.mesh",
        b"hello.proxy",
    ],
)
def test_a_name_outside_the_mesh_is_refused_with_what_to_do_about_it(host: bytes) -> None:
    with pytest.raises(RequestError, match="no_proxy") as raised:
        name_request(b"GET", b"/", host, fixed=None)
    assert (raised.value.flag, raised.value.status) == ("NR", 403)


@pytest.mark.parametrize("host", [b"under_score", b"a" * 64, b".mesh", b"a%20b"])
def test_a_name_that_no_service_can_have_is_unknown(host: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        name_request(b"GET", b"/", host, fixed=None)
    assert (raised.value.flag, raised.value.status) == ("NR", 404)


@pytest.mark.parametrize("fixed", [None, "world"])
def test_connect_is_refused_on_every_port(fixed: str | None) -> None:
    with pytest.raises(RequestError) as raised:
        name_request(b"CONNECT", b"hello:80", b"hello:80", fixed=fixed)
    assert (raised.value.flag, raised.value.status) == ("AZ", 405)


@given(
    target=st.binary(max_size=30),
    host=st.none() | st.binary(max_size=30),
    fixed=st.sampled_from([None, "world"]),
)
def test_any_bytes_name_a_service_and_an_origin_form_target_or_are_refused(
    target: bytes, host: bytes | None, fixed: str | None
) -> None:
    try:
        named = name_request(b"GET", target, host, fixed=fixed)
    except RequestError:
        return
    assert named.target.startswith(b"/")
    assert b"#" not in named.target
    assert named.target in target or named.target == b"/" or named.target[1:] in target


@given(authority=st.from_regex(rb"[a-zA-Z0-9.:_-]{0,70}", fullmatch=True))
def test_a_service_name_is_always_a_valid_one(authority: bytes) -> None:
    try:
        service = service_of_authority(authority)
    except RequestError:
        return
    assert service.encode() in authority.lower()
    assert 1 <= len(service) <= 63


@given(
    middle=st.sampled_from([b"hello", b"hello.mesh:80", b"", b"nobody-asked", b"h"]),
    rest=st.text("/?:ax", max_size=6).map(str.encode),
)
def test_an_absolute_target_is_split_alike_whether_its_authority_is_known_or_not(
    middle: bytes, rest: bytes
) -> None:
    def named(scheme: bytes) -> Named | None:
        try:
            return name_request(b"GET", scheme + middle + rest, b"x", fixed=None)
        except RequestError:
            return None

    name_request(b"GET", b"/", b"hello", fixed=None)
    name_request(b"GET", b"/", b"hello.mesh:80", fixed=None)
    # The scheme's case decides nothing but which way the target is taken apart.
    assert named(b"http://") == named(b"HTTP://")

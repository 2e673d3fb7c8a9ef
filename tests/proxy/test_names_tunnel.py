"""What CONNECT names, and where it may go; and names outside the mesh."""

from __future__ import annotations

import pytest

from gossipmesh.errors import RequestError
from gossipmesh.model import Protocol, Service
from gossipmesh.proxy.names import (
    MAX_AUTHORITIES,
    Named,
    Tunnel,
    check_method,
    check_tunnel,
    name_request,
    name_tunnel,
)
from gossipmesh.proxy.outside import External

DB = Service("db", 5432, Protocol.TCP)
HELLO = Service("hello", 8080)
DIRECT = External("direct", ("*.example.com",))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"db:5432", Tunnel("db", 5432)),
        (b"DB.mesh:5432", Tunnel("db", 5432)),
        (b"db.mesh.:1", Tunnel("db", 1)),
    ],
)
def test_a_connect_names_a_service_and_a_port(target: bytes, expected: Tunnel) -> None:
    assert name_tunnel(target, b"whatever", fixed=None) == expected


@pytest.mark.parametrize(
    "target",
    [
        b"db",
        b"db:",
        b"db:0",
        b"db:65536",
        b"db:x",
        b":5432",
        b"/",
        b"/db:5432",
        b"http://db:5432/",
        b"*",
        b"a@db:1",
    ],
)
def test_what_is_not_host_and_port_is_not_valid(target: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        name_tunnel(target, b"db", fixed=None)
    assert (raised.value.flag, raised.value.status) == ("DPE", 400)


def test_on_a_port_that_is_one_services_own_there_is_no_connect() -> None:
    with pytest.raises(RequestError) as raised:
        name_tunnel(b"db:5432", b"db", fixed="hello")
    assert (raised.value.flag, raised.value.status) == ("AZ", 405)


def test_a_connect_with_a_host_that_is_none_is_not_valid() -> None:
    with pytest.raises(RequestError, match="Host"):
        name_tunnel(b"db:5432", b"a b", fixed=None)


def test_a_tunnel_leads_to_a_tcp_service_on_its_declared_port() -> None:
    check_tunnel(DB, 5432)


@pytest.mark.parametrize(
    ("service", "port", "why"), [(HELLO, 8080, "speaks http"), (DB, 22, "declares port 5432")]
)
def test_a_tunnel_leads_nowhere_else(service: Service, port: int, why: str) -> None:
    with pytest.raises(RequestError, match=why) as raised:
        check_tunnel(service, port)
    assert (raised.value.flag, raised.value.status) == ("AZ", 405)


def test_a_connect_may_leave_the_mesh_where_a_request_may() -> None:
    tunnel = name_tunnel(b"api.example.com:443", None, fixed=None, external=DIRECT)
    assert tunnel == Tunnel("", 443, ("api.example.com", 443))
    with pytest.raises(RequestError, match="no_proxy"):
        name_tunnel(b"api.example.net:443", None, fixed=None, external=DIRECT)
    with pytest.raises(RequestError, match="no_proxy"):
        name_tunnel(b"api.example.com:443", None, fixed=None)


def test_a_request_may_leave_the_mesh_for_what_is_listed() -> None:
    named = name_request(b"GET", b"http://api.example.com/x", b"b", fixed=None, external=DIRECT)
    assert named == Named("", b"/x", b"api.example.com", ("api.example.com", 80))
    with pytest.raises(RequestError, match="no_proxy"):
        name_request(b"GET", b"http://example.com/", b"b", fixed=None, external=DIRECT)


def test_trace_is_refused_for_it_would_show_what_is_added_on_the_way() -> None:
    for call in (
        lambda: check_method(b"TRACE"),
        lambda: name_request(b"TRACE", b"/", b"hello", fixed="world"),
    ):
        with pytest.raises(RequestError, match="headers") as raised:
            call()
        assert (raised.value.flag, raised.value.status) == ("AZ", 405)
    check_method(b"OPTIONS")


def test_however_many_authorities_are_asked_for_the_answers_stay_the_same() -> None:
    for _ in range(2):
        for number in range(MAX_AUTHORITIES + 10):
            named = name_request(b"GET", b"/", b"s%d.mesh" % number, fixed=None)
            assert named.service == f"s{number}"

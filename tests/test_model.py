"""Addresses survive packing and text, and what is no address is refused with what to write instead."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.identity.signed import MAX_WALL
from gossipmesh.model import MAX_NAME, Address, NodeId, day, is_name, short_id, split_host_port, value

ports = st.integers(0, 65_535)
hosts = st.ip_addresses().filter(lambda ip: getattr(ip, "scope_id", None) is None).map(str)
addresses = st.builds(Address, hosts, ports)


@given(addresses)
def test_an_address_survives_packing(address: Address) -> None:
    assert len(address.packed) == (16 if ":" in address.host else 4)
    assert Address.from_packed(address.packed, address.port) == address


@given(st.binary(max_size=20).filter(lambda packed: len(packed) not in (4, 16)), ports)
def test_no_other_length_is_an_address(packed: bytes, port: int) -> None:
    with pytest.raises(ValueError, match="address"):
        Address.from_packed(packed, port)


@given(addresses)
def test_an_address_survives_being_written_down(address: Address) -> None:
    assert split_host_port(str(address)) == (address.host, address.port)


@given(addresses, addresses)
def test_two_addresses_are_written_alike_only_if_they_are_the_same(one: Address, other: Address) -> None:
    assert (str(one) == str(other)) == (one == other)


def test_addresses_are_in_brackets_where_they_have_colons() -> None:
    assert str(Address("192.0.2.1", 80)) == "192.0.2.1:80"
    assert str(Address("2001:db8::1", 80)) == "[2001:db8::1]:80"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seed:7946", ("seed", 7946)),
        ("seed.example.org:0", ("seed.example.org", 0)),
        ("127.0.0.1:65535", ("127.0.0.1", 65_535)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_a_host_and_its_port_are_told_apart(text: str, found: tuple[str, int]) -> None:
    assert split_host_port(text) == found
    assert split_host_port(text, default_host="127.0.0.1") == found


@given(ports)
def test_a_bare_port_needs_a_default_host(port: int) -> None:
    assert split_host_port(str(port), default_host="127.0.0.1") == ("127.0.0.1", port)
    with pytest.raises(ConfigError) as caught:
        split_host_port(str(port))
    assert caught.value.code == "config.address"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":80",
        "seed",
        "seed:",
        "seed:65536",
        "seed:-1",
        "seed:+1",
        "seed: 1",
        "seed:1_0",
        "seed:٣",
        "[]:80",
    ],
)
def test_what_is_no_address_is_refused_with_the_form_that_is_wanted(text: str) -> None:
    for default_host, wanted in ((None, "HOST:PORT"), ("127.0.0.1", "[HOST:]PORT")):
        with pytest.raises(ConfigError) as caught:
            split_host_port(text, default_host=default_host)
        assert caught.value.code == "config.address"
        assert f"write {wanted} " in str(caught.value)
        assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["::1", "::1:80", "2001:db8::1:7946"])
def test_a_bare_ipv6_address_is_sent_into_brackets(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write an IPv6 address as \[ADDRESS\]:PORT"):
        split_host_port(text)


@given(st.text(max_size=30), st.sampled_from([None, "127.0.0.1"]))
def test_any_text_is_split_or_refused_with_one_error(text: str, default_host: str | None) -> None:
    try:
        host, port = split_host_port(text, default_host=default_host)
    except ConfigError as error:
        assert error.code == "config.address"
    else:
        assert host
        assert 0 <= port <= 65_535


@pytest.mark.parametrize("text", ["a", "web-1", "0", "-", "x" * MAX_NAME])
def test_lower_case_letters_digits_and_hyphens_are_a_name(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", "Web", "web_1", "web.1", "web ", "web\n", "wéb", "٣", "x" * (MAX_NAME + 1)]
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_name(text)


def test_people_see_the_first_eight_digits_of_an_id() -> None:
    assert short_id(NodeId(bytes(range(32)))) == "00010203"


def test_packing_is_the_order_of_the_network() -> None:
    assert Address("192.0.2.1", 1).packed == ipaddress.ip_address("192.0.2.1").packed == b"\xc0\x00\x02\x01"


@pytest.mark.parametrize("text", ["h:" + "1" * 5_000, " :80", "[x:80", "h:٣", ":80", "h:65536", "a b:1"])
def test_what_is_no_address_is_one_error(text: str) -> None:
    with pytest.raises(ConfigError):
        split_host_port(text)


def test_a_value_is_made_compared_and_shown_like_a_frozen_one() -> None:
    @value
    class Point:
        x: int
        y: int = 0

    assert Point(1) == Point(1, 0) != Point(1, 2)
    assert len({Point(1), Point(1)}) == 1
    assert "x=1, y=0" in repr(Point(1))


def test_the_last_time_on_the_wire_can_be_shown() -> None:
    assert day(MAX_WALL) == "9999-12-31 23:59 UTC"

"""Leaving the mesh."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RequestError
from gossipmesh.proxy.outside import GLOB, REFUSED, External, may_dial, outside

DIRECT = External("direct", ("example.com", "*.example.org", "192.0.2.7", "[2001:db8::7]", "169.254.169.254"))


def refused(authority: bytes, external: External = DIRECT) -> tuple[str, int, str]:
    with pytest.raises(RequestError) as caught:
        outside(authority, external)
    return caught.value.flag, caught.value.status, str(caught.value)


@pytest.mark.parametrize(
    ("authority", "place"),
    [
        (b"example.com", ("example.com", 80)),
        (b"EXAMPLE.com.:8080", ("example.com", 8080)),
        (b"a.example.org:", ("a.example.org", 80)),
        (b"a.b.example.org", ("a.b.example.org", 80)),
        (b"192.0.2.7:443", ("192.0.2.7", 443)),
        (b"[2001:DB8::7]:443", ("2001:db8::7", 443)),
    ],
)
def test_what_is_listed_is_gone_to(authority: bytes, place: tuple[str, int]) -> None:
    assert outside(authority, DIRECT) == place


@pytest.mark.parametrize(
    "authority", [b"www.example.com", b"example.org", b"xexample.org", b"192.0.2.8", b"example.com.evil.net"]
)
def test_what_is_not_listed_is_refused_with_what_to_do_about_it(authority: bytes) -> None:
    flag, status, text = refused(authority)
    assert (flag, status) == ("NR", 403)
    assert "no_proxy" in text


def test_by_default_everything_is_refused() -> None:
    assert "no_proxy" in refused(b"example.com", REFUSED)[2]
    assert "no_proxy" in refused(b"example.com", External("refuse", ("example.com",)))[2]


def test_an_address_that_leads_to_ourselves_is_refused_even_where_it_is_listed() -> None:
    assert refused(b"169.254.169.254")[:2] == ("NR", 403)


@pytest.mark.parametrize("authority", [b"example.com:0", b"example.com:65536", b"a b", b"example.com:x", b""])
def test_what_is_no_host_and_port_is_not_valid(authority: bytes) -> None:
    assert refused(authority)[:2] == ("DPE", 400)


def test_where_a_port_has_to_be_said_none_is_not_valid() -> None:
    with pytest.raises(RequestError):
        outside(b"example.com", DIRECT, default_port=None)


NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
]
WRAPPINGS = ["::ffff:{}", "::{}", "64:ff9b::{}"]


@pytest.mark.parametrize("text", NEVER)
def test_no_name_leads_to_ourselves_to_metadata_or_to_many(text: str) -> None:
    inner = ipaddress.IPv4Address(text)
    assert not may_dial(inner)
    for wrapping in WRAPPINGS:
        assert not may_dial(ipaddress.ip_address(wrapping.format(text)))
    packed = inner.packed
    assert not may_dial(ipaddress.IPv6Address(b"\x20\x02" + packed + bytes(10)))
    hidden = bytes(byte ^ 0xFF for byte in packed)
    assert not may_dial(ipaddress.IPv6Address(b"\x20\x01" + bytes(10) + hidden))


@pytest.mark.parametrize("text", ["::", "::1", "fe80::1", "fe80::1%eth0", "ff02::1"])
def test_nor_does_it_in_ipv6(text: str) -> None:
    assert not may_dial(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::ffff:100.100.100.200",
    ],
)
def test_nor_to_metadata_that_is_not_link_local(text: str) -> None:
    assert not may_dial(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["93.184.216.34", "10.0.0.1", "192.168.1.1", "2606:2800::1", "fd00::1"])
def test_public_and_private_networks_may_be_gone_to(text: str) -> None:
    assert may_dial(ipaddress.ip_address(text))
    if "." in text:
        assert may_dial(ipaddress.ip_address(f"::ffff:{text}"))


@pytest.mark.parametrize(
    ("glob", "valid"),
    [
        ("example.com", True),
        ("*.example.com", True),
        ("10.0.0.1", True),
        ("[2001:db8::1]", True),
        ("*", False),
        ("*.*.com", False),
        ("a.*.com", False),
        ("example.com:80", False),
        ("http://example.com", False),
        ("", False),
        (".com", False),
    ],
)
def test_what_may_stand_on_the_list(glob: str, valid: bool) -> None:
    assert (GLOB.fullmatch(glob) is not None) is valid


@given(authority=st.binary(max_size=40))
def test_any_bytes_lead_to_a_listed_place_or_are_refused(authority: bytes) -> None:
    try:
        host, port = outside(authority, DIRECT)
    except RequestError:
        return
    assert host == "example.com" or host.endswith(".example.org") or host in ("192.0.2.7", "2001:db8::7")
    assert 0 < port <= 65_535

"""What names ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.discovery.dns.names import (
    Apex,
    Asked,
    Branch,
    Listing,
    Nothing,
    OfNode,
    OfService,
    Outside,
    Proxy,
    Reverse,
    WithPorts,
    Zone,
    read_name,
)


def read(text: str, *domain: str) -> Asked:
    return read_name(
        tuple(label.encode("latin-1") for label in text.split(".") if label), domain or ("mesh",)
    )


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("mesh", Apex()),
        ("MESH", Apex()),
        ("hello.mesh", OfService("hello")),
        ("Hello.Mesh", OfService("hello")),
        ("v2.hello.mesh", OfService("hello", tag="v2")),
        ("hello.eu-1a.zone.mesh", OfService("hello", zone="eu-1a")),
        ("eu-1a.zone.mesh", Zone("eu-1a")),
        ("zone.mesh", OfService("zone")),
        ("_hello._tcp.mesh", WithPorts("hello")),
        ("_tcp.mesh", Branch("_tcp")),
        ("hello.proxy.mesh", Proxy("hello")),
        ("web-1.node.mesh", OfNode("web-1", "node")),
        ("web-1~ab12.node.mesh", OfNode("web-1~ab12", "node")),
        ("00ff.id.mesh", OfNode("00ff", "id")),
        ("_services.mesh", Listing("_services")),
        ("_members.mesh", Listing("_members")),
        ("4.3.2.1.in-addr.arpa", Reverse("1.2.3.4")),
        (".".join("2" + "0" * 23 + "8bd01002") + ".ip6.arpa", Reverse("2001:db8::2")),
    ],
)
def test_a_name_asks_for_one_thing(text: str, asked: Asked) -> None:
    assert read(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "hel_lo.mesh",
        "_hello.mesh",
        "_hello._udp.mesh",
        "_._tcp.mesh",
        "a.b.hello.mesh",
        "_x.proxy.mesh",
        "a.hello.proxy.mesh",
        "h\xe9llo.mesh",
        "a b.mesh",
        "x._services.mesh",
    ],
)
def test_what_nothing_can_be_called_is_nothing(text: str) -> None:
    assert read(text) == Nothing()


@pytest.mark.parametrize(
    "text",
    ["", "com", "example.com", "hello.mesh.com", "xmesh", "arpa", "1.2.3.in-addr.arpa", "256.3.2.1.in-addr.arpa",
     "04.3.2.1.in-addr.arpa", "-1.3.2.1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa", "1.0.ip6.arpa",
     ".".join("x" * 32) + ".ip6.arpa"],
)  # fmt: skip
def test_other_names_are_not_the_meshs(text: str) -> None:
    assert read(text) == Outside()


def test_the_domain_may_have_several_labels() -> None:
    assert read("hello.mesh.internal", "mesh", "internal") == OfService("hello")
    assert read("internal", "mesh", "internal") == Outside()


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=40))
def test_any_labels_ask_for_something(labels: list[bytes]) -> None:
    read_name(tuple(labels), ("mesh",))
    read_name((*labels, b"mesh"), ("mesh",))
    read_name((*labels, b"in-addr", b"ARPA"), ("mesh",))

"""Questions about a small mesh, and what it says. ``town`` is described in conftest.py."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.discovery.dns.zone import Domain, Found, look_up
from gossipmesh.model import Address
from gossipmesh.routing.snapshot import Snapshot

NXDOMAIN, NOERROR, REFUSED = dns.rcode.NXDOMAIN, dns.rcode.NOERROR, dns.rcode.REFUSED


def test_a_service_has_the_addresses_of_the_nodes_where_it_is_healthy(town: Any) -> None:
    assert town.rows("hello.mesh") == ["10.0.0.1", "10.0.0.2"]
    assert town.rows("hello.mesh", "AAAA") == ["2001:db8::2"]


def test_what_this_node_itself_found_ill_is_left_out(town: Any) -> None:
    town.ejected = {"web-1"}
    assert town.rows("hello.mesh") == ["10.0.0.2"]
    assert [row.split()[3] for row in town.rows("_hello._tcp.mesh", "SRV")] == ["web-2.node.mesh."]


def test_nodes_that_share_an_address_have_it_once(town: Any) -> None:
    town.nodes[1] = evolve(town.nodes[1], addresses=town.nodes[0].addresses)
    assert town.rows("hello.mesh") == ["10.0.0.1"]


def test_endpoints_can_be_asked_for_by_tag_and_by_zone(town: Any) -> None:
    assert town.rows("v1.hello.mesh") == ["10.0.0.1", "10.0.0.2"]
    assert town.rows("v2.hello.mesh") == ["10.0.0.2"]
    assert town.rows("hello.eu.zone.mesh") == ["10.0.0.1"]
    assert town.rows("hello.us.zone.mesh") == ["10.0.0.2"]


def test_srv_gives_weight_declared_port_and_a_target_with_its_addresses(town: Any) -> None:
    reply = town.ask("_hello._tcp.mesh", "SRV")
    assert town.rows("_hello._tcp.mesh", "SRV") == ["0 3 8080 web-1.node.mesh.", "0 7 8080 web-2.node.mesh."]
    extra = sorted((str(rrset.name), rdata.to_text()) for rrset in reply.additional for rdata in rrset)
    assert extra == [
        ("web-1.node.mesh.", "10.0.0.1"),
        ("web-2.node.mesh.", "10.0.0.2"),
        ("web-2.node.mesh.", "2001:db8::2"),
    ]
    for name, address in extra:
        assert address in town.rows(name, "AAAA" if ":" in address else "A")


def test_a_node_whose_name_is_anothers_is_named_by_its_id(town: Any) -> None:
    healthy = [evolve(end, eligible=True, reason="") for end in town.snapshot.endpoints("db")]
    town.snapshot = Snapshot(town.nodes[0].id, {"db": tuple(healthy)})
    name = "04" * 16 + ".id.mesh."
    assert town.rows("_db._tcp.mesh", "SRV") == [f"0 1 5432 {name}"]
    assert town.rows(name) == ["10.0.0.4"]
    assert town.rows("web-1~0404.node.mesh") == ["10.0.0.4"]


def test_the_dead_have_no_address(town: Any) -> None:
    assert town.ask("gone.node.mesh").rcode() == NXDOMAIN
    assert town.ask("5.0.0.10.in-addr.arpa", "PTR").rcode() == REFUSED


def test_an_address_has_the_names_of_its_nodes(town: Any) -> None:
    assert town.rows("2.0.0.10.in-addr.arpa", "PTR") == ["web-2.node.mesh."]
    assert town.rows(".".join("2" + "0" * 23 + "8bd01002") + ".ip6.arpa", "PTR") == ["web-2.node.mesh."]
    assert town.ask("9.9.9.9.in-addr.arpa", "PTR").rcode() == REFUSED


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::", ["127.0.0.1", "::1"]),
        ("10.0.0.1", ["10.0.0.1"]),
    ],
)
def test_below_proxy_every_service_is_at_the_local_proxy(town: Any, host: str, hosts: list[str]) -> None:
    town.proxy = Address(host, 4140)
    assert town.rows("hello.proxy.mesh") + town.rows("hello.proxy.mesh", "AAAA") == hosts
    # The proxy says in words what is wrong with a service that is down; DNS cannot.
    assert town.rows("db.proxy.mesh") == [each for each in hosts if ":" not in each]
    assert town.ask("nobody.proxy.mesh").rcode() == NXDOMAIN


def test_all_services_and_members_are_listed_as_text(town: Any) -> None:
    assert town.rows("_services.mesh", "TXT") == [
        '"db" "endpoints=1" "healthy=0" "protocol=tcp" "port=5432"',
        '"hello" "endpoints=3" "healthy=2" "protocol=http" "port=8080" "tags=v1,v2"',
    ]
    first, *others = town.rows("_members.mesh", "TXT")
    assert (
        first
        == '"gone" "id=05050505" "state=dead" "serving=serving" "address=10.0.0.5:7946" "services=hello"'
    )
    assert len(others) == 4


def test_long_lists_of_services_go_on_in_the_next_string(town: Any) -> None:
    services = tuple(f"{'x' * 60}{i}" for i in range(9))
    town.nodes = [evolve(town.nodes[0], services=services)]
    (reply,) = town.ask("_members.mesh", "TXT").answer
    assert b"".join(reply[0].strings).decode().endswith("services=" + ",".join(services))


def test_where_all_endpoints_are_ill_there_is_none_but_the_name_exists(town: Any) -> None:
    for name, rdtype in (("db.mesh", "A"), ("_db._tcp.mesh", "SRV")):
        reply = town.ask(name, rdtype)
        assert (reply.rcode(), reply.answer) == (NOERROR, [])
        assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.SOA]


NODATA = [
    "mesh A",
    "hello.mesh MX",
    "hello.mesh SRV",
    "_tcp.mesh A",
    "proxy.mesh A",
    "zone.mesh A",
    "node.mesh A",
    "id.mesh A",
    "eu.zone.mesh A",
    "_services.mesh A",
    "web-1.node.mesh AAAA",
    "2.0.0.10.in-addr.arpa A",
    "_hello._tcp.mesh TXT",
    "hello.proxy.mesh TXT",
]
MISSING = [
    "nobody.mesh A",
    "v1.nobody.mesh A",
    "v9.hello.mesh A",
    "_nobody._tcp.mesh SRV",
    "_udp.mesh A",
    "hello.as.zone.mesh A",
    "as.zone.mesh A",
    "db.us.zone.mesh A",
    "web-9.node.mesh A",
    "04.id.mesh A",
    "a.b.c.mesh A",
    "h_.mesh A",
    "nobody.mesh ANY",
]


@pytest.mark.parametrize("question", NODATA)
def test_a_name_without_records_of_that_type_exists(town: Any, question: str) -> None:
    reply = town.ask(*question.split())
    assert (reply.rcode(), reply.answer) == (NOERROR, [])
    assert reply.flags & dns.flags.AA
    (soa,) = reply.authority
    assert (soa.rdtype, soa.ttl, soa[0].minimum) == (dns.rdatatype.SOA, 1, 1)


@pytest.mark.parametrize("question", MISSING)
def test_a_name_that_nobody_has_does_not_exist_for_a_short_time(town: Any, question: str) -> None:
    reply = town.ask(*question.split())
    assert (reply.rcode(), reply.answer) == (NXDOMAIN, [])
    assert reply.flags & dns.flags.AA
    (soa,) = reply.authority
    assert (str(soa.name), soa.rdtype, soa.ttl, soa[0].minimum) == ("mesh.", dns.rdatatype.SOA, 1, 1)


LABEL = st.sampled_from(
    [
        "hello",
        "db",
        "v1",
        "v2",
        "eu",
        "us",
        "zone",
        "proxy",
        "node",
        "id",
        "_tcp",
        "_hello",
        "_services",
        "web-1",
        "x",
        "0" * 32,
    ]
)


@given(st.lists(LABEL, max_size=4), LABEL)
def test_below_a_name_that_does_not_exist_nothing_exists(
    make_town: Any, labels: list[str], more: str
) -> None:
    """RFC 8020."""
    town = make_town()
    name = ".".join([*labels, "mesh"])
    if town.ask(name).rcode() == NXDOMAIN:
        assert town.ask(f"{more}.{name}").rcode() == NXDOMAIN


def test_the_apex_has_its_authority_and_this_node_for_a_server(town: Any) -> None:
    assert town.rows("mesh", "SOA") == ["web-1.node.mesh. nobody.mesh. 17 3600 600 86400 1"]
    assert town.rows("mesh", "NS") == ["web-1.node.mesh."]
    assert town.rows("web-1.node.mesh") == ["10.0.0.1"]


def test_of_very_many_endpoints_some_are_given_at_random(town: Any) -> None:
    town.many(600)
    found = [{rdata.to_text() for rdata in town.ask("hello.mesh", tcp=True).answer[0]} for _ in range(2)]
    assert [len(each) for each in found] == [256, 256]
    assert found[0] != found[1]


def test_any_gets_one_record_that_says_nothing(town: Any) -> None:
    """RFC 8482."""
    assert town.rows("hello.mesh", "ANY") == ['"RFC8482" ""']


@pytest.mark.parametrize(
    "question", ["example.com A", "hello.mesh.example.com A", ". NS", "version.bind TXT CH"]
)
def test_other_names_and_classes_are_refused(town: Any, question: str) -> None:
    reply = town.ask(*question.split())
    assert (reply.rcode(), reply.answer, reply.authority) == (REFUSED, [], [])
    assert not reply.flags & dns.flags.AA


@pytest.mark.parametrize("rdtype", ["AXFR", "IXFR"])
def test_the_zone_is_not_handed_out(town: Any, rdtype: str) -> None:
    query = dns.message.make_query("mesh", "A")
    raw = bytearray(query.to_wire())
    at = raw.index(b"\x04mesh\0") + 6
    raw[at : at + 2] = int(dns.rdatatype.from_text(rdtype)).to_bytes(2)
    reply = town.answers().answer_untrusted(bytes(raw), town.picture, now=0.0)
    assert reply[3] & 0xF == REFUSED


def test_ttl_and_domain_are_as_configured(town: Any) -> None:
    domain = Domain(("mesh", "internal"), ttl=30)
    reply = town.ask("hello.mesh.internal", domain=domain)
    assert {rrset.ttl for rrset in reply.answer} == {30}
    assert town.ask("no.mesh.internal", domain=domain).authority[0].ttl == 30
    assert town.ask("hello.mesh", domain=domain).rcode() == REFUSED


def test_answers_come_in_any_order(town: Any) -> None:
    town.many(3)
    orders = {
        tuple(rdata.to_text() for rrset in town.ask("hello.mesh").answer for rdata in rrset)
        for _ in range(99)
    }
    assert len(orders) == 6


@pytest.mark.parametrize("question", ["hello.mesh A", "_hello._tcp.mesh SRV", "_members.mesh TXT"])
def test_hardly_more_records_are_made_than_fit(town: Any, question: str) -> None:
    town.many(400)
    name, rdtype = question.split()
    found = look_up(
        dns.name.from_text(name),
        dns.rdatatype.from_text(rdtype),
        town.picture,
        Domain(),
        rng=town.rng,
        room=1232,
    )
    assert isinstance(found, Found)
    sizes = [12 + len(data) for data in found.answers]
    assert 1100 < sum(sizes[:-1]) <= 1232 + max(sizes)
    assert not found.additional


def test_the_target_of_srv_is_written_out_and_its_address_points_there(town: Any) -> None:
    """RFC 2782: a resolver that does not know the type could not hand a pointer on."""
    query = dns.message.make_query("_hello._tcp.mesh", "SRV", use_edns=False).to_wire()
    raw = town.answers().answer_untrusted(query, town.picture, now=0.0)
    assert isinstance(raw, bytes)
    assert raw.count(b"\x05web-1\x04node\x04mesh\0") == 1
    assert raw.count(b"\x05web-2\x04node\x04mesh\0") == 1


def test_of_very_many_ports_each_has_its_own_address_beside_it(town: Any) -> None:
    """Also where a pointer would not reach so far back into the packet."""
    town.many(256)
    town.nodes = [evolve(node, name=node.name + "x" * 50) for node in town.nodes]
    reply = town.ask("_hello._tcp.mesh", "SRV", tcp=True)
    assert len(reply.to_wire()) > 0x4000
    beside = {str(rrset.name): rrset[0].to_text() for rrset in reply.additional}
    wanted = {f"{node.name}.node.mesh.": node.addresses[0].host for node in town.nodes}
    assert beside == wanted
    assert {rdata.target.to_text() for rdata in reply.answer[0]} == set(wanted)

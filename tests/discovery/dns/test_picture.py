"""What is made of a picture when it is asked for."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from gossipmesh.model import Address


def test_an_endpoint_has_all_addresses_of_its_node_or_its_own_where_the_node_is_not_known(town: Any) -> None:
    picture = town.picture
    web_2 = town.snapshot.endpoints("hello")[1]
    assert picture.hosts_of(web_2) == ("10.0.0.2", "2001:db8::2")
    town.nodes = town.nodes[:1]
    assert town.picture.hosts_of(web_2) == ("10.0.0.2",)


def test_addresses_are_found_however_they_are_written(town: Any) -> None:
    town.nodes.append(town.node("v6", 9, Address("2001:DB8:0::9", 1)))
    assert [node.name for node in town.picture.by_host["2001:db8::9"]] == ["v6"]


def test_several_nodes_may_have_one_address(town: Any) -> None:
    town.nodes[1] = evolve(town.nodes[1], addresses=town.nodes[0].addresses)
    assert [node.name for node in town.picture.by_host["10.0.0.1"]] == ["web-1", "web-2"]

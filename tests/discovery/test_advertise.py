"""The address to advertise is the one that others can dial."""

from __future__ import annotations

import pytest

from gossipmesh.discovery.advertise import (
    SOMEWHERE,
    choose_again,
    choose_host,
    is_wildcard,
    local_host_towards,
)
from gossipmesh.model import Address


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_is_no_address_to_dial(host: str) -> None:
    assert is_wildcard(host)


def test_what_is_bound_is_what_is_advertised() -> None:
    assert choose_host(Address("127.0.0.9", 7946), (Address("127.0.0.1", 7946),)) == "127.0.0.9"


def test_behind_a_wildcard_the_way_to_a_seed_decides() -> None:
    assert choose_host(Address("0.0.0.0", 7946), (Address("127.0.0.1", 7946),)) == "127.0.0.1"


def test_without_a_seed_some_address_of_this_host_is_chosen_and_never_a_wildcard() -> None:
    assert not is_wildcard(choose_host(Address("0.0.0.0", 7946), ()))


def test_a_seed_without_a_port_still_shows_the_way() -> None:
    assert local_host_towards(Address("127.0.0.1", 0)) == "127.0.0.1"


def test_what_a_v4_wildcard_does_not_cover_is_not_advertised() -> None:
    seeds = (Address("::1", 7946), Address("127.0.0.1", 7946))
    assert choose_host(Address("0.0.0.0", 7946), seeds) == "127.0.0.1"
    assert ":" not in choose_host(Address("0.0.0.0", 7946), seeds[:1])


def test_the_wildcard_of_both_families_leads_to_whichever_seed_comes_first() -> None:
    seeds = (Address("::1", 7946), Address("127.0.0.1", 7946))
    assert choose_host(Address("::", 7946), seeds) == "::1"
    assert choose_host(Address("::", 7946), seeds[::-1]) == "127.0.0.1"


def test_loopback_is_advertised_only_where_no_seed_shows_another_way() -> None:
    outside = local_host_towards(SOMEWHERE[0])
    if outside is None:
        pytest.skip("this machine has no way out")
    own_name, other = Address("127.0.1.1", 7946), SOMEWHERE[0]
    assert choose_host(Address("0.0.0.0", 7946), (own_name, other)) == outside
    assert choose_host(Address("0.0.0.0", 7946), (own_name,)) == "127.0.0.1"


def test_a_seed_that_is_found_late_decides_until_the_node_has_joined() -> None:
    bind, seeds = Address("0.0.0.0", 7946), (Address("127.0.0.1", 7946),)
    assert choose_again("10.8.0.1", bind, seeds, joined=False) == "127.0.0.1"
    assert choose_again("10.8.0.1", bind, seeds, joined=True) == "10.8.0.1"
    assert choose_again("10.8.0.1", bind, (), joined=False) == "10.8.0.1"
    assert choose_again("10.8.0.1", Address("10.8.0.1", 7946), seeds, joined=False) == "10.8.0.1"


def test_loopback_is_given_up_for_another_way_at_any_time() -> None:
    outside = local_host_towards(SOMEWHERE[0])
    if outside is None:
        pytest.skip("this machine has no way out")
    assert choose_again("127.0.0.1", Address("0.0.0.0", 7946), SOMEWHERE[:1], joined=True) == outside

"""The address to advertise is the one that others can dial."""

from __future__ import annotations

import pytest

from gossipmesh.discovery.advertise import choose_host, is_wildcard, local_host_towards
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

"""What five hosts see and serve while the network between them is not what it should be."""

from __future__ import annotations

import json

import pytest

import hosts
from harness import eventually

pytestmark = pytest.mark.timeout(150)
HELLO, WORLD = "http://hello/hello", "http://world/world"
LOSS = "numgen random mod 100 < 10"


def probes(five: hosts.Five, host: str) -> float:
    """Give how many datagrams a host has taken so far."""
    return five.nodes[host].metric("gossipmesh_gossip_datagrams_total")


def test_they_find_each_other_all_at_once_with_a_dead_seed_first(five: hosts.Five) -> None:
    told = five.nodes["h1"].ask("members")["members"]
    assert {each["address"] for each in told} == {f"{hosts.address(each)}:7946" for each in hosts.SERVICES}


def test_a_tenth_of_all_packets_may_be_lost(five: hosts.Five) -> None:
    for host in hosts.SERVICES:
        five.drop(host, LOSS)
    before = probes(five, "h1")
    with five.asking("h1", HELLO, WORLD) as asking:
        eventually(lambda: probes(five, "h1") > before + 300, within_s=60.0)
        seen = {host: five.sees(host) for host in hosts.SERVICES}
    assert asking.failed == {}
    assert not [host for host, states in seen.items() if "dead" in states.values()]


def test_each_side_of_a_partition_goes_on_and_they_come_together_again(five: hosts.Five) -> None:
    left, right = ("h1", "h2", "h3"), ("h4", "h5")
    with five.asking("h1", HELLO, WORLD) as asking:
        five.partition(left, right)
        for side in (left, right):
            wanted = {host: "alive" if host in side else "dead" for host in hosts.SERVICES}
            for host in side:
                eventually(lambda host=host, wanted=wanted: five.sees(host) == wanted, within_s=60.0)
    # None of them could wait for the other side: it was found out while they were asked.
    assert asking.failed == {}
    with five.asking("h1", HELLO, WORLD) as cut:
        eventually(lambda: five.nodes["h1"].healthy("hello") == 1)
    assert cut.failed == {}
    # A connection from before is of no use for as long again as the partition lasted: TCP sends its next packets then.
    with five.asking("h1", HELLO) as whole:
        five.heal()
        five.all_alive()
        eventually(lambda: five.nodes["h1"].healthy("hello") == 2)
    assert whole.failed == {}


def test_who_is_deaf_to_one_other_takes_nobody_out_of_the_mesh(five: hosts.Five) -> None:
    five.drop("h1", f"ip saddr {hosts.address('h2')}")
    before = probes(five, "h1")
    with five.asking("h1", HELLO) as asking:
        eventually(lambda: probes(five, "h1") > before + 300, within_s=60.0)
        seen = {host: five.sees(host) for host in hosts.SERVICES}
    assert asking.failed == {}
    assert "hello from h4" in asking.answers
    for host, states in seen.items():
        assert "dead" not in states.values(), f"{host} sees {states}"
    five.heal()
    five.all_alive()
    eventually(lambda: "hello from h2" in answers_of(five, "h1"), within_s=60.0)


def answers_of(five: hosts.Five, host: str) -> str:
    with five.asking(host, HELLO) as asking:
        before = probes(five, host)
        eventually(lambda: probes(five, host) > before + 10)
    return json.dumps(asking.answers)


def test_a_host_without_udp_joins_and_stays(five: hosts.Five) -> None:
    for host in hosts.SERVICES:
        rule = "meta l4proto udp"
        five.drop(host, rule if host == "h5" else f"ip saddr {hosts.address('h5')} {rule}")
    # Its last run is over, so it begins from nothing, and hears no datagram from anybody.
    five.nodes["h5"].terminate()
    five.nodes["h5"].start().ready()
    five.all_alive("h5", within_s=90.0)
    five.all_alive(within_s=90.0)
    before = probes(five, "h1")
    with five.asking("h1", WORLD) as asking:
        eventually(lambda: probes(five, "h1") > before + 200, within_s=60.0)
        five.all_alive()
    assert asking.failed == {}
    assert "world from h5" in asking.answers


def test_an_address_that_nobody_reaches_is_said_at_join(five: hosts.Five) -> None:
    arguments = [each for each in five.nodes["h1"].arguments if not each.endswith("10.77.0.99")]
    ports = ["--bind", "0.0.0.0:7950", "--proxy", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    ports += ["--dns", "127.0.0.1:0"]
    lost = five.add("h1-lost", *(a for a in arguments if a != "--join"), *ports, "--advertise", "10.77.0.98")
    try:
        told = eventually(
            lambda: next((line for line in lost.log().splitlines() if "--advertise" in line), "")
        )
    finally:
        lost.kill()
    assert "10.77.0.98:7950" in told

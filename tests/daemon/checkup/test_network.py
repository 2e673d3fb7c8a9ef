"""Checks of a node's place among the others, each in each of its states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checkedfacts import assert_found
from gossipmesh.daemon.checkup import network
from gossipmesh.daemon.checkup.facts import Check, Facts, Fellow, Seed, State
from gossipmesh.daemon.checkup.network import CLOCK_WARN_S, DIFFERS_WARN_S
from gossipmesh.mesh.exchanges import Reached
from gossipmesh.model import MemberState, Serving

BOB = Fellow("bob", "0b" * 32)
CAROL = Fellow("carol", "0c" * 32)
DEAD = Fellow("dave", "0d" * 32, state=MemberState.DEAD)
GOOD, SILENT = Seed("192.0.2.9:7946", known=True), Seed("192.0.2.8:7946", known=True, why="refused")
UNASKED = Seed("192.0.2.7:7946", known=False)
SAYS_NO = Seed("192.0.2.8:7946", True, "revoked", "exchange.refused")
LOOPBACK = "127.0.0.1:7946"


def test_advice_about_ports_is_for_seeds_that_do_not_answer_and_not_for_those_that_say_no() -> None:
    assert "port 7946" in network.seeds(Facts(seeds=(SILENT,))).hint
    assert "port 7946" in network.seeds(Facts(seeds=(SAYS_NO, SILENT))).hint
    assert "port 7946" not in network.seeds(Facts(seeds=(SAYS_NO,))).hint


def far(name: str, *, blocked: bool = False, differs_s: float = 0.0) -> Fellow:
    return Fellow(name, "0e" * 32, udp_blocked=blocked, differs_s=differs_s)


@pytest.mark.parametrize(
    ("check", "facts", "state", "words"),
    [
        (network.join, Facts(), State.OK, "alone"),
        (network.join, Facts(members=(BOB, DEAD)), State.OK, "in step with 1 other member"),
        (network.join, Facts(not_ready="not in step with a seed yet"), State.FAIL, "not in step with a seed"),
        (network.join, Facts(serving=Serving.DRAINING, not_ready="x"), State.WARN, "draining"),
        (network.seeds, Facts(), State.OK, "none are configured"),
        (network.seeds, Facts(seeds=(GOOD,)), State.OK, "1 address good"),
        (network.seeds, Facts(seeds=(UNASKED,)), State.OK, "not asked yet"),
        (network.seeds, Facts(seeds=(GOOD, SILENT)), State.WARN, "192.0.2.8:7946 does not answer: refused"),
        (network.seeds, Facts(seeds=(SILENT,)), State.FAIL, "0 good"),
        (network.seeds, Facts(seeds=(SAYS_NO,)), State.FAIL, "192.0.2.8:7946 refuses: revoked"),
        (
            network.seeds,
            Facts(seeds=(GOOD,), unresolved=("the seed x does not resolve",)),
            State.WARN,
            "seed x",
        ),
        (network.seeds, Facts(unresolved=("the seed x does not resolve",)), State.FAIL, "the seed x"),
        (network.address, Facts(), State.OK, "nobody has looked"),
        (network.address, Facts(reached=Reached.YES, witness="bob"), State.OK, "by UDP and TCP: bob"),
        (network.address, Facts(reached=Reached.STREAM_ONLY, witness="bob"), State.WARN, "not by UDP"),
        (network.address, Facts(reached=Reached.DATAGRAMS_ONLY, witness="bob"), State.FAIL, "not by TCP"),
        (network.address, Facts(reached=Reached.NO, witness="bob"), State.FAIL, "not reached: bob"),
        (network.address, Facts(address=LOOPBACK, members=(BOB,)), State.FAIL, "which bob cannot dial"),
        (network.address, Facts(address=LOOPBACK, members=(DEAD,)), State.OK, "nobody has looked"),
        (network.udp, Facts(members=(BOB,)), State.OK, "no member"),
        (network.udp, Facts(members=(BOB, far("eve", blocked=True))), State.WARN, "this node and eve"),
        (network.udp, Facts(members=(far("eve", blocked=True),)), State.WARN, "none of their datagrams"),
        (network.clock, Facts(), State.OK, "no other clock"),
        (network.clock, Facts(clocks=(("bob", 2),)), State.OK, "1 clock met lately"),
        (
            network.clock,
            Facts(clocks=(("bob", 2), ("eve", -99), ("c", 0))),
            State.WARN,
            "eve (99 s ahead of ours)",
        ),
        (
            network.clock,
            Facts(clocks=(("bob", CLOCK_WARN_S + 1), ("eve", 90), ("c", 0))),
            State.WARN,
            f"{CLOCK_WARN_S + 1} s ahead of most members'",
        ),
        (network.clock, Facts(clock_refused="300 s ahead", clocks=(("bob", 0),)), State.WARN, "300 s ahead"),
        (network.clock, Facts(clock_refused="this clock is 300 s ahead"), State.FAIL, "300 s ahead"),
        (network.members, Facts(members=(BOB,)), State.OK, "1 other member, none"),
        (network.members, Facts(members=(BOB, DEAD)), State.WARN, "dead: dave"),
        (
            network.members,
            Facts(members=(Fellow("eve", "0e", state=MemberState.SUSPECT),)),
            State.WARN,
            "suspect: eve",
        ),
        (
            network.members,
            Facts(members=(Fellow("eve", "0e", state=MemberState.LEFT),)),
            State.OK,
            "no others",
        ),
        (network.agreement, Facts(members=(BOB,)), State.OK, "all that is known agrees"),
        (network.agreement, Facts(members=(far("eve", differs_s=1.0),)), State.OK, "1 member with news"),
        (
            network.agreement,
            Facts(members=(far("eve", differs_s=DIFFERS_WARN_S + 1), BOB)),
            State.WARN,
            "for up to 31 s: eve",
        ),
        (network.name, Facts(), State.OK, "nobody else's"),
        (network.name, Facts(shown_as="web-1~abab"), State.WARN, "shows as web-1~abab"),
        (network.name, Facts(members=(far("bob~0e0e"),)), State.WARN, "already: bob~0e0e"),
        (
            network.listening,
            Facts(listening=(("proxy", LOOPBACK), ("dns", "[::1]:53"))),
            State.OK,
            "this host only",
        ),
        (
            network.listening,
            Facts(listening=(("proxy", "0.0.0.0:4140"), ("upstream world", "192.0.2.1:9191"))),
            State.WARN,
            "may send requests as this node: proxy on 0.0.0.0:4140, upstream world on 192.0.2.1:9191",
        ),
        (network.listening, Facts(listening=(("admin", "[::]:4191"),)), State.WARN, "may read the mesh's"),
        (network.files, Facts(files_open=79, files_limit=100), State.OK, "79 of 100"),
        (network.files, Facts(files_open=10_000), State.OK, "10000 files"),
        (network.files, Facts(files_open=80, files_limit=100), State.WARN, "80 of 100"),
        (network.files, Facts(files_open=95, files_limit=100), State.FAIL, "95 of 100"),
    ],
)
def test_each_check_in_each_of_its_states(
    check: Callable[[Facts], Check], facts: Facts, state: State, words: str
) -> None:
    assert_found(check, facts, state, words)


def test_each_seed_is_in_the_details() -> None:
    details = network.seeds(Facts(seeds=(GOOD, SILENT, UNASKED))).details
    assert [each["answers"] for each in details] == ["yes", "no", "unknown"]
    assert details[1] == {"address": SILENT.address, "answers": "no", "why": "refused"}

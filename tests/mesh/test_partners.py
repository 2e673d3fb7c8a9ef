"""With whom registries are compared as a matter of routine."""

from __future__ import annotations

import random
from collections import Counter
from itertools import groupby

from gossipmesh.mesh.partners import PARTNERS, ROUNDS_EACH, Partners
from gossipmesh.model import NodeId

ALL = [NodeId(number.to_bytes(32, "big")) for number in range(20)]


def picked(rounds: int, living: list[NodeId], partners: Partners) -> list[NodeId]:
    found = [partners.next(lambda: living, lambda node: node in living) for _ in range(rounds)]
    return [node for node in found if node is not None]


def test_alone_there_is_nobody_to_compare_with() -> None:
    assert picked(3, [], Partners(rng=random.Random(1))) == []


def test_an_only_member_is_the_partner_of_every_round() -> None:
    assert picked(30, ALL[:1], Partners(rng=random.Random(1))) == ALL[:1] * 30


def test_few_partners_serve_for_a_while_and_then_give_way_to_others() -> None:
    rounds = picked(600, ALL, Partners(rng=random.Random(1)))
    window = PARTNERS * ROUNDS_EACH
    assert all(
        len(set(rounds[at : at + window])) <= 2 * PARTNERS for at in range(0, len(rounds) - window, window)
    )
    assert set(rounds) == set(ALL)
    assert max(Counter(rounds).values()) < 100
    assert all(len(list(run)) <= ROUNDS_EACH for _, run in groupby(rounds))


def test_a_partner_that_died_is_replaced_at_once() -> None:
    partners = Partners(rng=random.Random(1))
    [first] = picked(1, ALL, partners)
    left = [node for node in ALL if node != first]
    assert first not in picked(50, left, partners)

"""Unpacking: whatever the bytes say, they name no class that is not listed, and raise one thing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.members import Contact
from gossipmesh.membership.messages import Nack, RecordNews
from gossipmesh.membership.packing import PLANS, Packing, Tag, Texts
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.membership.suspicion import Suspicion
from gossipmesh.membership.unpacking import (
    MALFORMED,
    MAX_DEPTH,
    MAX_NUMBER,
    MAX_WORDS,
    OTHER_RELEASE,
    Unpacking,
)

if TYPE_CHECKING:
    from .conftest import Scene

NACK = PLANS[Nack].tag


def error_of(packed: Any, *, texts: list[bytes] | None = None) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        Unpacking(texts=texts).value_untrusted(packed)
    return caught.value.code


def test_an_object_of_a_listed_class_is_filled_in() -> None:
    assert Unpacking().value_untrusted([NACK, 5]) == Nack(5)


def test_a_class_that_this_release_does_not_have_is_named_as_the_reason() -> None:
    assert error_of([b"none", 5]) == OTHER_RELEASE


@pytest.mark.parametrize(
    "packed",
    [
        [],
        "text",
        {},
        [[]],
        [NACK],
        [NACK, 1, 2],
        [99],
        [True, b"x"],
        [int(Tag.TEXT)],
        [int(Tag.TEXT), b"\xff"],
        [int(Tag.TEXT), 1],
        [int(Tag.DICT), [1], []],
        [int(Tag.DICT), [[int(Tag.LIST)]], [1]],
        [int(Tag.SET), [int(Tag.LIST)]],
        [int(Tag.RECORD), b"no record"],
        [int(Tag.ACCUSATION), b"no accusation"],
        [int(Tag.ENUM), b"what", b"ever"],
        [int(Tag.NAMED), b"nobody"],
        [int(Tag.AGAIN), 0],
        [int(Tag.VIEW)],
        math.nan,
        math.inf,
        -math.inf,
        MAX_NUMBER * 2,
        [NACK, math.inf],
        [NACK, True],
        [NACK, b"5"],
        [PLANS[RecordNews].tag, [int(Tag.TUPLE), b"raw"]],
        [PLANS[Awareness].tag, 8],
    ],
    ids=repr,
)
def test_anything_else_is_malformed(packed: Any) -> None:
    assert error_of(packed) == MALFORMED


def test_a_number_for_a_byte_string_has_to_be_one() -> None:
    assert Unpacking(texts=[b"first"]).value_untrusted(b"\0\0\0") == b"first"
    assert error_of(b"\0\0\1", texts=[b"first"]) == MALFORMED
    assert error_of(b"\0", texts=[b"first"]) == MALFORMED


def test_what_is_nested_too_deep_is_malformed() -> None:
    packed: Any = 1
    for _ in range(MAX_DEPTH + 1):
        packed = [int(Tag.TUPLE), packed]
    assert error_of(packed) == MALFORMED


def packed_again(value: object) -> tuple[list[bytes], Any]:
    texts = Texts()
    packed = Packing(texts=texts).pack(value)
    return list(texts), packed


def test_only_a_time_that_may_be_never_is_infinite() -> None:
    texts, packed = packed_again(Contact())
    assert Unpacking(texts=texts).value_untrusted(packed) == Contact()
    for value in (
        Contact(alive_at=math.inf),
        Contact(alive_at=math.nan),
        Parameters(probe_period_s=math.inf),
        Suspicion((1, 0), mesh_size=3, parameters=LAN, now=-math.inf),
    ):
        texts, packed = packed_again(value)
        assert error_of(listed(packed), texts=texts) == MALFORMED


def listed(value: Any) -> Any:
    return [listed(each) for each in value] if isinstance(value, list | tuple) else value


def test_a_record_that_many_places_hold_is_decoded_once(scene: Scene) -> None:
    record = scene.record(1)
    back = Unpacking(texts=[record.signed.raw]).value_untrusted(
        [int(Tag.TUPLE), *[[int(Tag.RECORD), b"\0\0\0"]] * 100]
    )
    assert back == (record,) * 100
    assert len({id(each) for each in back}) == 1


def test_a_record_that_is_named_more_often_than_by_any_machine_is_malformed(scene: Scene) -> None:
    row = [int(Tag.TUPLE), *[[int(Tag.RECORD), b"\0\0\0"]] * 4_000]
    assert error_of([int(Tag.TUPLE), *[row] * 36], texts=[scene.record(1).signed.raw]) == MALFORMED


def holding(*held: Any) -> Any:
    """Give a suspicion that holds what none ever does; its class and the field are the texts :data:`OPEN`."""
    return [b"\0\0\0", b"\0\0\1", [int(Tag.TUPLE), *held]]


OPEN = [PLANS[Suspicion].tag, b"held"]


def test_what_is_larger_by_far_to_whoever_copies_it_is_malformed() -> None:
    """Each object holds the one before twice, so ten of them are a thousand."""
    doubling: list[Any] = [int(Tag.LIST), holding(1, 1)]
    for number in range(MAX_WORDS.bit_length()):
        doubling.append(holding([int(Tag.AGAIN), number], [int(Tag.AGAIN), number]))
    assert error_of(doubling, texts=OPEN) == MALFORMED
    few = Unpacking(texts=OPEN).value_untrusted(doubling[:11])
    assert [vars(each)["held"] for each in few[1:]] == [(each, each) for each in few[:-1]]


def test_an_object_that_holds_itself_is_malformed() -> None:
    assert error_of(holding([int(Tag.AGAIN), 0]), texts=OPEN) == MALFORMED


tags = st.sampled_from([int(tag) for tag in Tag]) | st.sampled_from([plan.tag for plan in PLANS.values()])
scalars = st.integers() | st.binary(max_size=4) | st.floats() | st.booleans() | st.none()
trees = st.recursive(
    scalars, lambda inner: st.tuples(tags, st.lists(inner, max_size=6)).map(lambda each: [each[0], *each[1]])
)


@given(trees)
def test_any_tree_is_a_value_or_one_error(packed: Any) -> None:
    try:
        Unpacking().value_untrusted(packed)
    except RemoteProtocolError as error:
        assert error.code in (MALFORMED, OTHER_RELEASE)

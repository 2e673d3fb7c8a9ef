"""Unpacking: whatever the bytes say, they name no class that is not listed, and raise one thing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.membership.messages import Nack
from gossipmesh.membership.packing import PLANS, Tag
from gossipmesh.membership.unpacking import MALFORMED, MAX_DEPTH, OTHER_RELEASE, Unpacking

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
        float("nan"),
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

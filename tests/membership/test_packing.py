"""Packing: what a machine is made of as arrays, numbers and bytes, and what is refused."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from gossipmesh.errors import LocalProtocolError
from gossipmesh.membership import packing
from gossipmesh.membership.messages import Ping
from gossipmesh.membership.packing import BY_TAG, MODULES, PLANS, Packing, Texts, flat
from gossipmesh.membership.probe import RoundTrip
from gossipmesh.membership.suspicions import Suspicions
from gossipmesh.membership.unpacking import Unpacking
from gossipmesh.model import MemberState, NodeId

PING = Ping(7, NodeId(b"t" * 32), b"r" * 16)


def there_and_back(value: Any) -> Any:
    return Unpacking().value_untrusted(listed(Packing().pack(value)))


def listed(value: Any) -> Any:
    """Give what comes back from the wire: every array as a list."""
    return [listed(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    "value",
    [0, -3, 2**40, 1.5, -0.5, True, None, b"", b"bytes", "text", (), (1, "two"), [1, [2]], {3, 1, 2}],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_a_table_and_the_values_in_it_come_back_as_they_were() -> None:
    table = {"a": (1,), b"b": {2}, PING: MemberState.DEAD, MemberState.LEFT: Counter("abca")}
    back = there_and_back(table)
    assert back == table
    assert list(back) == list(table)
    assert type(back[MemberState.LEFT]) is Counter


def test_an_object_that_can_change_is_one_object_again_where_two_places_hold_it() -> None:
    measured = RoundTrip()
    measured.add(0.25)
    texts = Texts()
    packed = listed(Packing(texts=texts).pack((measured, measured, RoundTrip())))
    one, two, other = Unpacking(texts=list(texts)).value_untrusted(packed)
    assert one is two
    assert one is not other
    assert one.timeout_s(least=0.0, most=9.0) == measured.timeout_s(least=0.0, most=9.0)


def test_a_call_holds_no_object_that_can_change() -> None:
    for value in (RoundTrip(), Suspicions()):
        with pytest.raises(LocalProtocolError, match="cannot be recorded"):
            Packing().pack((value,))


def test_a_byte_string_is_packed_once_and_by_its_number_from_then_on() -> None:
    texts = Texts()
    packed = Packing(texts=texts).pack((b"long", b"other", b"long"))
    assert list(texts) == [b"long", b"other"]
    assert Unpacking(texts=list(texts)).value_untrusted(listed(packed)) == (b"long", b"other", b"long")


def test_what_is_named_is_handed_in_again_and_not_packed() -> None:
    port = object()
    packed = Packing({id(port): "port"}).pack([port])
    assert Unpacking({"port": "another"}.get).value_untrusted(listed(packed)) == ["another"]


@define
class Stranger:
    """A class that no machine is made of."""

    number: int = 1


@pytest.mark.parametrize(
    "value", [Stranger(), deque([1]), object(), print], ids=lambda value: type(value).__name__
)
def test_an_object_of_another_class_is_refused(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be recorded"):
        Packing().pack(value)


def test_a_list_that_two_places_share_is_refused() -> None:
    shared = [1]
    with pytest.raises(LocalProtocolError, match="held in two places"):
        Packing().pack((shared, shared))


def test_a_list_that_is_too_long_for_a_message_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="too long"):
        Packing().pack([0] * 4_096)


def test_what_is_hashed_has_the_class_in_it() -> None:
    assert flat(PING) == (PLANS[Ping].tag, 7, b"t" * 32, b"r" * 16)
    assert flat(MemberState.DEAD) == "DEAD"
    with pytest.raises(LocalProtocolError):
        flat(Stranger())


def test_every_class_of_a_machine_has_a_tag_of_its_own() -> None:
    assert len(BY_TAG) == len(PLANS)
    files = {path.stem for path in Path(packing.__file__).parent.glob("*.py")}
    no_part_of_it = {"__init__", "packing", "unpacking", "recorded", "trace", "message_codec"}
    assert files - no_part_of_it == {module.__name__.rpartition(".")[2] for module in MODULES}

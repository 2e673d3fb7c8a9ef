"""Whatever TOML says: it is a scenario whose values have the types they should have, or exactly one error."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.sim.scenarios.file import FAULTS, MAX_TOLD, ScenarioFile, read_scenario_untrusted

Table = Mapping[str, Any]
HUGE = 2**70
"""Stands for a number that Python can read and cannot write."""

GOOD: Table = {
    "at": "1s",
    "nodes": ["n1", "n3-n4"],
    "groups": [["n0"], ["n1"]],
    "from": ["n0"],
    "to": ["n1"],
    "for": "2s",
    "blocked": "2s",
    "free": "0s",
    "by": "-3s",
    "share": 0.5,
    "between": ["1ms", "2ms"],
    "one_way": True,
    "silent": True,
    "lost_state": True,
    "new_address": True,
}
"""A value for each key of a fault."""
WHOLE: Table = {
    "nodes": 6,
    "duration": "30s",
    "profile": "wan",
    "lifeguard": False,
    "loss": 0.25,
    "fault": [],
    "expect": {},
}
EXPECT: Table = {
    "complete_within": "3s",
    "false_positives": 1,
    "false_positives_healthy": 2,
    "routability_false_positives": 3,
    "exercised": ["died"],
}


def toml(value: Any) -> str:
    """Write a value; a list of tables is a list of inline tables."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int():
            return f"0x{'f' * 5_000}" if value == HUGE else str(value)
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml(key)} = {toml(each)}' for key, each in value.items())}}}"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return repr(value)


def write(table: Table) -> bytes:
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in table.items()).encode()


texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(["n0", "n5-n0", "n00000", "0s", "-1s", "0.000000001ms", "9999999999d", "lan", "crash"]),
    st.builds("n{}".format, st.text("0123456789٣²-n", max_size=12)),
    st.sampled_from([f"n{'9' * 5_000}", "9" * 5_000, "x" * 5_000]),
)
numbers = st.one_of(
    st.integers(-3, 20), st.sampled_from([2**63, HUGE]), st.floats(), st.floats(0, 1), st.booleans()
)
dates = st.one_of(st.dates(), st.times(), st.datetimes())
keys = st.one_of(st.sampled_from([*WHOLE, *EXPECT, *GOOD, "do"]), texts)
values = st.recursive(
    st.one_of(texts, numbers, dates),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


def leaves(value: object) -> Iterator[object]:
    if attrs.has(type(value)):
        value = tuple(getattr(value, each.name) for each in attrs.fields(type(value)))  # type: ignore[arg-type]
    if isinstance(value, tuple):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def is_read_or_refused(data: bytes) -> ScenarioFile | None:
    try:
        scenario = read_scenario_untrusted(data, "x.toml")
    except ConfigError as error:
        assert error.code == "scenario.file"
        assert str(error).isprintable()
        assert len(str(error)) < MAX_TOLD + 100
        return None
    for leaf in leaves(scenario):
        assert isinstance(leaf, str | int | float | None)
        assert not isinstance(leaf, float) or math.isfinite(leaf)
    assert type(scenario.nodes) is int
    assert type(scenario.loss) is float
    assert type(scenario.lifeguard) is bool
    for each in scenario.faults:
        assert each.do != "slow" or each.blocked_s + each.free_s > 0
        assert all(type(part) is float for part in (each.at_s, each.lasting_s, each.share, each.offset_s))
        assert all(
            type(part) is bool for part in (each.one_way, each.silent, each.lost_state, each.new_address)
        )
    return scenario


def test_the_values_that_are_replaced_below_are_fine() -> None:
    every = [
        {"do": do, **{key: GOOD[key] for key in GOOD if key in a | b | {"at"}}}
        for do, (a, b) in FAULTS.items()
    ]
    scenario = is_read_or_refused(write({**WHOLE, "fault": every, "expect": EXPECT}))
    assert scenario is not None
    assert len(scenario.faults) == len(FAULTS)


@given(st.dictionaries(keys, values, max_size=6))
def test_any_document_is_read_or_refused(document: Table) -> None:
    is_read_or_refused(write(document))
    is_read_or_refused(write({**WHOLE, **document}))


@given(st.sampled_from(sorted(WHOLE)), values)
def test_any_value_of_a_key_is_read_or_refused(key: str, value: object) -> None:
    is_read_or_refused(write({**WHOLE, key: value}))


@given(st.sampled_from(sorted(EXPECT)), values)
def test_any_expectation_is_read_or_refused(key: str, value: object) -> None:
    is_read_or_refused(write({**WHOLE, "expect": {**EXPECT, key: value}}))


@given(st.sampled_from(sorted(FAULTS)), st.data())
def test_any_value_of_a_fault_is_read_or_refused(do: str, data: st.DataObject) -> None:
    required, optional = FAULTS[do]
    fault = {"do": do, "at": "1s", **{key: GOOD[key] for key in sorted(required | optional)}}
    key = data.draw(st.sampled_from(sorted(fault)))
    is_read_or_refused(write({**WHOLE, "fault": [{**fault, key: data.draw(values)}]}))

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.config.durations import MAX_DURATION_S, format_duration, parse_duration
from gossipmesh.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("15s", 15), ("1.5m", 90), ("24h", 86_400), ("365d", 31_536_000), ("0s", 0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["15", "0.5", "3000"])
def test_a_bare_number_is_told_which_units_it_may_have_meant(text: str) -> None:
    with pytest.raises(ConfigError, match=f'write "{text}s" or "{text}ms"'):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 s", "1S", "1h30m", "1e3s", "1s\n", "\u0661s", "nan", "1us"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        parse_duration(text)


def test_a_duration_of_more_than_a_hundred_years_is_a_slip() -> None:
    with pytest.raises(ConfigError, match="hundred years"):
        parse_duration("99999d")


@given(st.integers(1, int(MAX_DURATION_S)))
def test_whole_seconds_survive_being_shown_and_read(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(1, 999))
def test_milliseconds_survive_being_shown_and_read(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_no_limit_is_shown_as_none() -> None:
    assert format_duration(math.inf) == "none"


@given(st.text(max_size=12))
def test_text_gives_seconds_or_one_kind_of_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ConfigError:
        return
    assert 0 <= seconds <= MAX_DURATION_S

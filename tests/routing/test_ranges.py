"""What a setting may be."""

from __future__ import annotations

import pytest
from attrs import field, frozen

from gossipmesh.errors import ConfigError
from gossipmesh.routing.ranges import within


@frozen
class Settings:
    wait_s: float = field(default=1.0, validator=within(0.5, 10.0, off=0))


@pytest.mark.parametrize("right", [0.5, 10, 10.0, 0, 0.0])
def test_the_bounds_and_what_switches_it_off_are_within(right: float) -> None:
    assert Settings(right).wait_s == right


@pytest.mark.parametrize("wrong", [0.4, 10.1, -1, float("nan"), float("inf"), True, False, "1", None])
def test_anything_else_is_refused_with_its_name_and_the_bounds(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"^wait_s: .* is not from 0\.5 to 10, or 0$"):
        Settings(wrong)  # type: ignore[arg-type]

"""What ``policy apply`` takes for a stage."""

from __future__ import annotations

import click
import pytest

from gossipmesh.cli.applying import read_stage
from gossipmesh.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "share", "hold_s"), [("10%,5m", 100, 300), ("0.5%,1s", 5, 1), ("100%,7d", 1_000, 604_800)]
)
def test_a_stage_is_a_share_and_a_time(text: str, share: int, hold_s: int) -> None:
    stage = read_stage(text)
    assert (stage.share, stage.hold_s) == (share, hold_s)


@pytest.mark.parametrize(
    "text", ["", "10", "10%", "10,5m", "%,5m", "nan%,5m", "0%,5m", "101%,5m", "10%,0s", "10%,8d", "x%,5m"]
)
def test_what_is_no_stage_says_what_would_be_one(text: str) -> None:
    with pytest.raises(ConfigError, match="stage"):
        read_stage(text)


@pytest.mark.parametrize("text", ["10%,5", "10%,soon"])
def test_what_is_no_time_says_so(text: str) -> None:
    with pytest.raises(click.BadParameter):
        read_stage(text)

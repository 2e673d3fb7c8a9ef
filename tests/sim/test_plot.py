from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gossipmesh.errors import ConfigError
from gossipmesh.sim.plot import check_plot, draw
from gossipmesh.sim.report import Report, report
from gossipmesh.sim.scenarios.plan import Outcome, Plan

Drawn = Callable[..., str]


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """Draw reports; give the picture's text: each label is in a comment, where no two dashes may meet."""

    def make(*made: Report) -> str:
        path = tmp_path / "plot.svg"
        check_plot(path)
        draw(made, path)
        return path.read_text()

    return make


def test_news_is_drawn_as_the_share_that_knows_over_time(
    drawn: Drawn, plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [outcome(seed, curve=(0.1, 0.2 * seed, 0.5 * seed), knowers=3) for seed in (1, 2, 3)]
    text = drawn(report(plan("update", nodes=4), range(1, 4), runs, wall_s=0.0))
    assert "time since the change (s)" in text
    assert "members that know (share)" in text
    assert "gossipmesh sim - -scenario update - -nodes 4 - -seeds 3" in text


def test_times_are_drawn_over_the_number_of_nodes(
    drawn: Drawn, plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    made = [
        report(
            plan("crash", nodes=nodes),
            range(1, 2),
            [outcome(1, figures={"first_detection_s": 4.0 + nodes})],
            wall_s=0.0,
        )
        for nodes in (8, 16)
    ]
    text = drawn(*made)
    assert "- -nodes 8,16" in text
    assert "time (s)" in text


def test_false_positives_are_drawn_over_the_number_of_slow_members(
    drawn: Drawn, plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    made = [
        report(
            plan("slow", nodes=8, slow_members=slow),
            range(1, 2),
            [outcome(1, counts={"false_positives": slow})],
            wall_s=0.0,
        )
        for slow in (1, 2)
    ]
    text = drawn(*made)
    assert "slow members" in text
    assert "false positives in a run" in text


def test_other_times_are_drawn_as_the_share_of_runs(
    drawn: Drawn, plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [outcome(seed, figures={"healed_s": float(seed)}) for seed in (1, 2)]
    assert "runs in which it was at most this (share)" in drawn(
        report(plan("partition"), range(1, 3), runs, wall_s=0.0)
    )


def test_what_measured_nothing_cannot_be_drawn(
    drawn: Drawn, plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    with pytest.raises(ConfigError, match="loss measures nothing that could be drawn"):
        drawn(report(plan("loss"), range(1, 2), [outcome(1)], wall_s=0.0))


def test_a_plot_that_cannot_be_written_is_refused_before_any_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, said in (
        (tmp_path / "plot.gif", "name it"),
        (tmp_path / "nowhere" / "plot.svg", "there is no directory"),
        (file / "plot.svg", "there is no directory"),
        (tmp_path / ("x" * 300) / "plot.svg", "too long"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_plot(path)
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_one_line(
    plan: Callable[..., Plan], outcome: Callable[..., Outcome], tmp_path: Path
) -> None:
    made = report(plan("partition"), range(1, 2), [outcome(1, figures={"healed_s": 1.0})], wall_s=0.0)
    with pytest.raises(ConfigError, match="No such file or directory"):
        draw([made], tmp_path / "nowhere" / "plot.svg")

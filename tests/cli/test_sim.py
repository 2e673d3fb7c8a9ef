from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gossipmesh.cli.main import cli
from gossipmesh.cli.sim import Lines, _warn_of_memory
from gossipmesh.membership.parameters import PROFILES
from gossipmesh.sim.scenarios.catalogue import SCENARIOS

NEVER = 'nodes = 3\nduration = "2s"\n[expect]\nexercised = ["died"]\n'


def sim(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sim", *arguments])


def test_json_is_one_document_alone_on_stdout() -> None:
    result = sim("--nodes", "4", "--seeds", "2", "--jobs", "1", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    made = json.loads(result.stdout)
    assert (made["scenario"], made["nodes"], made["seeds"], made["failures"]) == ("crash", 4, 2, [])
    assert made["first_detection_s"]["runs"] == 2


def test_several_numbers_and_scenarios_are_run_one_after_the_other() -> None:
    result = sim("--scenario", "update", "--scenario", "crash", "--nodes", "4,3", "--seeds", "1", "--json")
    runs = json.loads(result.stdout)["runs"]
    assert [(each["scenario"], each["nodes"]) for each in runs] == [
        ("update", 3),
        ("update", 4),
        ("crash", 3),
        ("crash", 4),
    ]


def test_people_get_a_table() -> None:
    result = sim("--scenario", "update", "--nodes", "4", "--seeds", "1")
    assert result.exit_code == 0
    assert "a change to everybody" in result.stdout
    assert "0 (at most 3 a run)" in result.stdout
    short = sim("--scenario", "update", "--nodes", "3,4", "--seeds", "1").stdout.splitlines()
    assert short[0].split()[:5] == ["SCENARIO", "NODES", "SLOW", "RUNS", "FAILED"]
    assert [line.split()[1] for line in short[1:]] == ["3", "4"]


def test_all_scenarios_are_listed_with_what_happens() -> None:
    lines = sim("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(SCENARIOS)


def test_a_claim_that_breaks_is_status_1_with_the_seed_and_how_to_run_it_alone(tmp_path: Path) -> None:
    file = tmp_path / "never.toml"
    file.write_text(NEVER)
    result = sim("--scenario", str(file), "--seeds", "1", "--seed", "8")
    assert result.exit_code == 1
    assert "seed 8, t=" in result.stderr
    assert f"run it alone: gossipmesh sim --scenario {file} --seeds 1 --seed 8" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "crsh"], "there is no scenario 'crsh'; did you mean crash?"),
        (["--scenario", "no.toml"], "no.toml: No such file or directory"),
        (["--nodes", "x"], "'x' is no whole number"),
        (["--nodes", "1"], "--nodes 1: crash takes 2 to 10000"),
        (["--duration", "-3s", "--scenario", "idle"], "'-3s' is not a duration"),
        (["--duration", "3", "--scenario", "idle"], "3 has no unit"),
        (["--seeds", "0"], "0 is not in the range"),
        (["--loss", "1.5"], "1.5 is not in the range"),
        (["--loss", "nan"], "--loss nan: it is a share from 0 to 1"),
        (["--plot", "/nonexistent/x.png"], "--plot /nonexistent/x.png: there is no directory /nonexistent"),
        (["--plot", "x.gif"], "--plot x.gif: name it *.png, *.svg, *.pdf"),
        (["--plot", "x.png", "--scenario", "all"], "--plot draws one scenario"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    result = sim(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("beside", [("--nodes", "8"), ("--seed", "1"), ("--scenario", "crash"), ("--list",)])
def test_a_recording_is_run_as_it_was_and_other_options_are_refused(beside: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["sim", "--replay", "trace", *beside])
    if "--list" in beside:
        assert result.exit_code == 0
    else:
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert f"leave {beside[0]} out" in result.stderr


def test_runs_that_need_more_memory_than_there_is_are_told_of_before_they_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _warn_of_memory(64, 2)
    assert capsys.readouterr().err == ""
    _warn_of_memory(999_999, 2)
    said = capsys.readouterr().err
    assert "2 runs at a time of 999999 nodes may take" in said
    assert said.count("\n") == 1


def test_ctrl_c_ends_it_at_once_and_says_how_much_was_done() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    # Processor time of this process: real time would be a guess on a busy machine.
    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1.0)
    try:
        result = sim(
            "--scenario", "loss", "--nodes", "8", "--seeds", "99", "--jobs", "1", "--duration", "20h"
        )
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert result.exit_code == 130
    assert result.stderr.strip() == "gossipmesh: interrupted; 0 of 99 runs were done"


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    file = tmp_path / "spread.svg"
    assert sim("--scenario", "update", "--nodes", "4", "--seeds", "2", "--plot", str(file)).exit_code == 0
    assert file.read_text().startswith("<?xml")


def test_progress_is_silent_on_short_runs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(5)
    lines.tick(0.0, 12.0)
    lines.done(1)
    assert capsys.readouterr().err == ""


def test_the_profiles_offered_are_those_that_there_are() -> None:
    assert [f"[{'|'.join(PROFILES)}]"] == [
        word for word in sim("--help").stdout.split() if word.startswith("[local")
    ]

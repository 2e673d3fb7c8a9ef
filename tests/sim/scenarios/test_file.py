from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.sim.scenarios.file import (
    FAULTS,
    MAX_FAULTS,
    MAX_FILE_BYTES,
    MAX_NAMED,
    MAX_NODES,
    Expectation,
    Fault,
    read_scenario_untrusted,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "simulation" / "two-rooms.toml"
HEAD = 'nodes = 6\nduration = "30s"\n'


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_scenario_untrusted(text.encode(), "x.toml")
    assert caught.value.code == "scenario.file"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def fault(body: str) -> str:
    return f"{HEAD}[[fault]]\n{body}"


def test_a_file_is_read_into_faults_in_the_order_of_their_times() -> None:
    text = f"""{HEAD}
        [[fault]]
        at = "20s"
        do = "repair"
        [[fault]]
        at = "10s"
        do = "partition"
        groups = [["n0-n2"], ["n3", "n4-n5"]]
        [[fault]]
        at = "20s"
        do = "skew"
        nodes = ["n1"]
        by = "-90s"
        [expect]
        complete_within = "45s"
        false_positives = 0
        exercised = ["died"]
    """
    scenario = read_scenario_untrusted(text.encode(), "x.toml")
    assert scenario.faults == (
        Fault(10.0, "partition", groups=(("n0", "n1", "n2"), ("n3", "n4", "n5"))),
        Fault(20.0, "repair"),
        Fault(20.0, "skew", nodes=("n1",), offset_s=-90.0),
    )
    assert scenario.expect == Expectation(complete_within_s=45.0, false_positives=0, exercised=("died",))
    assert (scenario.nodes, scenario.duration_s, scenario.profile) == (6, 30.0, "lan")


def test_the_example_is_a_scenario() -> None:
    assert len(read_scenario_untrusted(EXAMPLE.read_bytes(), EXAMPLE.name).faults) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            fault('at = "5s"\ndo = "crush"'),
            "x.toml, [[fault]] 1: do: 'crush' is no fault; did you mean crash?",
        ),
        (fault('at = "5s"\ndo = 3'), "x.toml, [[fault]] 1: do: 3 is no fault; known are bounce, crash,"),
        (fault('at = "5s"'), "x.toml, [[fault]] 1: do: it is missing"),
        (fault('do = "repair"'), "x.toml, [[fault]] 1: at: it is missing"),
        (fault('at = "-5s"\ndo = "repair"'), "x.toml, [[fault]] 1: at: -5s is negative"),
        (fault('at = -5\ndo = "repair"'), "x.toml, [[fault]] 1: at: -5 is negative"),
        (fault('at = 5\ndo = "repair"'), 'x.toml, [[fault]] 1: at: 5 has no unit; write "5s"'),
        (fault('at = "2m"\ndo = "repair"'), "x.toml, [[fault]] 1: at: it is after the end, duration = '30s'"),
        (fault('at = "5s"\ndo = "crash"'), "x.toml, [[fault]] 1: nodes: it is missing"),
        (
            fault('at = "5s"\ndo = "crash"\nnode = ["n1"]'),
            "x.toml, [[fault]] 1: node: it is unknown here; did you mean nodes?",
        ),
        (
            fault('at = "5s"\ndo = "crash"\nnodes = ["n6"]'),
            "x.toml, [[fault]] 1: nodes: 'n6' is no node; they are n0 to n5",
        ),
        (
            fault('at = "5s"\ndo = "crash"\nnodes = ["n4-n2"]'),
            "x.toml, [[fault]] 1: nodes: 'n4-n2' is no node",
        ),
        (fault('at = "5s"\ndo = "crash"\nnodes = []'), "x.toml, [[fault]] 1: nodes: it names no node"),
        (
            fault('at = "5s"\ndo = "partition"\ngroups = [["n0"], ["n0"]]'),
            "x.toml, [[fault]] 1: groups: n0 is in it twice",
        ),
        (
            fault('at = "5s"\ndo = "lose"\nshare = 1.5'),
            "x.toml, [[fault]] 1: share: 1.5 is not a share from 0 to 1",
        ),
        (
            fault('at = "5s"\ndo = "delay"\nbetween = ["5s", "1s"]'),
            "x.toml, [[fault]] 1: between: 5s is more than 1s",
        ),
        ("nodes = 6", "x.toml: duration: it is missing"),
        ('nodes = 0\nduration = "5s"', "x.toml: nodes: 0 is not a whole number from 1 to 10000"),
        (f"{HEAD}nods = 3", "x.toml: nods: it is unknown here; did you mean nodes?"),
        (f'{HEAD}profile = "lam"', "x.toml: profile: there is no 'lam'; did you mean lan?"),
        (f'{HEAD}profile = ["lan"]', "x.toml: profile: a list is not a string"),
        (f"{HEAD}loss = nan", "x.toml: loss: nan is not a share from 0 to 1"),
        (
            fault('at = "1s"\ndo = "slow"\nnodes = ["n1"]\nblocked = "0s"\nfree = "0s"\nfor = "1s"'),
            "x.toml, [[fault]] 1: blocked: with free it is less than 1ms",
        ),
        (
            fault(
                'at = "1s"\ndo = "slow"\nnodes = ["n1"]\nblocked = "0.000000001ms"\nfree = "0s"\nfor = "1s"'
            ),
            "x.toml, [[fault]] 1: blocked: with free it is less than 1ms",
        ),
        (f"nodes = {'9' * 5_000}", "x.toml holds a number of too many digits"),
        (
            f"duration = '1s'\nnodes = 0x{'f' * 5_000}",
            "x.toml: nodes: so long a number is not a whole number from 1 to",
        ),
        (f"nodes = {'.'.join('a' * 2_000)} = 1", "x.toml is no TOML: "),
        (
            f"nodes.{'.'.join('a' * 2_000)} = 1\nduration = '1s'",
            "x.toml: nodes: a table is not a whole number",
        ),
        (
            fault(f'at = "5s"\ndo = "crash"\nnodes = ["n{"9" * 5_000}"]'),
            "x.toml, [[fault]] 1: nodes: 'n9999999",
        ),
        (
            fault('at = "5s"\ndo = "crash"\nnodes = ["n\u0663"]'),
            "x.toml, [[fault]] 1: nodes: 'n\u0663' is no node; they are n0 to n5",
        ),
        (f'{HEAD}"a\\nb" = 3', "x.toml: a?b: it is unknown here"),
        (f"{HEAD}fault = 3", "x.toml: fault: write each one as a table of its own, [[fault]]"),
        (
            f"{HEAD}[expect]\nfalse_positive = 0",
            "x.toml, [expect]: false_positive: it is unknown here; did you",
        ),
        (
            f"{HEAD}[expect]\nfalse_positives = -1",
            "x.toml, [expect]: false_positives: -1 is not a whole number",
        ),
        (
            f'{HEAD}[expect]\nexercised = ["die"]',
            "x.toml, [expect]: exercised: nothing is counted as 'die'; did you mean died?",
        ),
        ("nodes = [", "x.toml is no TOML: "),
    ],
)
def test_what_is_wrong_is_one_line_that_names_place_and_key(text: str, said: str) -> None:
    assert refusal(text).startswith(said)


def test_a_file_is_bounded() -> None:
    assert refusal("#" * (MAX_FILE_BYTES + 1)) == "x.toml is longer than 256 KiB"
    many = '[[fault]]\nat = "1s"\ndo = "heal"\n' * (MAX_FAULTS + 1)
    assert refusal(HEAD + many) == f"x.toml: fault: there are more than {MAX_FAULTS}"


def test_ranges_of_nodes_that_are_short_to_write_fill_no_memory() -> None:
    whole_mesh = f'"n0-n{MAX_NODES - 1}"'
    head = f'nodes = {MAX_NODES}\nduration = "1s"\n[[fault]]\nat = "1s"\ndo = "hold"\n'
    said = refusal(f"{head}nodes = [{', '.join([whole_mesh] * (MAX_NAMED // MAX_NODES + 1))}]")
    assert said == f"x.toml, [[fault]] 1: nodes: with it the faults name more than {MAX_NAMED:,} nodes"


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_the_worst_is_one_error(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read_scenario_untrusted(data, "x.toml")


@given(
    do=st.sampled_from(sorted(FAULTS)),
    key=st.sampled_from(["nodes", "groups", "from", "for", "share", "between", "by", "one_way", "at"]),
    value=st.sampled_from(['"x"', "3", "-1", "[]", "[[]]", '["n1"]', "true", '"3s"', "1e999", "nan", '""']),
)
def test_a_wrong_value_anywhere_is_one_error_or_fine(do: str, key: str, value: str) -> None:
    try:
        read_scenario_untrusted(fault(f'do = "{do}"\n{key} = {value}').encode(), "x.toml")
    except ConfigError as error:
        assert str(error).startswith("x.toml, [[fault]] 1: ")

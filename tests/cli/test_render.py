from __future__ import annotations

import pytest

from gossipmesh.cli.render import coloured, plain_table, show_pairs, show_table, span


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert plain_table(("A", "LONG"), [("wide cell", "x"), ("y", "z")]) == [
        "A          LONG",
        "wide cell  x",
        "y          z",
    ]


def test_an_empty_cell_is_a_dash_and_none_can_draw_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table(("A", "B"), [("", "x\x1b[31m\u202e")])
    show_pairs([("name", "a\nb"), ("zone", "")])
    assert capsys.readouterr().out == "A  B\n-  x?[31m?\nname  a?b\nzone  -\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0.9, "0s"), (59, "59s"), (3_725, "1h 2m"), (86_400, "1d"), (90_061, "1d 1h")],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, True),
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
    ],
)
def test_colours_are_for_who_wants_them(environ: dict[str, str], wanted: bool) -> None:
    assert coloured(environ) is wanted

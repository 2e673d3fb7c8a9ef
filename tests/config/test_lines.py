"""Lines of keys: in TOML written by people, and by whoever wants to confuse a reader of lines."""

from __future__ import annotations

import pytest

from gossipmesh.config.lines import line_of, lines_of

TEXT = '''# a comment with [[rule]] in it
mode = "enforce"   # mode = "audit"

[[rule]]
action = "deny"
from = [
  "service:web",  # ]
  "group:ops",
]
to = ["orders"]

[[ "rule" ]]
action = """
[[rule]]
name = 'x'
"""
'name' = \'\'\'
]] = \'\'\'
paths = ["/#"]

[service.hello]
retries.attempts = 2
rate = { per_second = 3,  burst = 4 }
[service."*".limits]
queue = 1
[service . hello . ejection]
share = 3
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("mode",), 2),
        (("rule",), 4),
        (("rule", 0), 4),
        (("rule", 0, "from"), 6),
        (("rule", 0, "to"), 10),
        (("rule", 1), 12),
        (("rule", 1, "action"), 13),
        (("rule", 1, "name"), 17),
        (("rule", 1, "paths"), 19),
        (("service", "hello"), 21),
        (("service", "hello", "retries", "attempts"), 22),
        (("service", "hello", "rate", "burst"), 23),
        (("service", "*", "limits", "queue"), 25),
        (("service", "*", "limits", "unknown"), 24),
        (("service", "hello", "ejection", "share"), 27),
        (("nothing",), 1),
    ],
)
def test_each_key_is_found_where_it_stands(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(lines_of(TEXT), path) == line


def test_a_table_in_an_array_of_tables_belongs_to_its_newest() -> None:
    lines = lines_of(
        "[[rule]]\n[rule.more]\nx = 1\n[[rule]]\n[rule.more]\nx = 2\n[[rule.list]]\n[[rule.list]]\ny = 1"
    )
    assert line_of(lines, ("rule", 0, "more", "x")) == 3
    assert line_of(lines, ("rule", 1, "more", "x")) == 6
    assert line_of(lines, ("rule", 1, "list", 1, "y")) == 9


def test_lines_may_end_as_windows_ends_them() -> None:
    assert (
        line_of(lines_of('mode = "audit"\r\n\r\n[[rule]]\r\nto = [\r\n]\r\nname = "x"'), ("rule", 0, "name"))
        == 6
    )

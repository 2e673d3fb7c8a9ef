"""What may be asked of the requests that ended lately, and what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.daemon.admin.requests_view import (
    DEFAULT_LAST,
    MAX_TOLD,
    Cursor,
    RequestsAsked,
    requests_asked,
)
from gossipmesh.errors import ConfigError


def test_no_question_at_all_asks_for_the_last_ones_of_all() -> None:
    assert requests_asked("") == RequestsAsked(last=DEFAULT_LAST)


def test_each_field_narrows_the_question() -> None:
    asked = requests_asked("after=3.17&service=hello&direction=inbound&failed=yes")
    assert asked == RequestsAsked(Cursor(3, 17), service="hello", direction="inbound", failed=True)
    assert requests_asked("last=5") == RequestsAsked(last=5)


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_a_cursor_is_read_as_it_is_written(boot: int, number: int) -> None:
    assert requests_asked(f"after={Cursor(boot, number)}").after == Cursor(boot, number)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("after=1", "no cursor"),
        ("after=1.2.3", "no cursor"),
        ("after=-1.2", "no cursor"),
        ("after=1.1234567890123456789", "no cursor"),
        ("after=", "no cursor"),
        ("after=1.%C2%B2", "no cursor"),
        (f"last={MAX_TOLD + 1}", f"0 to {MAX_TOLD}"),
        ("last=-1", f"0 to {MAX_TOLD}"),
        ("last=ten", f"0 to {MAX_TOLD}"),
        ("service=Hello", "no service's name"),
        ("direction=sideways", "neither inbound nor outbound"),
        ("failed=1", "say yes"),
        ("last=1&last=2", "each once"),
        ("after=1.2&last=3", "that is for the first question"),
        ("lats=1", "it takes"),
        ("nonsense", "write ?NAME=VALUE"),
        ("last=1&" * 9, "write ?NAME=VALUE"),
    ],
)
def test_what_is_no_question_is_refused_with_what_is_wrong(query: str, text: str) -> None:
    with pytest.raises(ConfigError, match="this is no question") as refused:
        requests_asked(query)
    assert text in str(refused.value)

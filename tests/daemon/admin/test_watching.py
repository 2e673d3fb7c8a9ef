"""What blocking queries and followers ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.daemon.admin.changes import MEMBERS, READY, SERVICES, Topic
from gossipmesh.daemon.admin.watching import (
    DEFAULT_WAIT_S,
    MAX_WAIT_S,
    Follow,
    Wait,
    follow_of,
    topic_of,
    wait_of,
)
from gossipmesh.errors import ConfigError


@pytest.mark.parametrize(
    ("target", "topic"),
    [
        ("/v1/members", (MEMBERS, "")),
        ("/v1/services?wait=1s", (SERVICES, "")),
        ("/v1/services/web", (SERVICES, "web")),
        ("/v1/endpoints/web?index=1", (SERVICES, "web")),
        ("/readyz", (READY, "")),
        ("/v1/services/Web", None),
        ("/v1/status", None),
        ("/healthz", None),
    ],
)
def test_what_can_be_waited_for_depends_on_one_thing(target: str, topic: Topic | None) -> None:
    assert topic_of(target) == topic


def test_a_wait_has_an_index_and_a_limit() -> None:
    assert wait_of("/v1/members") is None
    assert wait_of("/v1/members?wait=30s") is None
    assert wait_of("/v1/members?index=7&wait=30s") == Wait(7, 30.0)
    assert wait_of("/v1/members?index=7") == Wait(7, DEFAULT_WAIT_S)
    assert wait_of("/v1/members?index=7&wait=24h") == Wait(7, MAX_WAIT_S)
    assert wait_of("/readyz?verbose&index=0") == Wait(0, DEFAULT_WAIT_S)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("index=x", "index: 'x' is no index"),
        ("index=-1", "is no index"),
        ("index=" + "9" * 40, "is no index"),
        ("index=1&wait=30", 'wait: 30 has no unit; write "30s"'),
        ("index=1&wait=0s", "above zero"),
        ("&".join(["a=b"] * 40), "at most 16 fields"),
    ],
)
def test_what_is_wrong_with_a_wait_is_said(query: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        wait_of(f"/v1/members?{query}")
    assert words in str(refused.value)


def test_a_follower_says_of_what_and_from_where() -> None:
    both = frozenset({SERVICES, MEMBERS})
    assert follow_of("/v1/events", "") == Follow(both, None)
    assert follow_of("/v1/events?types=services&index=4", "") == Follow(frozenset({SERVICES}), 4)
    # A browser that lost its connection says more than the address that its page once had.
    assert follow_of("/v1/events?index=4", "9") == Follow(both, 9)
    assert follow_of("/v1/events", "no number") == Follow(both, -1)
    with pytest.raises(ConfigError, match="types: 'x' is none of services, members"):
        follow_of("/v1/events?types=x", "")


@given(
    st.text(st.characters(codec="ascii"), max_size=60), st.text(st.characters(codec="latin-1"), max_size=30)
)
def test_any_query_is_understood_or_refused(query: str, last: str) -> None:
    for read in (lambda: wait_of(f"/v1/services?{query}"), lambda: follow_of(f"/v1/events?{query}", last)):
        try:
            read()
        except ConfigError as error:
            assert "\n" not in str(error)

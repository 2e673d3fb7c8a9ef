"""The cookie that keeps a session."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.balancing.cookies import (
    MAX_COOKIE_BYTES,
    read_cookie_untrusted,
    set_cookie,
    token_of,
)

TOKEN = b"0123456789abcdef" * 2


@pytest.mark.parametrize(
    "headers",
    [
        [b"gm=" + TOKEN],
        [b"a=b; gm=" + TOKEN + b"; c=d"],
        [b"a=b;gm=" + TOKEN],
        [b"a=b", b"gm=" + TOKEN],
        [b"gmx=1; xgm=2; GM=3; gm=" + TOKEN],
        [b"x=gm; gm=" + TOKEN],
        [b"x" * (MAX_COOKIE_BYTES + 1), b"gm=" + TOKEN],
    ],
)
def test_our_cookie_is_found_among_others(headers: list[bytes]) -> None:
    assert read_cookie_untrusted(headers, b"gm") == TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"gm"],
        [b"gm="],
        [b"gm=" + TOKEN[:-1]],
        [b"gm=" + TOKEN + b"0"],
        [b"gm=" + TOKEN.upper()],
        [b'gm="' + TOKEN + b'"'],
        [b"gm =" + TOKEN],
        [b"gm=" + TOKEN + b"; gm=" + TOKEN],
        [b"gm=" + TOKEN, b"gm=" + TOKEN],
        [b"x=1" * MAX_COOKIE_BYTES + b"; gm=" + TOKEN],
        [b"gm=" + TOKEN + b"\n"],
    ],
)
def test_what_is_not_exactly_ours_is_no_cookie(headers: list[bytes]) -> None:
    assert read_cookie_untrusted(headers, b"gm") is None


@given(
    headers=st.lists(st.binary(max_size=60) | st.sampled_from([b"gm=" + TOKEN, b"gm=", b"gm"]), max_size=4)
)
def test_whatever_comes_the_answer_is_a_token_or_none(headers: list[bytes]) -> None:
    found = read_cookie_untrusted(headers, b"gm")
    assert found is None or len(found) == len(TOKEN)


def test_what_we_set_we_read_again_and_scripts_do_not(lab: ModuleType) -> None:
    token = token_of(lab.node_id("a"), "hello", lab.KEY)
    header = set_cookie(b"gm", token)
    pair, *attributes = header.split(b"; ")
    assert read_cookie_untrusted([pair], b"gm") == token
    assert attributes == [b"Path=/", b"HttpOnly", b"SameSite=Lax"]


def test_a_token_tells_nobody_which_node_it_means_and_is_of_one_service_and_one_mesh(lab: ModuleType) -> None:
    tokens = {
        token_of(lab.node_id(node), service, key)
        for node in "ab"
        for service in ("hello", "world")
        for key in (lab.KEY, b"other")
    }
    assert len(tokens) == 8
    assert not any(lab.node_id("a").hex()[:8].encode() in token for token in tokens)

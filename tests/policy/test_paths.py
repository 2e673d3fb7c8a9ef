"""Readings of paths: what is refused, what a rule that denies takes for the same, and what one that allows does not."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.policy.paths import NONE, PathIndex, ambiguous_path, folded

PIECES = st.sampled_from(
    [
        *(
            b"/",
            b"/",
            b"/",
            b"a",
            b"b",
            b"A",
            b".",
            b";",
            b"%",
            b"%61",
            b"%41",
            b"%2f",
            b"%2F",
            b"%5c",
            b"\\",
        ),
        *(
            b"%2e",
            b"%252e",
            b"%252f",
            b"%25",
            b"%00",
            b"\0",
            b"#",
            b"%3b",
            b"x=1",
            b"%c3%a9",
            b"\xc3\x89",
            b"%c0%af",
        ),
    ]
)
PATHS = st.lists(PIECES, max_size=12).map(lambda pieces: b"/" + b"".join(pieces))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (b"/a%2fb", "%2f"),
        (b"/a%2Fb?x", "%2f"),
        (b"/a%5cb", "backslash"),
        (b"/a\\b", "backslash"),
        (b"/a//b", "empty segment"),
        (b"//", "empty segment"),
        (b"/a/;x/b", "empty segment"),
        (b"/a/./b", "segment . or .."),
        (b"/a/..", "segment . or .."),
        (b"/a/%2E./b", "segment . or .."),
        (b"/a/..;x/b", "segment . or .."),
        (b"/a/..%3bx/b", "segment . or .."),
        (b"/a%00", "NUL"),
        (b"/a%0a", "control"),
        (b"/a%250A", "control"),
        (b"/a%7f", "control"),
        (b"/a%3fb", "encoded ?"),
        (b"/a%2523", "encoded ?"),
        (b"/a\0", "NUL"),
        (b"/a#b", "#"),
        (b"/a%2", "% without two hex digits"),
        (b"/a%u002fb", "% without two hex digits"),
        (b"/a%c0%afb", "not UTF-8"),
        (b"/a%252fb", "decoded twice"),
        (b"/a/%252e%252e/b", "decoded twice"),
        (b"/a%25%32%66b", "decoded twice"),
        (b"", "begin with a slash"),
        (b"?x", "begin with a slash"),
        (b"a/b", "begin with a slash"),
        (b"http://orders/a", "begin with a slash"),
        (b"**", "begin with a slash"),
    ],
)
def test_what_apps_differ_about_is_told(target: bytes, reason: str) -> None:
    said = ambiguous_path(target)
    assert said is not None
    assert reason in said


@pytest.mark.parametrize(
    "target",
    [
        *(
            b"/",
            b"/a",
            b"/a/",
            b"/a/b?c=//../%2f#",
            b"/.well-known/x",
            b"/..a/b",
            b"/a/...",
            b"/a.b/c..",
            b"*",
        ),
        *(
            b"/a;v=1/b",
            b"/caf%C3%A9",
            b"/%61dmin",
            b"/100%25",
            b"/a%252b",
            b"/@scope/pkg",
            b"/a b\xc3\xa9",
            b"/a;/b",
        ),
    ],
)
def test_what_is_plain_is_let_through(target: bytes) -> None:
    assert ambiguous_path(target) is None


@given(PATHS)
def test_the_fast_way_lets_nothing_through_that_the_careful_one_refuses(path: bytes) -> None:
    if ambiguous_path(path) is None:
        # A query after the path changes nothing, and a space in it sends it past the fast way.
        assert ambiguous_path(path + b"?q") is None
        assert ambiguous_path(path.rstrip(b"/") + b"/ ") is None
    else:
        assert ambiguous_path(path + b"?q") is not None


@given(PATHS)
def test_decoding_once_or_twice_moves_nothing_that_is_let_through_elsewhere(path: bytes) -> None:
    if ambiguous_path(path) is None:
        once = unquote_to_bytes(path)
        for read in (path, once, unquote_to_bytes(once)):
            assert read.count(b"/") == path.count(b"/")
            segments = [segment.partition(b";")[0] for segment in read.split(b"/")]
            assert not {b".", b".."} & set(segments)
            assert b"" not in segments[1:-1]


@pytest.mark.parametrize(
    "path",
    [
        *(
            b"/admin/x",
            b"/Admin/X",
            b"/%61dmin/x",
            b"/%2561dmin/x",
            b"/admin;v=1/x;y",
            b"/admin/x/",
            b"/ADM%49N/x",
        ),
        b"/adm\xc4\xb1n/x",
    ],
)
def test_all_spellings_of_a_path_are_one_where_a_rule_denies(path: bytes) -> None:
    assert folded(path) == b"/admin/x"
    assert PathIndex(deny=[(b"/admin/*", 7)]).first(path) == 7
    assert PathIndex(deny=[(b"/admin/x", 7)]).first(path) == 7


def test_what_is_not_utf_8_folds_to_itself() -> None:
    assert folded(b"/\xff\xfeA") == b"/\xff\xfea"
    assert folded(b"/%C3%89") == folded(b"/\xc3\xa9")


@pytest.mark.parametrize(
    "path", [b"/Admin/x", b"/%61dmin/x", b"/admin", b"/admin/", b"/admin;a/x", b"/adminx/x", b"*"]
)
def test_only_the_bytes_that_a_rule_names_are_allowed(path: bytes) -> None:
    assert PathIndex(allow=[(b"/admin/*", 7)]).first(path) == NONE


def test_a_rule_for_what_is_below_a_path_denies_the_path_itself_and_does_not_allow_it() -> None:
    for path in (b"/admin", b"/admin/"):
        assert PathIndex(deny=[(b"/admin/*", 0)]).first(path) == 0
        assert PathIndex(allow=[(b"/admin/*", 0)]).first(path) == NONE
    assert PathIndex(deny=[(b"/admin/*", 0)]).first(b"/administration") == NONE


def test_the_slash_at_the_end_counts_where_a_rule_allows() -> None:
    assert PathIndex(allow=[(b"/a", 0)]).first(b"/a/") == NONE
    assert PathIndex(deny=[(b"/a", 0)]).first(b"/a/") == 0
    assert PathIndex(deny=[(b"/a/", 0)]).first(b"/a") == 0


@pytest.mark.parametrize("kind", ["deny", "allow"])
def test_everything_is_below_the_root(kind: str) -> None:
    index = PathIndex(**{kind: [(b"/*", 3)]})
    assert {index.first(path) for path in (b"/", b"/a", b"/a/", b"/a/b")} == {3}
    assert PathIndex(**{kind: [(b"/", 3)]}).first(b"/a") == NONE


def test_what_asks_the_server_is_denied_with_every_path_and_allowed_with_none() -> None:
    assert PathIndex(deny=[(b"/*", 3)]).first(b"*") == 3
    assert PathIndex(allow=[(b"/*", 3)]).first(b"*") == NONE
    for path in (b"/", b"/a", b"/a/*", b"/%2a"):
        assert PathIndex(deny=[(path, 3)]).first(b"*") == NONE


def test_the_first_of_all_rules_that_match_is_found() -> None:
    paths = [(b"/a/b/c", 5), (b"/a/*", 4), (b"/a/b/*", 2), (b"/*", 3), (b"/a/b/c", 6)]
    index = PathIndex(allow=paths)
    assert [index.first(path) for path in (b"/a/b/c", b"/a/b", b"/x", b"/a/b/c/d")] == [2, 3, 3, 2]


@given(PATHS, PATHS)
def test_what_a_rule_would_allow_by_its_bytes_it_would_deny_in_any_reading(rule: bytes, path: bytes) -> None:
    for named in (rule, rule.rstrip(b"/") + b"/*"):
        if ambiguous_path(rule) is None and ambiguous_path(path) is None:
            allowed = PathIndex(allow=[(named, 0)]).first(path) == 0
            denied = PathIndex(deny=[(named, 0)]).first(path) == 0
            assert denied or not allowed


@given(st.lists(st.tuples(PATHS, st.booleans(), st.booleans()), max_size=6), PATHS)
def test_rules_that_deny_and_rules_that_allow_do_not_hide_each_other(
    rules: list[tuple[bytes, bool, bool]], path: bytes
) -> None:
    named = [
        (rule.rstrip(b"/") + b"/*" if below else rule, index) for index, (rule, below, _) in enumerate(rules)
    ]
    deny = [named[index] for index, (_, _, denies) in enumerate(rules) if denies]
    allow = [named[index] for index, (_, _, denies) in enumerate(rules) if not denies]
    found = PathIndex(deny=deny).first(path)
    assert PathIndex(deny, allow).first(path) == (
        found if found != NONE else PathIndex(allow=allow).first(path)
    )

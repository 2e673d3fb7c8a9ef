"""Headers: what may be one, and that a memory of names changes no answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.hop_headers import (
    MAX_HEADERS,
    MAX_REMEMBERED,
    are_tokens,
    are_values,
    join_lines,
    split_lines_untrusted,
)
from gossipmesh.errors import RemoteProtocolError

TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


@given(st.lists(st.binary(max_size=3) | st.sampled_from([b"Host", b"a,b", b",", b""]), max_size=5))
def test_names_are_judged_together_as_each_alone(names: list[bytes]) -> None:
    for _ in range(2):  # what was remembered is judged the same
        assert are_tokens(names) == all(TOKEN.fullmatch(name) for name in names)


@given(st.lists(st.binary(max_size=3), max_size=5))
def test_values_are_judged_together_as_each_alone(values: list[bytes]) -> None:
    assert are_values(values) == (not any(set(value) & set(b"\r\n\0") for value in values))


def test_more_names_than_are_remembered_are_still_tokens() -> None:
    for number in range(3 * MAX_REMEMBERED):
        assert are_tokens([b"x-%d" % number, b"x" * 100])
    assert not are_tokens([b"x-1", b"x 1"])


@given(st.binary(max_size=40))
def test_any_lines_are_refused_or_come_back_as_they_were(lines: bytes) -> None:
    try:
        headers = split_lines_untrusted(lines)
    except RemoteProtocolError as error:
        assert error.code == "hop.malformed"
    else:
        assert join_lines(headers) == lines


def test_as_many_headers_as_are_allowed_and_no_more() -> None:
    most = ((b"a", b""),) * MAX_HEADERS
    assert split_lines_untrusted(join_lines(most)) == most
    for more in (b"\0a: ", b"\0a: b\0c: d", b"\0a"):
        with pytest.raises(RemoteProtocolError):
            split_lines_untrusted(join_lines(most) + more)

"""The fast lane of a server never decides otherwise than h11 and the rules: same values, same errors, same bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import almost
from lanes import Answer, cut, serve


@given(stream=almost.requests(), at=almost.cuts, answers=st.lists(almost.answers, max_size=2))
@settings(max_examples=250)
def test_almost_valid_requests_are_the_same_in_both_lanes(
    stream: bytes, at: list[int], answers: list[Answer]
) -> None:
    assert serve(cut(stream, at), answers, fast=True) == serve(cut(stream, at), answers, fast=False)


@given(stream=st.binary(max_size=60), at=almost.cuts)
@settings(max_examples=200)
def test_any_bytes_are_the_same_in_both_lanes(stream: bytes, at: list[int]) -> None:
    assert serve(cut(stream, at), fast=True) == serve(cut(stream, at), fast=False)


@given(answers=st.lists(almost.answers, min_size=2, max_size=2), close=st.booleans(), head=st.booleans())
@settings(max_examples=400)
def test_any_response_is_written_the_same_in_both_lanes(
    answers: list[Answer], close: bool, head: bool
) -> None:
    request = b"%b / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (
        b"HEAD" if head else b"GET",
        b"Connection: close\r\n" if close else b"",
    )
    assert serve([request * 2], answers, fast=True) == serve([request * 2], answers, fast=False)


@given(stream=almost.requests(), at=almost.cuts)
@settings(max_examples=200)
def test_how_a_stream_is_cut_changes_nothing(stream: bytes, at: list[int]) -> None:
    def gist(pieces: list[bytes]) -> list[object]:
        # Without the numbers of the pieces, and without what lies behind a message.
        return [
            each for each in serve(pieces, fast=True) if not isinstance(each, int) or isinstance(each, bool)
        ]

    chunked = b"hunked" in stream  # h11's text for what is too long depends on what is here of it.
    if not chunked:
        assert gist(list(cut(stream, at)))[:4] == gist([stream])[:4]

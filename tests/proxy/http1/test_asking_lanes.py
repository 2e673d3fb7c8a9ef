"""The fast lane of a client never decides otherwise than h11 and the rules: same values, same errors, same bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import almost
from lanes import Question, ask, cut


@given(
    stream=almost.responses(),
    at=almost.cuts,
    questions=st.lists(almost.questions, min_size=1, max_size=3),
)
@settings(max_examples=250)
def test_almost_valid_responses_are_the_same_in_both_lanes(
    stream: bytes, at: list[int], questions: list[Question]
) -> None:
    assert ask(cut(stream, at), questions, fast=True) == ask(cut(stream, at), questions, fast=False)


@given(stream=st.binary(max_size=60), at=almost.cuts)
@settings(max_examples=200)
def test_any_bytes_are_the_same_in_both_lanes(stream: bytes, at: list[int]) -> None:
    asked = [Question()]
    assert ask(cut(stream, at), asked, fast=True) == ask(cut(stream, at), asked, fast=False)


@given(question=almost.questions)
@settings(max_examples=400)
def test_any_request_is_written_the_same_in_both_lanes(question: Question) -> None:
    answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    assert ask(answer, [question, question], fast=True) == ask(answer, [question, question], fast=False)

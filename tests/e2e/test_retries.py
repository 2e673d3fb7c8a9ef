"""Requests that fail are tried again within a budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from webclient import request

if TYPE_CHECKING:
    from conftest import Five

REQUESTS = 200


def test_apps_that_break_every_request_are_asked_little_more_often_than_they_would_be_without_retries(
    five: Five,
) -> None:
    began = time.monotonic()
    answers = [request(five.proxy, "http://hello/broken") for _ in range(REQUESTS)]
    seconds = time.monotonic() - began
    assert {answer.status // 100 for answer in answers} == {5}
    asked = sum(len(five.apps[name].requests) for name in ("hello-1", "hello-2"))
    # A fifth of the requests, or ten a second: whatever is more in any second.
    assert REQUESTS < asked <= REQUESTS * 1.2 + 10 * (seconds + 1)

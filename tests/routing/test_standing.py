"""How long an endpoint stays out of rotation."""

from __future__ import annotations

from gossipmesh.routing.standing import Standing


def test_each_time_is_twice_the_one_before_up_to_the_most() -> None:
    standing, times = Standing(), []
    for _ in range(5):
        standing.put_out(5.0, "silence", base_s=1.0, now=10.0)
        times.append(standing.until - 10.0)
    assert times == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert standing.why == "out of rotation for 5 s after silence"


def test_one_doubling_is_forgotten_for_each_minute_in_rotation() -> None:
    standing = Standing()
    for _ in range(3):
        standing.put_out(300.0, "silence", base_s=1.0, now=10.0)
    standing.take_back(20.0)
    standing.forget(60.0, now=20.0 + 130.0)
    standing.put_out(300.0, "silence", base_s=1.0, now=200.0)
    assert standing.until == 202.0


def test_it_is_to_be_tried_once_its_time_is_over_by_one_request() -> None:
    standing = Standing()
    standing.put_out(300.0, "silence", base_s=1.0, now=10.0)
    assert not standing.is_to_be_tried(10.9)
    assert standing.is_to_be_tried(11.0)
    standing.trial_at = 11.0
    assert not standing.is_to_be_tried(11.0)

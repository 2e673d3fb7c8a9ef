"""How long an endpoint stays out of rotation."""

from __future__ import annotations

from gossipmesh.model import NodeId
from gossipmesh.routing.standing import LeftOut, Standing


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


def test_why_it_was_left_out_is_said_as_of_when_it_was() -> None:
    node, standing = NodeId(b"a" * 32), Standing()
    standing.put_out(300.0, "silence", base_s=1.0, now=10.0)
    then = standing.as_left_out(node)
    standing.trial_at = 11.0
    now = standing.as_left_out(node)
    standing.take_back(12.0)
    why = "out of rotation for 1 s after silence"
    assert [then.words(at) for at in (10.25, 11.0)] == [
        f"{why}; 0.8 s left",
        f"{why}; the next request may try it",
    ]
    assert now.words(20.0) == f"{why}; one request is trying it"
    assert LeftOut(node, "its node is dead").words(20.0) == "its node is dead"

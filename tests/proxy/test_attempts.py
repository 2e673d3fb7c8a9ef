"""From endpoint to endpoint, with a pool whose channels are only names."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from gossipmesh.errors import ConnectError
from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import DEFAULT
from gossipmesh.routing.upstreams import Upstream

pytestmark = pytest.mark.stand_in

LOCAL = NodeId(b"w" * 32)
HELLO = Service("hello", 80)
UC = AttemptOutcome(OutcomeKind.FAILED, "UC")
DR = AttemptOutcome(OutcomeKind.REFUSED, "DR")
OK = AttemptOutcome(OutcomeKind.ANSWERED, "", 200)


class Clock:
    """A reactor's time, which passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: dict[object, tuple[float, Callable[[], None]]] = {}

    def alarm(self, callback: Callable[[], None]) -> Ring:
        return Ring(self, callback)

    def pass_time(self) -> None:
        for alarm, (at, callback) in list(self.due.items()):
            del self.due[alarm]
            self.now = max(self.now, at)
            callback()


class Ring:
    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock, self._callback = clock, callback

    def set(self, at: float) -> None:
        self._clock.due[self] = at, self._callback

    def drop(self) -> None:
        self._clock.due.pop(self, None)


class Pool:
    """Has channels to some nodes, and dials when it is told to."""

    def __init__(self, *connected: str) -> None:
        self.connected = connected
        self.dials: dict[str, Callable[[object], None]] = {}

    def channel(self, target: NodeId) -> object:
        name = target[:1].decode()
        return f"channel to {name}" if name in self.connected else None

    def dial(self, target: NodeId, done: Callable[[object], None]) -> None:
        self.dials[target[:1].decode()] = done


class Request:
    """Notes what its attempts tell."""

    def __init__(self, pool: Pool, *nodes: str, method: bytes = b"GET", most: int = 3) -> None:
        endpoints = tuple(
            Endpoint(node, NodeId(node.encode() * 32), Address("127.0.0.1", 1), HELLO, True) for node in nodes
        )
        upstream = Upstream("hello", DEFAULT, origin=LOCAL, key=b"", rng=Random(1))
        snapshot = Snapshot(LOCAL, {"hello": endpoints})
        plan = Plan(snapshot, upstream, method, max_attempts=most, now=0.0)
        self.told: list[object] = []
        self.reported: list[tuple[str, str]] = []
        self.clock = Clock()
        self.attempts = Attempts(
            self.clock,  # type: ignore[arg-type]
            pool,  # type: ignore[arg-type]
            plan,
            report=lambda node, outcome: self.reported.append((node[:1].decode(), outcome.flag)),
            begin=lambda endpoint, channel: self.told.append((endpoint.node, channel)),
            none_left=self.told.append,
        )


def test_where_there_is_a_channel_an_attempt_begins_at_once() -> None:
    request = Request(Pool("a"), "a", "b")
    request.attempts.next()
    assert request.told == [("a", "channel to a")]
    request.attempts.answered(OK)
    assert request.reported == [("a", "")]
    assert (request.attempts.count, request.attempts.whom, request.attempts.retried) == (1, "a", [])


def test_an_endpoint_that_cannot_be_dialled_is_followed_by_the_next_whatever_the_method() -> None:
    pool = Pool("b")
    request = Request(pool, "a", "b", method=b"POST")
    request.attempts.next()
    assert request.told == []
    pool.dials["a"](ConnectError("connect.refused", "nobody listens"))
    assert request.told == [("b", "channel to b")]
    assert request.reported == [("a", "UF")]
    assert (request.attempts.count, request.attempts.retried) == (2, ["UF"])


def test_a_failure_whose_bound_is_our_own_says_nothing_about_the_node() -> None:
    for code, flag in (("hop.stream-limit", "UO"), ("connect.local", "UO"), ("connect.stopped", "DR")):
        request = Request(Pool("a"), "a")
        request.attempts.next()
        request.attempts.refused(ConnectError(code, "full"))
        assert request.told[1:] == [flag]
        assert request.attempts.plan.attempts[0].outcome.kind is OutcomeKind.REFUSED


def test_a_dial_that_ends_after_its_request_is_nobodys() -> None:
    pool = Pool()
    request = Request(pool, "a", "b")
    request.attempts.next()
    request.attempts.abandon()
    pool.dials["a"](ConnectError("connect.refused", "nobody listens"))
    assert (request.told, request.reported) == ([], [])
    assert list(pool.dials) == ["a"]


def test_what_is_dialled_for_an_attempt_that_was_given_up_says_nothing_about_the_next() -> None:
    pool = Pool()
    request = Request(pool, "a", "b", "c")
    request.attempts.next()
    request.attempts.failed(DR)
    pool.dials["a"](ConnectError("connect.refused", "nobody listens"))
    assert list(pool.dials) == ["a", "b"]
    pool.dials["b"](ConnectError("connect.refused", "nobody listens"))
    assert request.reported == [("a", "DR"), ("b", "UF")]


@pytest.mark.parametrize(
    ("method", "outcome", "replayable", "goes_on"),
    [
        (b"GET", UC, True, True),
        (b"GET", UC, False, False),
        (b"POST", UC, True, False),
        (b"POST", DR, True, True),
        (b"POST", DR, False, False),
    ],
)
def test_a_failure_is_followed_by_another_attempt_only_where_that_is_safe(
    method: bytes, outcome: AttemptOutcome, replayable: bool, goes_on: bool
) -> None:
    request = Request(Pool("a", "b"), "a", "b", method=method)
    request.attempts.next()
    request.attempts.failed(outcome, replayable=replayable)
    request.clock.pass_time()
    assert request.told[1:] == [("b", "channel to b") if goes_on else outcome.flag]
    assert request.attempts.retried == ([outcome.flag] if goes_on else [])


def test_no_endpoint_is_asked_twice_and_no_more_than_so_many_are() -> None:
    request = Request(Pool("a", "b", "c"), "a", "b", "c", most=2)
    request.attempts.next()
    request.attempts.failed(UC)
    request.clock.pass_time()
    request.attempts.failed(UC)
    assert request.told == [("a", "channel to a"), ("b", "channel to b"), "URX"]
    two = Request(Pool("a", "b"), "a", "b")
    two.attempts.next()
    two.attempts.failed(DR)
    two.attempts.failed(UC)
    two.clock.pass_time()
    assert two.told[2:] == ["UC"]


def test_after_an_answer_nothing_follows() -> None:
    request = Request(Pool("a", "b"), "a", "b")
    request.attempts.next()
    request.attempts.answered(AttemptOutcome(OutcomeKind.ANSWERED, "UC", 200))
    assert request.told == [("a", "channel to a")]
    assert request.reported == [("a", "UC")]


def test_where_nobody_offers_the_service_nobody_is_asked() -> None:
    request = Request(Pool())
    request.attempts.next()
    assert request.told == ["NR"]
    assert (request.attempts.count, request.attempts.whom) == (0, "")

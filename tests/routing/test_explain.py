"""A dry run says what the next request comes to, and leaves no trace."""

from __future__ import annotations

from random import Random

from attrs import evolve

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.explain import Explanation, explain
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import BALANCERS, BreakerLimits, Ejection, Share, Sticky, Traffic
from gossipmesh.routing.upstreams import Upstreams

WORLDS = 50
REQUESTS = 20
"""Of each world, one state each: a thousand in all."""
MOST_ATTEMPTS = 3
STICKY = (None, Sticky("cookie", "gm"), Sticky("header", "x-user"), Sticky("source"))
SPLITS = ((), (Share("v1", 90), Share("v2", 10)), (Share("v1", 100), Share("v2", 0)), (Share("v9", 100),))
OUTCOMES = (
    AttemptOutcome(OutcomeKind.ANSWERED, status=200),
    AttemptOutcome(OutcomeKind.ANSWERED, status=503),
    AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF"),
    AttemptOutcome(OutcomeKind.FAILED, "UR"),
    AttemptOutcome(OutcomeKind.REFUSED, "UO"),
)


def endpoint(name: str, *, weight: int = 1, tags: tuple[str, ...] = (), zone: str = "") -> Endpoint:
    service = Service("hello", 80, weight=weight, tags=tags)
    return Endpoint(name, NodeId(name.encode() * 32), Address("10.0.0.1", 7946), service, zone=zone)


def ill(one: Endpoint) -> Endpoint:
    return evolve(one, eligible=False, reason="its own check fails")


def upstreams_of(traffic: Traffic, *, seed: int = 1) -> Upstreams:
    return Upstreams({"hello": traffic}, origin=NodeId(bytes(32)), key=b"k", rng=Random(seed))


def picture(*endpoints: Endpoint, zone: str = "") -> Snapshot:
    return Snapshot(NodeId(bytes(32)), {"hello": endpoints} if endpoints else {}, zone, {"a": 2, "b": 1})


class World:
    """One node's calls of one service, each of them the same in every world with the same seed."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = Random(seed)
        traffic = Traffic(
            dice.choice(BALANCERS),
            dice.choice(STICKY),
            dice.choice(SPLITS),
            zone=dice.choice(("prefer", "any")),
            slow_start_s=dice.choice((0.0, 3.0)),
            limits=BreakerLimits(in_flight=dice.choice((1, 1_000)), queue=1),
            ejection=Ejection(failures_in_a_row=2),
        )
        self.upstreams = upstreams_of(traffic, seed=seed)
        self.now = 0.0
        self.zone = dice.choice(("", "a"))
        self.open: list[Plan] = []
        self.sessions: list[bytes | None] = [None, b"alice", b"bob"]
        self.look()

    def look(self) -> None:
        """Take a new picture of the mesh."""
        dice = self.dice
        many = dice.choice((0.1, 0.6, 0.9))
        every = [
            endpoint(
                name,
                weight=dice.choice((0, 1, 1, 2, 5)),
                tags=dice.choice(((), ("v1",), ("v2",))),
                zone=dice.choice(("", "a", "b")),
            )
            for name in "abcdefgh"
            if dice.random() < many
        ]
        self.picture = picture(*(ill(one) if dice.random() < 0.2 else one for one in every), zone=self.zone)

    def next(self) -> tuple[bytes, bytes | None]:
        """Let some time pass; give method and session of the next request."""
        dice = self.dice
        self.now += dice.choice((0.0, 0.01, 1.0, 6.0))
        if dice.random() < 0.3:
            self.look()
        if dice.random() < 0.3:
            self.end_one()
        return dice.choice((b"GET", b"GET", b"POST")), dice.choice(self.sessions)

    def explained(self, method: bytes, session: bytes | None) -> Explanation:
        twin = self.upstreams.twin("hello")
        return explain(self.picture, twin, method, max_attempts=MOST_ATTEMPTS, now=self.now, session=session)

    def made(self, method: bytes, session: bytes | None) -> Endpoint | str:
        """Make the request; give whom it asks first, or why it asks nobody."""
        upstream, dice = self.upstreams.of("hello"), self.dice
        plan = Plan(self.picture, upstream, method, max_attempts=MOST_ATTEMPTS, now=self.now, session=session)
        chosen = plan.next_attempt(now=self.now)
        if chosen is None:
            return plan.flag_if_none
        told = upstream.balancer.cookie(chosen, session)
        if told is not None:
            self.sessions.append(told.partition(b"=")[2].partition(b";")[0])
        self.open.append(plan)
        for _ in range(dice.randrange(3)):
            self.end_one()
        return chosen

    def end_one(self) -> None:
        """End the present attempt of some request, which may lead to another one."""
        if self.open:
            plan = self.open.pop(self.dice.randrange(len(self.open)))
            plan.record(self.dice.choice(OUTCOMES), now=self.now, report=self.dice.choice((None, 3)))
            if plan.next_attempt(now=self.now) is not None:
                self.open.append(plan)


def test_an_explanation_and_the_data_plane_agree_over_a_thousand_states_and_nothing_changes_by_it() -> None:
    ways = set[str]()
    for seed in range(WORLDS):
        explained, plain = World(seed), World(seed)
        for number in range(REQUESTS):
            where = f"seed {seed}, request {number}"
            request = explained.next()
            assert plain.next() == request, where
            one = explained.explained(*request)
            assert explained.explained(*request) == one, where
            came = explained.made(*request)
            assert (one.chosen or one.flag) == came, where
            assert plain.made(*request) == came, f"{where}: it went elsewhere, because another was explained"
            assert {each.endpoint for each in one.candidates} == {*explained.picture.endpoints("hello")}, (
                where
            )
            for each in one.candidates:
                assert each.eligible or (each.reason and each.endpoint is not one.chosen), where
                if each.endpoint.eligible and not each.eligible:
                    ways.add("ejected")
            ways.add(one.flag or (one.choice.session if one.choice else "?") or "by balancer")
    assert ways == {"UH", "NR", "kept", "hashed", "by balancer", "ejected"}


def test_a_service_that_was_never_called_is_explained_and_stays_unknown() -> None:
    upstreams = upstreams_of(Traffic("random"))
    one = explain(
        picture(endpoint("a"), endpoint("b")),
        upstreams.twin("hello"),
        b"GET",
        max_attempts=2,
        now=0.0,
        session=None,
    )
    assert one.chosen is not None
    assert not list(upstreams)


def rotation(traffic: Traffic, *endpoints: Endpoint, zone: str = "") -> dict[str, tuple[bool, str]]:
    """Give who is in rotation, and why not, by the nodes' names."""
    one = explain(
        picture(*endpoints, zone=zone),
        upstreams_of(traffic).twin("hello"),
        b"GET",
        max_attempts=2,
        now=0.0,
        session=None,
    )
    return {each.endpoint.node: (each.eligible, each.reason) for each in one.candidates}


def test_whoever_is_left_out_has_a_reason() -> None:
    assert rotation(Traffic(), endpoint("a"), ill(endpoint("b"))) == {
        "a": (True, ""),
        "b": (False, "its own check fails"),
    }
    split = Traffic(split=(Share("v1", 100), Share("v2", 0)))
    assert rotation(split, endpoint("a", tags=("v1",)), endpoint("b", tags=("v2",))) == {
        "a": (True, ""),
        "b": (True, "no tag of it takes part in the split"),
    }
    assert rotation(Traffic(), endpoint("a"), endpoint("b", weight=0))["b"] == (True, "its weight is 0")
    near = [endpoint(name, zone=name) for name in "ab"]
    assert rotation(Traffic(), *near, endpoint("c", weight=5, zone="a"), zone="a")["b"] == (
        True,
        "its zone gets none of this caller's requests",
    )


def test_an_ejected_endpoint_tells_why_and_for_how_long() -> None:
    upstreams, snapshot = (
        upstreams_of(Traffic(ejection=Ejection(failures_in_a_row=1))),
        picture(endpoint("a"), endpoint("b")),
    )
    plan = Plan(snapshot, upstreams.of("hello"), b"GET", max_attempts=2, now=0.0)
    first = plan.next_attempt(now=0.0)
    assert first is not None
    plan.record(AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF"), now=0.0)
    one = explain(snapshot, upstreams.twin("hello"), b"GET", max_attempts=2, now=1.0, session=None)
    out = next(each for each in one.candidates if each.endpoint is first)
    assert (out.eligible, out.score, out.share) == (False, None, 0.0)
    assert out.reason == "out of rotation for 5 s after 1 failures in a row; 4.0 s left"
    assert one.chosen is not None
    assert one.chosen is not first


def test_a_full_breaker_lets_one_wait_and_then_refuses() -> None:
    upstreams, snapshot = (
        upstreams_of(Traffic(limits=BreakerLimits(in_flight=1, queue=1))),
        picture(endpoint("a")),
    )

    class Waiter:
        def admitted(self) -> None:
            raise AssertionError("nobody's turn comes here")

    told = []
    for _ in range(3):
        one = explain(snapshot, upstreams.twin("hello"), b"GET", max_attempts=2, now=0.0, session=None)
        told.append((one.admission, one.flag))
        upstreams.of("hello").breaker.ask(Waiter(), now=0.0)
    assert told == [(Admission.ADMIT, ""), (Admission.WAIT, ""), (Admission.REFUSE, "UO")]

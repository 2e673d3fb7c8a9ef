"""How services are treated changes while requests are under way."""

from __future__ import annotations

from random import Random

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.balancing.load import Result
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.ejection import EjectionSettings
from gossipmesh.routing.outcomes import AttemptOutcome, Came, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import DEFAULT, EVERY, BreakerLimits, Ejection, Retries, Share, Traffic
from gossipmesh.routing.upstreams import Upstreams, ejection_settings

LOCAL = NodeId(bytes(32))
A, B = (
    Endpoint(
        name, NodeId(name.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80, tags=(f"v-{name}",))
    )
    for name in "ab"
)
PICTURE = Snapshot(LOCAL, {"hello": (A, B)})
RANDOM, EWMA, LEAST = (Traffic(balancer=name) for name in ("random", "ewma", "least-request"))
ANSWERED = AttemptOutcome(OutcomeKind.ANSWERED, status=200)


class Caller(str):
    """Who waits for its turn."""

    __slots__ = ()

    def admitted(self) -> None:
        """Do nothing: these tests look at who is named."""


def upstreams(own: dict[str, Traffic] | None = None) -> Upstreams:
    return Upstreams(own or {}, origin=LOCAL, key=b"", rng=Random(1))


def plan(known: Upstreams) -> Plan:
    return Plan(PICTURE, known.of("hello"), b"GET", max_attempts=3, now=0.0, deadline=100.0)


def test_what_the_policy_says_of_a_service_goes_before_the_nodes_own_file() -> None:
    known = upstreams({"hello": RANDOM, "world": RANDOM})
    assert [known.source_of(name) for name in ("hello", "other")] == ["file", "default"]
    assert known.traffic_of("other") is DEFAULT
    known.set_policy({"hello": EWMA})
    assert [known.traffic_of(name) for name in ("hello", "world", "other")] == [EWMA, RANDOM, DEFAULT]
    assert [known.source_of(name) for name in ("hello", "world")] == ["policy", "file"]
    known.set_policy({EVERY: LEAST})
    assert {known.traffic_of(name) for name in ("hello", "world", "other")} == {LEAST}
    known.set_policy({})
    assert known.traffic_of("hello") is RANDOM


def test_only_services_whose_settings_changed_are_treated_otherwise() -> None:
    known = upstreams()
    hello, world = known.of("hello"), known.of("world")
    known.set_policy({"hello": EWMA})
    assert known.of("world") is world
    assert known.of("hello") is not hello
    assert (known.of("hello").traffic, hello.traffic) == (EWMA, DEFAULT)


def test_requests_in_flight_count_on_and_end_with_the_settings_that_they_began_with() -> None:
    known = upstreams()
    known.set_policy({"hello": Traffic(limits=BreakerLimits(in_flight=2, queue=0), timeout_s=5.0)})
    before = known.of("hello")
    one, two = plan(known), plan(known)
    for each in (one, two):
        assert each.admit(Caller("first"), now=0.0) is Admission.ADMIT
        assert each.next_attempt(now=0.0) is not None
    balanced = [before.balancer.in_flight(each.id) for each in (A, B)]
    assert balanced == [1, 1]
    known.set_policy({"hello": Traffic(balancer="least-request", limits=BreakerLimits(2, 1), timeout_s=1.0)})
    after = known.of("hello")
    assert (one.upstream.traffic.timeout_s, after.traffic.timeout_s) == (5.0, 1.0)
    assert after.breaker.in_flight == 2
    assert after.balancer.pick(PICTURE.eligible("hello"), now=0.5) is not None
    assert [after.balancer.in_flight(each.id) for each in (A, B)] == [1, 1]
    assert plan(known).admit(Caller("third"), now=0.5) is Admission.WAIT
    one.record(ANSWERED, now=1.0)
    assert one.over(now=1.0) == ["third"]
    assert sum(after.balancer.in_flight(each.id) for each in (A, B)) == 1


def test_who_waits_goes_at_once_where_more_may_be_under_way() -> None:
    known = upstreams()
    known.set_policy({"hello": Traffic(limits=BreakerLimits(in_flight=1, queue=3))})
    asked = [plan(known).admit(Caller(name), now=0.0) for name in "abcd"]
    assert asked == [Admission.ADMIT, *[Admission.WAIT] * 3]
    assert known.set_policy({"hello": Traffic(limits=BreakerLimits(in_flight=3, queue=1))}) == ["b", "c"]
    breaker = known.of("hello").breaker
    assert (breaker.in_flight, breaker.queued) == (3, 1)


def test_a_lower_limit_ends_nothing_and_lets_in_nobody_until_it_is_kept() -> None:
    known = upstreams()
    plans = [plan(known) for _ in range(3)]
    assert {each.admit(Caller(each), now=0.0) for each in plans} == {Admission.ADMIT}
    known.set_policy({"hello": Traffic(limits=BreakerLimits(in_flight=1, queue=5))})
    assert plan(known).admit(Caller("late"), now=0.0) is Admission.WAIT
    assert [each.over(now=1.0) for each in plans] == [[], [], ["late"]]


def test_an_endpoint_stays_out_of_rotation_unless_nobody_may_be() -> None:
    known = upstreams()
    outliers = known.of("hello").outliers
    outliers.fit(PICTURE.eligible("hello"), now=0.0)
    for _ in range(5):
        outliers.began(A.id, now=0.0)
        outliers.ended(A.id, Came.FAILURE, now=0.0)
    known.set_policy({"hello": Traffic(ejection=Ejection(base_s=60.0))})
    assert known.why_ejected("hello", A.id, now=0.0)
    known.set_policy({"hello": Traffic(ejection=Ejection(enabled=False))})
    assert not known.why_ejected("hello", A.id, now=0.0)
    for _ in range(20):
        outliers.began(A.id, now=1.0)
        outliers.ended(A.id, Came.FAILURE, now=1.0)
    assert not known.why_ejected("hello", A.id, now=1.0)


def test_what_may_be_said_of_ejection_means_the_same_to_the_machine() -> None:
    assert ejection_settings(Ejection()) == EjectionSettings()
    for low_or_high in (Ejection(True, 1, 0.1, 0.1, 1), Ejection(True, 1_000, 3_600.0, 86_400.0, 100)):
        made = ejection_settings(low_or_high)
        for name in ("failures_in_a_row", "base_s", "most_s", "share"):
            assert getattr(made, name) == getattr(low_or_high, name)


def test_a_new_balancer_knows_how_quick_each_endpoint_was() -> None:
    known = upstreams({"hello": LEAST})
    hello = known.of("hello")
    for node, seconds in ((A.id, 0.5), (B.id, 0.01)):
        hello.balancer.pick(PICTURE.eligible("hello"), now=0.0)
        for endpoint in (A, B):
            if endpoint.id == node:
                hello.balancer.began(endpoint)
        hello.balancer.ended(node, Result.ANSWERED, latency_s=seconds, now=1.0)
    known.set_policy({"hello": EWMA})
    scores = known.of("hello").balancer.scores(PICTURE.eligible("hello"), now=1.0)
    assert scores[0].endpoint == A
    assert scores[0].score > scores[1].score


def test_whose_turn_it_is_stays_where_only_other_things_changed() -> None:
    known = upstreams()
    balancer = known.of("hello").balancer
    known.set_policy({"hello": Traffic(timeout_s=1.0)})
    assert known.of("hello").balancer is balancer
    known.set_policy({"hello": Traffic(split=(Share("v-a", 100),))})
    chosen = [known.of("hello").balancer.pick(PICTURE.eligible("hello"), now=0.0) for _ in range(4)]
    assert {each.node for each in chosen if each} == {"a"}


def test_hedging_begins_anew_only_where_it_is_switched() -> None:
    known = upstreams()
    hedging = known.of("hello").hedging
    known.set_policy({"hello": Traffic(retries=Retries(attempts=2))})
    assert known.of("hello").hedging is hedging
    known.set_policy({"hello": Traffic(retries=Retries(hedge=True))})
    assert known.of("hello").hedging.on


def test_a_limit_that_adapts_is_switched_on_with_what_is_under_way() -> None:
    known = upstreams()
    plans = [plan(known) for _ in range(60)]
    for each in plans:
        each.admit(Caller(each), now=0.0)
    known.set_policy({"hello": Traffic(limits=BreakerLimits(adaptive=True))})
    breaker = known.of("hello").breaker
    assert (breaker.in_flight, breaker.limit) == (60, 50)
    assert plan(known).admit(Caller("late"), now=0.0) is Admission.WAIT

"""What one node knows of the services that it calls: made once, kept within bounds, and told of new pictures."""

from __future__ import annotations

from random import Random

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.outcomes import Came
from gossipmesh.routing.per_service import MAX_SERVICES
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import EVERY, Traffic
from gossipmesh.routing.upstreams import Upstream, Upstreams

LOCAL = NodeId(bytes(32))
A, B, C = (
    Endpoint(name, NodeId(name.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80))
    for name in "abc"
)


def upstreams(traffic: dict[str, Traffic] | None = None) -> Upstreams:
    return Upstreams(traffic or {}, origin=LOCAL, key=b"", rng=Random(1))


def picture(*endpoints: Endpoint) -> Snapshot:
    return Snapshot(LOCAL, {"hello": endpoints})


def fail(hello: Upstream, endpoint: Endpoint, snapshot: Snapshot) -> None:
    """Have requests to an endpoint fail until it is out of rotation."""
    hello.outliers.fit(snapshot.eligible("hello"), now=0.0)
    for _ in range(5):
        hello.outliers.began(endpoint.id, now=0.0)
        hello.outliers.ended(endpoint.id, Came.FAILURE, now=0.0)
    assert hello.outliers.reason(endpoint.id, now=0.0)


def test_what_apps_make_up_pushes_nothing_out_and_takes_no_room() -> None:
    known = upstreams()
    hello = known.of("hello")
    for number in range(2 * MAX_SERVICES):
        assert known.of(f"made-up-{number}", keep=False).service == f"made-up-{number}"
    assert known.of("hello") is known.of("hello", keep=False) is hello
    assert list(known) == [hello]
    for number in range(2 * MAX_SERVICES):
        known.of(f"there-{number}")
    assert len(list(known)) == MAX_SERVICES


def test_a_service_has_its_own_settings_or_those_of_all() -> None:
    mine, every = Traffic(balancer="random"), Traffic(balancer="ewma")
    known = upstreams({"hello": mine, EVERY: every})
    assert (known.of("hello").traffic, known.of("other").traffic) == (mine, every)


def test_an_ejection_outlasts_news_that_are_not_about_its_endpoint() -> None:
    known, before = upstreams(), picture(A, B)
    hello = known.of("hello")
    fail(hello, A, before)
    for snapshot in (picture(A, B), picture(A, B, C), picture(A, B)):
        known.picture_changed(snapshot)
        assert hello.outliers.reason(A.id, now=0.0)


def test_an_endpoint_that_is_eligible_again_has_a_clean_slate() -> None:
    known = upstreams()
    hello = known.of("hello")
    known.picture_changed(picture(A, B))
    fail(hello, A, picture(A, B))
    known.picture_changed(picture(B))
    assert hello.outliers.reason(A.id, now=0.0)
    known.picture_changed(picture(A, B))
    assert not hello.outliers.reason(A.id, now=0.0)


def test_only_services_with_requests_under_way_are_looked_at() -> None:
    known = upstreams()
    hello = known.of("hello")
    for number in range(150):
        for endpoint in (A, B):
            hello.outliers.began(endpoint.id, now=number * 0.01)
            hello.outliers.ended(endpoint.id, Came.OK, now=number * 0.01)
    hello.outliers.fit(picture(A, B).eligible("hello"), now=1.5)
    for _ in range(3):
        hello.outliers.began(A.id, now=1.5)
    for _ in range(3):
        hello.outliers.began(B.id, now=3.0)
        hello.outliers.ended(B.id, Came.OK, now=3.0)
    assert known.handle_timer(now=3.0) == set()
    hello.breaker.admit()
    # Again and again: there may not be a budget for all that waits there at once.
    assert known.handle_timer(now=3.0) == known.handle_timer(now=3.1) == {(A.id, "hello")}
    hello.outliers.progressed(A.id, now=3.2)
    assert known.handle_timer(now=3.2) == set()


def test_new_settings_change_how_a_service_is_treated_and_not_what_is_known_of_it() -> None:
    known = upstreams({"hello": Traffic(balancer="random")})
    hello, other = known.of("hello"), known.of("other")
    known.set_traffic({"hello": Traffic(balancer="random")})
    assert (known.of("hello"), known.of("other")) == (hello, other)
    known.set_traffic({"hello": Traffic(balancer="ewma")})
    assert known.of("other") is other
    assert known.of("hello") is not hello
    assert known.of("hello").traffic.balancer == "ewma"
    # What is known of its endpoints is kept: a new rule is no reason to try again who failed.
    fail(hello, A, picture(A, B))
    assert known.why_ejected("hello", A.id, now=0.0)

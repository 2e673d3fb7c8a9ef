"""Which requests are remembered, for how long, and how they are found again."""

from __future__ import annotations

import pytest

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.history import (
    MAX_FAILED,
    MAX_FOUND,
    MAX_LEFT_OUT,
    MAX_NEWEST,
    MAX_PATH,
    SLOW_S,
    History,
)
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.standing import LeftOut

NOBODY = Snapshot(NodeId(bytes(32)))


def report(
    name: str,
    *,
    trace: str = "",
    path: str | bytes = "/x",
    method: str = "GET",
    code: int = 200,
    flag: str = "",
    duration_s: float = 0.001,
    left_out: tuple[LeftOut, ...] = (),
) -> RequestReport:
    return RequestReport(
        Direction.OUTBOUND,
        name.encode(),
        trace,
        "web",
        "hello",
        method,
        path,
        code,
        flag,
        0,
        0,
        duration_s,
        1,
        "hello-1",
        left_out=left_out,
    )


def kept(*reports: RequestReport, snapshot: Snapshot = NOBODY) -> History:
    history = History()
    for second, each in enumerate(reports):
        history.add(each, wall=float(second), snapshot=snapshot)
    return history


def test_a_request_is_found_by_its_id_and_by_its_trace() -> None:
    history = kept(report("a", trace="7" * 32), report("b", trace="8" * 32), report("c", trace="7" * 32))
    assert [past.report.request_id for past in history.find("b")] == [b"b"]
    assert [(past.report.request_id, past.wall) for past in history.find("7" * 32)] == [
        (b"a", 0.0),
        (b"c", 2.0),
    ]
    assert history.find("d") == []
    assert (history.kept, history.since) == (3, 0.0)


@pytest.mark.parametrize(
    "special",
    [
        report("special", flag="UF", code=503),
        report("special", code=500),
        report("special", code=0),
        report("special", duration_s=SLOW_S),
    ],
)
def test_what_failed_or_was_slow_outlives_what_went_well(special: RequestReport) -> None:
    history = kept(report("usual"), special, *[report(f"{number}") for number in range(MAX_NEWEST)])
    assert history.find("usual") == []
    assert len(history.find("special")) == 1
    for number in range(MAX_FAILED):
        history.add(report(f"failed-{number}", code=502), wall=9_999.0, snapshot=NOBODY)
    assert history.find("special") == []
    assert history.kept == MAX_NEWEST


def test_a_tunnel_is_not_slow_because_it_lasts() -> None:
    tunnels = (
        report("connect", method="CONNECT", duration_s=99.0),
        report("switch", code=101, duration_s=99.0),
    )
    history = kept(*tunnels, *[report(f"{number}") for number in range(MAX_NEWEST)])
    assert history.find("connect") == history.find("switch") == []


def test_what_is_kept_of_one_request_is_bounded() -> None:
    many = tuple(LeftOut(NodeId(bytes([number]) * 32), "why") for number in range(100))
    history = kept(
        report("long", path=b"/" * 50_000, method="M" * 50_000, left_out=many),
        *[report("same") for _ in range(2 * MAX_FOUND)],
    )
    (past,) = history.find("long")
    assert (len(past.report.path), len(past.report.method)) == (MAX_PATH, MAX_PATH)
    assert past.report.left_out == many[:MAX_LEFT_OUT]
    assert len(history.find("same")) == MAX_FOUND


def test_where_nobody_could_be_asked_it_is_kept_what_was_wrong_with_each() -> None:
    some = tuple(
        Endpoint(
            f"n{n}", NodeId(bytes([n]) * 32), Address("10.0.0.1", 1), Service("hello", 80), False, f"why {n}"
        )
        for n in range(30)
    )
    history = kept(report("a", flag="UH", code=503), snapshot=Snapshot(NodeId(bytes(32)), {"hello": some}))
    (past,) = history.find("a")
    assert past.report.left_out == tuple(LeftOut(each.id, each.reason) for each in some[:MAX_LEFT_OUT])


def test_what_local_apps_called_lately_is_known_by_name() -> None:
    history = History()
    ours, others = Direction.OUTBOUND, Direction.INBOUND
    for at, (name, direction) in enumerate([("old", ours), ("new", ours), ("asked", others), ("", ours)]):
        history.add(_of(name, direction), wall=float(at), snapshot=NOBODY)
    assert history.called(1.0) == {"new"}
    assert history.called(0.0) == {"old", "new"}
    assert history.called(9.0) == frozenset()


def _of(service: str, direction: Direction) -> RequestReport:
    return report("x").changed(service=service, direction=direction)

"""Whoever follows the requests of a node sees each once, in order, and hears of what went by unseen."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.daemon.admin.requests_view import MAX_TOLD, Cursor, RequestsAsked, requests_asked
from gossipmesh.daemon.tapping import requests_of
from gossipmesh.model import NodeId
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.history import MAX_NEWEST, History
from gossipmesh.routing.snapshot import Snapshot

NOBODY = Snapshot(NodeId(bytes(32)))
BOOT = 3


def ended(
    history: History,
    name: str,
    *,
    service: str = "hello",
    direction: Direction = Direction.OUTBOUND,
    code: int = 200,
    flag: str = "",
) -> None:
    report = RequestReport(
        direction, name, "", "web", service, "GET", "/x", code, flag, 0, 0, 0.001, 1, "hello-1"
    )
    history.add(report, wall=1_000.0, snapshot=NOBODY)


def ask(history: History, query: str = "", *, boot: int = BOOT) -> dict[str, Any]:
    return dict(requests_of(history, requests_asked(query), boot=boot))


def names(document: dict[str, Any]) -> list[str]:
    return [each["request_id"] for each in document["requests"]]


def test_it_begins_with_the_last_ones_and_goes_on_behind_them() -> None:
    history = History()
    for number in range(5):
        ended(history, f"r{number}")
    first = ask(history, "last=2")
    assert names(first) == ["r3", "r4"]
    ended(history, "r5")
    ended(history, "r6")
    second = ask(history, f"after={first['next']}")
    assert (names(second), second["missed"]) == (["r5", "r6"], 0)
    third = ask(history, f"after={second['next']}")
    assert (names(third), third["next"]) == ([], second["next"])


def test_a_request_is_told_as_the_access_log_has_it_without_its_query() -> None:
    history = History()
    history.add(
        RequestReport(
            Direction.INBOUND,
            b"id",
            b"trace",
            "web",
            "hello",
            b"POST",
            b"/x?secret=1",
            503,
            "UF",
            1,
            2,
            0.25,
            3,
            "n1",
        ),
        wall=0.0,
        snapshot=NOBODY,
    )
    assert ask(history)["requests"] == [
        {
            "time": "1970-01-01T00:00:00.000Z",
            "request_id": "id",
            "trace_id": "trace",
            "direction": "inbound",
            "source": "web",
            "service": "hello",
            "method": "POST",
            "path": "/x",
            "code": 503,
            "flag": "UF",
            "bytes_in": 1,
            "bytes_out": 2,
            "duration_ms": 250.0,
            "attempts": 3,
            "endpoint": "n1",
        }
    ]


def test_what_was_forgotten_before_the_next_question_is_counted() -> None:
    history = History()
    ended(history, "first")
    cursor = ask(history)["next"]
    for number in range(MAX_NEWEST + 7):
        ended(history, f"r{number}")
    document = ask(history, f"after={cursor}")
    assert (document["missed"], names(document)[0], len(names(document))) == (7, "r7", MAX_TOLD)


def test_only_what_fits_is_told() -> None:
    history = History()
    ended(history, "well")
    ended(history, "other", service="world")
    ended(history, "in", direction=Direction.INBOUND)
    ended(history, "broken", code=502, flag="UC")
    ended(history, "gone", code=0, flag="DC")
    ended(history, "appsown", code=500)
    ended(history, "notfound", code=404)
    assert names(ask(history, "service=world")) == ["other"]
    assert names(ask(history, "direction=inbound")) == ["in"]
    assert names(ask(history, "failed=yes")) == ["broken", "gone", "appsown"]
    assert names(ask(history, "failed=yes&last=1&service=hello&direction=outbound")) == ["appsown"]
    assert names(ask(history, "last=0")) == []


def test_after_a_restart_whoever_follows_begins_at_its_beginning() -> None:
    history = History()
    ended(history, "new")
    for cursor in ("2.900", "2.1", "3.900"):
        document = ask(history, f"after={cursor}")
        assert (names(document), document["missed"], document["next"]) == (["new"], 0, "3.1")


@given(st.lists(st.integers(0, 3 * MAX_TOLD), max_size=8), st.booleans())
def test_nobody_sees_a_request_twice_or_out_of_order_and_what_is_missing_is_counted(
    bursts: list[int], failed_only: bool
) -> None:
    history = History()
    cursor, total, seen, missed = Cursor(BOOT, 0), 0, [], 0
    for burst in bursts:
        for _ in range(burst):
            ended(history, str(total), code=500 if total % 3 == 0 else 200)
            total += 1
        while True:
            found = requests_of(history, RequestsAsked(after=cursor, failed=failed_only), boot=BOOT)
            seen += [int(str(each["request_id"])) for each in found["requests"]]
            missed += found["missed"]
            cursor = requests_asked(f"after={found['next']}").after or cursor
            if len(found["requests"]) < MAX_TOLD:
                break
    assert seen == sorted(set(seen))
    assert cursor.number == total
    if failed_only:
        assert all(each % 3 == 0 for each in seen)
    else:
        assert len(seen) + missed == total

"""What changed in a picture, numbered."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.daemon.admin.changes import FOLLOWED, MAX_EVENTS, MEMBERS, READY, SERVICES, Changes, Picture

ALL = frozenset(FOLLOWED)


def picture(
    services: dict[str, int] | None = None, members: dict[str, int] | None = None, ready: str = ""
) -> Picture:
    services, members = services or {}, members or {}
    return Picture(
        members,
        services,
        ready,
        lambda node: {"id": node, "n": members[node]} if node in members else None,
        lambda name: {"name": name, "n": services.get(name, 0)},
    )


def told(changes: Changes, index: int, kinds: frozenset[str] = ALL) -> list[tuple[int, str, object]] | None:
    events = changes.after(index, kinds)
    return None if events is None else [(e.id, e.kind, json.loads(e.data)) for e in events]


def test_each_change_has_a_number_and_raises_the_index_of_what_it_is_about_alone() -> None:
    changes = Changes(picture({"web": 1}, {"a": 1}), first=100)
    assert [changes.index_of(each) for each in ((SERVICES, ""), (SERVICES, "web"), (MEMBERS, ""))] == [
        100
    ] * 3
    assert changes.look(picture({"web": 2, "db": 1}, {"a": 1}))
    assert changes.index_of((MEMBERS, "")) == 100
    assert changes.index_of((SERVICES, "")) == 102
    assert {changes.index_of((SERVICES, name)) for name in ("web", "db")} == {101, 102}
    assert changes.look(picture({"web": 2, "db": 1}, {"b": 1}))
    assert changes.index_of((SERVICES, "")) == 102
    assert changes.index_of((MEMBERS, "")) == 104
    assert told(changes, 102) == [
        (103, MEMBERS, {"id": "b", "n": 1}),
        (104, MEMBERS, {"id": "a", "state": "forgotten"}),
    ]
    assert told(changes, 100, frozenset({SERVICES})) == [
        (101, SERVICES, {"name": "web", "n": 2}),
        (102, SERVICES, {"name": "db", "n": 1}),
    ]
    assert not changes.look(picture({"web": 2, "db": 1}, {"b": 1}))
    assert changes.last == 104


def test_a_service_that_comes_and_goes_has_another_index_each_time() -> None:
    changes = Changes(picture(), first=1)
    seen = [changes.index_of((SERVICES, "web"))]
    for services in ({"web": 1}, {}, {"web": 1}, {}):
        changes.look(picture(services))
        seen.append(changes.index_of((SERVICES, "web")))
    assert len(set(seen)) == len(seen)


def test_readiness_has_an_index_and_no_event() -> None:
    changes = Changes(picture(ready="no seed answered"), first=1)
    assert changes.look(picture(ready=""))
    assert changes.index_of((READY, "")) == 2
    assert told(changes, 1) == []


def test_who_is_too_far_behind_or_ahead_has_to_begin_anew() -> None:
    changes = Changes(picture(), first=1_000)
    assert told(changes, 1_001) is None
    assert told(changes, 999) is None
    for number in range(MAX_EVENTS + 1):
        changes.look(picture({"web": number}))
    assert told(changes, 1_000) is None
    events = changes.after(1_001, ALL)
    assert events is not None
    assert len(events) == MAX_EVENTS


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)), max_size=12))
def test_whoever_follows_from_any_number_knows_what_there_is(pictures: list[dict[str, int]]) -> None:
    changes = Changes(picture(), first=1)
    states: dict[int, dict[str, int]] = {1: {}}
    for services in pictures:
        changes.look(picture(services))
        states[changes.last] = services
    for index, state in states.items():
        known = dict(state)
        for event in changes.after(index, ALL) or []:
            entry = json.loads(event.data)
            known[entry["name"]] = entry["n"]
        final = pictures[-1] if pictures else {}
        assert {name: n for name, n in known.items() if name in final} == final
        # The entry of what is gone says that there is nothing.
        assert not any(n for name, n in known.items() if name not in final)

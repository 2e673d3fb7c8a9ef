"""Virtual time: events in order, and nothing else."""

from __future__ import annotations

from gossipmesh.sim.events import Events


def test_events_happen_in_order_of_time_and_then_of_arrival() -> None:
    events, seen = Events(), list[str]()
    events.at(2.0, lambda: seen.append("late"))
    events.at(1.0, lambda: seen.append("first"))
    events.at(1.0, lambda: seen.append("second"))
    events.run(1.5)
    assert (seen, events.now) == (["first", "second"], 1.5)
    events.run(1.0)
    assert (seen, events.now) == (["first", "second", "late"], 2.5)


def test_an_event_of_the_past_happens_now() -> None:
    events, at = Events(), list[float]()
    events.run(5.0)
    events.at(1.0, lambda: at.append(events.now))
    events.run(0.0)
    assert at == [5.0]


def test_waiting_ends_with_the_event_that_makes_it_true() -> None:
    events, seen = Events(), list[int]()
    for second in range(1, 10):
        events.at(float(second), lambda second=second: seen.append(second))
    assert events.run_until(lambda: len(seen) == 3, within=5) == 3.0
    assert events.run_until(lambda: len(seen) == 3, within=5) == 0.0
    assert events.run_until(lambda: len(seen) == 9, within=2) is None
    assert events.run_until(lambda: False, within=100) is None
    assert len(seen) == 9

"""One machine for each service."""

from __future__ import annotations

from gossipmesh.routing.per_service import MAX_SERVICES, PerService


def test_each_service_has_one_machine_made_when_first_asked_for() -> None:
    made: list[str] = []

    def make(service: str) -> list[str]:
        made.append(service)
        return [service]

    machines = PerService(make)
    assert machines.get("hello") is None
    assert machines.of("hello") is machines.of("hello")
    assert machines.of("world") == ["world"]
    assert machines.get("hello") is machines.of("hello")
    assert made == ["hello", "world"]
    assert list(machines) == [["hello"], ["world"]]


def test_the_machine_met_first_is_forgotten_first() -> None:
    machines = PerService(lambda service: [service])
    for number in range(MAX_SERVICES + 1):
        machines.of(f"service-{number}")
    assert len(list(machines)) == MAX_SERVICES
    assert machines.get("service-0") is None
    assert machines.get("service-1") is not None

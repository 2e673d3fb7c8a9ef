"""One machine for each service that is called, up to a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

MAX_SERVICES: Final = 4_096
"""Services that are remembered; beyond it the one that was met first starts anew."""

MachineT = TypeVar("MachineT")


class PerService(Generic[MachineT]):
    """The machines of one kind, made when first asked for.

    Who holds a machine that was forgotten may go on telling it things: it harms nobody and is nobody's any more.

    Args:
        make: gives the machine of a service.
    """

    __slots__ = ("_machines", "_make")

    def __init__(self, make: Callable[[str], MachineT]) -> None:
        self._make = make
        self._machines: dict[str, MachineT] = {}

    def __len__(self) -> int:
        return len(self._machines)

    def __iter__(self) -> Iterator[MachineT]:
        return iter(tuple(self._machines.values()))

    def of(self, service: str) -> MachineT:
        """Give the machine of ``service``."""
        machine = self._machines.get(service)
        if machine is None:
            if len(self._machines) >= MAX_SERVICES:
                # First in, first out, not least recently used: that would cost every request a move in the order.
                del self._machines[next(iter(self._machines))]
            machine = self._machines[service] = self._make(service)
        return machine

    def forget(self, service: str) -> None:
        """Have the machine of ``service`` made anew when it is next asked for."""
        self._machines.pop(service, None)

    def get(self, service: str) -> MachineT | None:
        """Give the machine of ``service`` if there is one, and make none: for reports."""
        return self._machines.get(service)

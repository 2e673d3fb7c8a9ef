"""The shapes of what the admin API says of this node's own services, and what it asks of whoever keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypedDict


class OwnService(TypedDict):
    """One of this node's own services in ``/v1/status``."""

    name: str
    port: int
    state: Literal["healthy", "unhealthy", "unknown"]
    """``unknown``: no check has ended yet. Only the healthy get requests."""
    reason: str
    """What the last check found; empty where all is well."""
    check: str
    """How it is checked, in words; ``off``: not at all."""


class OwnServiceEntry(OwnService):
    """One of ``/v1/own-services``."""

    protocol: str
    weight: int
    tags: list[str]
    origin: str
    """Where it comes from: a file, variable or flag, or ``run time``."""
    changed: bool
    """Whether it was changed at run time from what its origin says; a reload or a restart changes it back."""
    ttl_s: float | None
    """How long it stays without being renewed; None: until it is removed."""
    expires_in_s: float | None


class OwnServices(TypedDict):
    """``/v1/own-services``."""

    services: list[OwnServiceEntry]
    speaker: str
    """The service that local apps speak as; empty: none."""


class ServiceBook(Protocol):
    """This node's own services, to be looked at and changed. What is refused raises MeshError and changes nothing."""

    def listing(self) -> OwnServices:
        """Give all of them."""
        ...

    async def add(self, name: str, fields: Mapping[str, object], *, ttl_s: float) -> None:
        """Offer a service, anew or in the place of what was added before; ``ttl_s`` seconds, or for ever."""
        ...

    async def change(self, name: str, fields: Mapping[str, object]) -> None:
        """Change what ``fields`` name."""
        ...

    async def renew(self, name: str) -> None:
        """Begin the time to live of a service again."""
        ...

    async def remove(self, name: str) -> None:
        """Offer a service no more."""
        ...

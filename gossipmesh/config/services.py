"""A service that is declared at run time: the keys of ``[[service]]``, read by the same readers as those of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gossipmesh.config.bind import bind
from gossipmesh.config.keys import PARTS
from gossipmesh.config.model import ServiceConfig
from gossipmesh.config.readers import read_name
from gossipmesh.config.sources import Given
from gossipmesh.errors import ConfigError

ORIGIN: Final = "the request"
"""What errors blame."""


def service_of(name: str, fields: Mapping[str, object]) -> ServiceConfig:
    """Give the service that ``fields`` declare: ``port``, and perhaps ``weight``, ``tags``, ``protocol``, ``health``.

    Raises:
        ConfigError: an unknown or missing key, or a value that it does not take.
    """
    if "name" in fields and fields["name"] != name:
        raise ConfigError("config.value", f"{ORIGIN}: name: it is {name} already, by the path; drop the key")
    given = {"name": Given(read_name(name), ORIGIN)}
    given |= {key: Given(value, ORIGIN) for key, value in fields.items() if key != "name"}
    return bind(ServiceConfig, "service", given, within=Given(fields, ORIGIN))


def service_with(service: ServiceConfig, fields: Mapping[str, object]) -> ServiceConfig:
    """Give ``service`` with what ``fields`` say in the place of what it had; its name stays.

    Raises:
        ConfigError: as :func:`service_of`.
    """
    return service_of(service.name, {**shown(service), **fields})


def shown(service: ServiceConfig) -> dict[str, object]:
    """Give a service's keys and values as the file, and JSON, would have them."""
    return {key.name: key.reader.show(getattr(service, key.attribute)) for key in PARTS[ServiceConfig]}

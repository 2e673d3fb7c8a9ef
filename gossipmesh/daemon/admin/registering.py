"""The part of the admin API by which apps and scripts register their services: ``/v1/own-services``.

===============================  ===================================================================================
``GET /v1/own-services``         this node's services: where each comes from, its health, its time to live
``GET .../NAME``                 one of them
``PUT .../NAME``                 add it, or renew it: ``{"port": 8080, "weight": 3, "tags": ["v2"], "ttl": "30s"}``
``PATCH .../NAME``               change what the body names, at once
``POST .../NAME/renew``          begin its time to live again
``DELETE .../NAME``              remove it: the mesh hears it first, and requests in flight end
===============================  ===================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from math import inf
from typing import Any, Final, NoReturn

from gossipmesh.config.readers import read_duration
from gossipmesh.daemon.admin.answers import READING, Answer, Mutation
from gossipmesh.daemon.admin.services_view import OwnServices, ServiceBook
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.model import is_name

ROOT: Final = "/v1/own-services"
MAX_DEPTH: Final = 8
"""Objects and arrays of a body within each other; a service needs three."""
_STATUS: Final = {
    "service.unknown": HTTPStatus.NOT_FOUND,
    "service.not-allowed": HTTPStatus.FORBIDDEN,
}


def register(book: ServiceBook, method: str, path: str, body: bytes) -> Answer | Mutation:
    """Give the answer to a request for ``path``, which begins with :data:`ROOT`, or what is to be done first."""
    match path.removeprefix(ROOT).split("/"):
        case [""]:
            if method not in READING:
                return Answer.of_other_methods(
                    READING, "use GET here; PUT, PATCH and DELETE go to /v1/own-services/NAME"
                )
            return Answer.of_json(book.listing())
        case ["", name, *rest] if is_name(name) and rest in ([], ["renew"]):
            try:
                return _of_one(book, method, name, bool(rest), body)
            except MeshError as error:
                return refused(error)
        case ["", _]:
            text = "a service's name has 1 to 63 of a-z, 0-9 and -"
            return Answer.of_error(HTTPStatus.BAD_REQUEST, text)
        case _:
            return Answer.of_error(HTTPStatus.NOT_FOUND, "there is nothing here; GET / lists what there is")


def _of_one(book: ServiceBook, method: str, name: str, renew: bool, body: bytes) -> Answer | Mutation:
    """Raise MeshError for what the body, or the book, has against it."""
    if renew:
        if method != "POST":
            return Answer.of_other_methods(("POST",), "use POST to renew")
        return _then_shown(book, name, lambda: book.renew(name))
    if method in READING:
        return Answer.of_json(_entry(book, name))
    if method == "DELETE":
        return lambda: book.remove(name)
    if method == "PATCH":
        fields = document_of_untrusted(body)
        if "ttl" in fields:
            raise ConfigError("config.value", "ttl: it is given when a service is added; add it again")
        return _then_shown(book, name, lambda: book.change(name, fields))
    if method == "PUT":
        fields = document_of_untrusted(body)
        ttl_s = _ttl_s(fields.pop("ttl", None))
        return _then_shown(book, name, lambda: book.add(name, fields, ttl_s=ttl_s))
    return Answer.of_other_methods((*READING, "PUT", "PATCH", "DELETE"), "use GET, PUT, PATCH or DELETE")


def _then_shown(book: ServiceBook, name: str, act: Callable[[], Awaitable[None]]) -> Mutation:
    async def done() -> Mapping[str, object]:
        await act()
        return _entry(book, name)

    return done


def _entry(book: ServiceBook, name: str) -> Mapping[str, object]:
    listing: OwnServices = book.listing()
    for entry in listing["services"]:
        if entry["name"] == name:
            return entry
    raise MeshError("service.unknown", f"this node offers no service {name}")


def _ttl_s(raw: object) -> float:
    try:
        return inf if raw is None else read_duration(raw)
    except ConfigError as error:
        raise ConfigError(error.code, f"ttl: {error}") from None


def refused(error: MeshError) -> Answer:
    """Give the answer that says ``error``."""
    default = HTTPStatus.BAD_REQUEST if isinstance(error, ConfigError) else HTTPStatus.CONFLICT
    return Answer.of_error(_STATUS.get(error.code, default), str(error))


def document_of_untrusted(body: bytes) -> dict[str, Any]:
    """Give the JSON object that a body holds.

    Raises:
        ConfigError: ``config.value``, for anything else, and for an object that has a key twice.
    """
    try:
        document = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except ConfigError:
        raise
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not _is_flat(document):
        raise ConfigError("config.value", 'the body is not a JSON object, such as {"port": 8080}')
    return document


def _is_flat(document: dict[str, Any]) -> bool:
    """Tell whether a document is no deeper than ``MAX_DEPTH``: whoever shows a part of it in an error goes as deep."""
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [part for each in level if isinstance(each, dict | list) for part in _parts(each)]
    return not any(isinstance(each, dict | list) for each in level)


def _parts(each: dict[str, object] | list[object]) -> Iterable[object]:
    return each.values() if isinstance(each, dict) else each


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ConfigError("config.value", "the body has a key twice; keep one")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ConfigError("config.value", f"{text} is not JSON")

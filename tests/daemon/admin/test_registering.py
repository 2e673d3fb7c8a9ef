"""How services are registered over the admin API: what is asked for, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from math import inf
from typing import Any, cast

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.daemon.admin.answers import Answer
from gossipmesh.daemon.admin.receiving import MAX_BODY
from gossipmesh.daemon.admin.registering import MAX_DEPTH, document_of_untrusted, refused, register
from gossipmesh.daemon.admin.services_view import OwnServices
from gossipmesh.errors import ConfigError, MeshError


@define
class Book:
    """Notes what is asked of it, and offers web."""

    asked: list[tuple[Any, ...]] = field(factory=list)

    def listing(self) -> OwnServices:
        return cast("OwnServices", {"services": [{"name": "web", "port": 80}], "speaker": ""})

    async def add(self, name: str, fields: Mapping[str, object], *, ttl_s: float) -> None:
        self.asked.append(("add", name, fields, ttl_s))

    async def change(self, name: str, fields: Mapping[str, object]) -> None:
        self.asked.append(("change", name, fields))

    async def renew(self, name: str) -> None:
        self.asked.append(("renew", name))

    async def remove(self, name: str) -> None:
        self.asked.append(("remove", name))


async def done(book: Book, method: str, path: str, body: bytes = b"") -> object:
    found = register(book, method, f"/v1/own-services{path}", body)
    assert not isinstance(found, Answer), found
    return await found()


def answered(method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    found = register(Book(), method, f"/v1/own-services{path}", body)
    assert isinstance(found, Answer)
    return found.status, json.loads(found.body)


async def test_each_method_is_one_change_and_shows_what_became_of_it() -> None:
    book = Book()
    web = {"name": "web", "port": 80}
    assert await done(book, "PUT", "/web", b'{"port": 80, "ttl": "30s"}') == web
    assert await done(book, "PUT", "/web", b'{"port": 80}') == web
    assert await done(book, "PATCH", "/web", b'{"weight": 3}') == web
    assert await done(book, "POST", "/web/renew") == web
    assert await done(book, "DELETE", "/web") is None
    assert book.asked == [
        ("add", "web", {"port": 80}, 30.0),
        ("add", "web", {"port": 80}, inf),
        ("change", "web", {"weight": 3}),
        ("renew", "web"),
        ("remove", "web"),
    ]


def test_services_are_shown_all_or_one() -> None:
    assert answered("GET", "")[1] == {"services": [{"name": "web", "port": 80}], "speaker": ""}
    assert answered("GET", "/web") == (200, {"name": "web", "port": 80})
    assert answered("GET", "/other")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "", 405),
        ("GET", "/web/renew", 405),
        ("POST", "/web", 405),
        ("PUT", "/Web", 400),
        ("PUT", "/" + "a" * 64, 400),
        ("PUT", "/", 400),
        ("PUT", "/web/other", 404),
        ("PUT", "/web/renew/renew", 404),
    ],
)
def test_what_is_no_change_says_what_would_be_one(method: str, path: str, status: int) -> None:
    assert answered(method, path, b'{"port": 80}')[0] == status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "GET, HEAD"),
        ("GET", "/web/renew", "POST"),
        ("POST", "/web", "GET, HEAD, PUT, PATCH, DELETE"),
    ],
)
def test_a_method_that_is_not_taken_is_told_those_that_are(method: str, path: str, allowed: str) -> None:
    found = register(Book(), method, f"/v1/own-services{path}", b"")
    assert isinstance(found, Answer)
    assert found.more == (("allow", allowed),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"port": 80',
        b'{"port": 80, "port": 81}',
        b'{"weight": NaN}',
        b'{"ttl": 30}',
        b'{"ttl": "never"}',
        b"\xff\xfe",
        b"[" * MAX_BODY,
        b'{"a":' * (MAX_BODY // 5),
        b'{"port": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    status, document = answered("PUT", "/web", body)
    assert status == 400
    assert set(document) == {"error"}


@pytest.mark.parametrize("depth", [MAX_DEPTH, *range(900, 1_000, 5), *range(980, 1_000)])
def test_a_body_is_not_so_deep_that_an_error_about_it_could_not_show_it(depth: int) -> None:
    body = b'{"port": 80, "weight": ' + b"[" * depth + b"]" * depth + b"}"
    assert answered("PUT", "/web", body)[0] == 400


async def test_a_body_may_be_as_deep_as_a_service_is() -> None:
    body = b'{"port": 80, "health": {"http": "/", "expect": [200]}, "tags": ["v1"]}'
    assert await done(Book(), "PUT", "/web", body) == {"name": "web", "port": 80}


def test_a_time_to_live_cannot_be_changed_alone() -> None:
    status, document = answered("PATCH", "/web", b'{"ttl": "30s"}')
    assert (status, document["error"]) == (400, "ttl: it is given when a service is added; add it again")


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_body_is_an_object_or_refused(body: bytes) -> None:
    try:
        assert isinstance(document_of_untrusted(body), dict)
    except ConfigError as error:
        assert error.code == "config.value"


def test_each_refusal_has_its_status() -> None:
    for error, status in (
        (ConfigError("record.too-long", "it is too long"), HTTPStatus.BAD_REQUEST),
        (MeshError("service.unknown", "no"), HTTPStatus.NOT_FOUND),
        (MeshError("service.not-allowed", "no"), HTTPStatus.FORBIDDEN),
        (MeshError("service.configured", "no"), HTTPStatus.CONFLICT),
    ):
        assert refused(error).status is status

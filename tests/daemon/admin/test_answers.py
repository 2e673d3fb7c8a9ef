"""What the admin API answers to questions about requests."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from gossipmesh.daemon.admin.answers import MAX_FIELDS, Answer, answer
from gossipmesh.daemon.admin.explained_view import Explained
from gossipmesh.daemon.admin.view import NodeView
from gossipmesh.errors import MeshError, RequestError


class Asked:
    """A node that says what it was asked."""

    def explain(self, method: str, url: str, headers: list[tuple[str, str]]) -> Explained:
        if url == "bad":
            raise RequestError("DPE", 400, "this is no method, or no target of a request")
        return cast("Explained", {"method": method, "url": url, "headers": headers})

    def explain_past(self, name: str) -> Explained:
        if name == "unknown":
            raise MeshError("explain.unknown", "no request unknown is known to this node")
        return cast("Explained", {"name": name})


def asked(target: str) -> tuple[HTTPStatus, dict[str, Any]]:
    given = answer(cast("NodeView", Asked()), "GET", target)
    assert isinstance(given, Answer)
    assert given.content_type == "application/json"
    return given.status, json.loads(given.body)


def test_a_question_about_a_request_names_its_url_and_perhaps_method_and_headers() -> None:
    assert asked("/v1/explain?url=http://hello/x") == (
        HTTPStatus.OK,
        {"method": "GET", "url": "http://hello/x", "headers": []},
    )
    query = urlencode(
        [("method", "PUT"), ("url", "http://hello/?a=1&b=2"), ("header", "X-User: a b"), ("header", "y:z")]
    )
    assert asked(f"/v1/explain?{query}") == (
        HTTPStatus.OK,
        {"method": "PUT", "url": "http://hello/?a=1&b=2", "headers": [["X-User", " a b"], ["y", "z"]]},
    )


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?method=GET",
        "?url=a&url=b",
        "?url=a&method=GET&method=PUT",
        "?url=a&other=b",
        "?url=a&header=no-colon",
        "?url=bad",
        "?url",
        "?url=a" + "&header=a:b" * MAX_FIELDS,
    ],
)
def test_what_is_no_question_is_answered_with_what_would_be_one(query: str) -> None:
    status, document = asked(f"/v1/explain{query}")
    assert status is HTTPStatus.BAD_REQUEST
    assert set(document) == {"error"}


def test_too_many_headers_are_refused_with_how_many_there_may_be() -> None:
    status, document = asked("/v1/explain?url=http://hello/" + "&header=a:b" * 64)
    assert status is HTTPStatus.BAD_REQUEST
    assert document["error"].endswith("with at most 64 fields")


def test_a_past_request_is_named_by_whatever_its_id_is() -> None:
    assert asked("/v1/explain/r-1") == (HTTPStatus.OK, {"name": "r-1"})
    assert asked("/v1/explain/%2Fa%20%25%2F%3F") == (HTTPStatus.OK, {"name": "/a %/?"})
    status, document = asked("/v1/explain/unknown")
    assert (status, document) == (
        HTTPStatus.NOT_FOUND,
        {"error": "no request unknown is known to this node"},
    )
    assert asked("/v1/explain/a/b")[0] is HTTPStatus.NOT_FOUND

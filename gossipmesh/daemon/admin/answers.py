"""What the admin API answers: each made at once, from memory, by :func:`answer`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

from attrs import evolve, field, frozen

from gossipmesh.daemon.admin.explained_view import Explained
from gossipmesh.daemon.admin.requests_view import requests_asked
from gossipmesh.daemon.admin.view import NodeView
from gossipmesh.daemon.telemetry.metrics import CONTENT_TYPE as METRICS_TYPE
from gossipmesh.errors import ConfigError, MeshError, RequestError
from gossipmesh.model import is_name

MAX_FIELDS: Final = 64
"""In one query: method, url and headers."""
QUESTION: Final = ("source", "service", "method", "path", "as")
"""What ``/v1/can`` takes."""
CHARTER: Final = "/v1/charter/"
"""Requests below this path have a body, and those to the next one and below it."""
TRIALS: Final = "/v1/policy/seen"
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_TEXT: Final = "text/plain; charset=utf-8"
READING: Final = ("GET", "HEAD")
PATHS: Final = """\
/                      the dashboard, for a browser; this list for others
/healthz               alive
/readyz                joined, in sync, listening, not draining: 200, else 503 and why
/metrics               Prometheus text
/v1/status             this node in short
/v1/check              what is right and wrong here, with what to do about it
/v1/members            all members
/v1/services           all services
/v1/services/NAME      one service's endpoints (/v1/endpoints/NAME too)
/v1/explain?url=U      where a request would go, and why; method=M, header=Name: value
/v1/explain/ID         what became of the request with this x-request-id or trace id
/v1/requests           what ended lately; after=CURSOR (as `next` said), last=N, service=S, direction=D,
                       failed=yes; on the unix socket only
/v1/can?source=S&service=S   may S (a node, or service:NAME) ask it; method=M, path=P, as=SERVICE
/v1/policy             the newest policy document, and which one each member has; /v1/policy/N: version N
/v1/policy/history     the documents that are remembered
/v1/revocations        who is revoked, and why
/v1/identities         what a revocation may name of each member
                       members, services and readyz wait for changes: ?index=N&wait=30s, N being X-Gossipmesh-Index
/v1/events             what changes, as server-sent events; types=services,members
/v1/own-services       this node's services; on the unix socket PUT, PATCH and DELETE /v1/own-services/NAME
/v1/config             the effective configuration and where each value came from
/v1/trace              what membership was told lately, for `gossipmesh sim --replay`; on the unix socket only
POST /v1/drain         take no more work from the mesh; on the unix socket only
POST /v1/leave         leave the mesh; on the unix socket only
POST /v1/reachability  reach for every member from here, by UDP and TCP; on the unix socket only
POST /v1/policy/seen   what the policy in the body would have decided about this node's requests; below, /mesh: signed
POST /v1/charter/KIND  take a bundle, revocation or policy, signed for the mesh; on the unix socket only
"""


@frozen
class Answer:
    """A whole response."""

    status: HTTPStatus
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    content_type: str = _TEXT
    more: tuple[tuple[str, str], ...] = ()
    """Headers beside those that every answer has."""

    @classmethod
    def of_json(cls, document: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> Answer:
        """Give ``document`` as one line of JSON."""
        return cls(status, json.dumps(document).encode() + b"\n", _JSON)

    @classmethod
    def of_error(cls, status: HTTPStatus, text: str) -> Answer:
        """Give an error that says in words what is wrong."""
        return cls.of_json({"error": text}, status)

    @classmethod
    def of_other_methods(cls, allowed: Sequence[str], text: str) -> Answer:
        """Give the answer to a method that is none of ``allowed``, which it names (RFC 9110, section 15.5.6)."""
        found = cls.of_error(HTTPStatus.METHOD_NOT_ALLOWED, text)
        return found.with_header("allow", ", ".join(allowed))

    def with_header(self, name: str, value: str) -> Answer:
        """Give this with one header more."""
        return evolve(self, more=(*self.more, (name, value)))


Mutation = Callable[[], Awaitable[Mapping[str, object] | None]]
"""Does something, and gives the document to answer with; None: that it is done."""
ORDERS: Final[Mapping[str, Callable[[NodeView], Mutation]]] = {
    "/v1/drain": lambda view: view.drain,
    "/v1/leave": lambda view: view.leave,
    "/v1/reachability": lambda view: view.reachability,
}
"""What takes POST without a body."""


def answer(view: NodeView, method: str, target: str, body: bytes = b"") -> Answer | Mutation:
    """Give the answer to a request that a door let in, or what is to be done before it is answered."""
    path = target.partition("?")[0]
    if method == "POST":
        if (order := ORDERS.get(path)) is not None:
            return order(view)
        if path in (TRIALS, f"{TRIALS}/mesh"):
            return partial(_try_on, view, body, signed=path != TRIALS)
        if path.startswith(CHARTER):
            return partial(_offer, view, path.removeprefix(CHARTER), body)
        return Answer.of_error(
            HTTPStatus.NOT_FOUND,
            "only /v1/drain, leave, reachability, charter/KIND and policy/seen take POST",
        )
    if method not in READING:
        allowed = ("POST",) if _takes_post(path) else READING
        return Answer.of_other_methods(allowed, f"use {' or '.join(allowed)} here")
    match path.split("/")[1:]:
        case [""]:
            # A browser gets the dashboard there.
            return Answer(HTTPStatus.OK, PATHS.encode()).with_header("vary", "Accept")
        case ["healthz"]:
            return Answer(HTTPStatus.OK, b"alive\n")
        case ["readyz"]:
            ready = view.ready()
            status = HTTPStatus.OK if ready.ok else HTTPStatus.SERVICE_UNAVAILABLE
            return Answer(status, (ready.reason or "ready").encode() + b"\n")
        case ["metrics"]:
            return Answer(HTTPStatus.OK, view.metrics_text(), METRICS_TYPE)
        case ["v1", "status"]:
            return Answer.of_json(view.status())
        case ["v1", "members"]:
            return Answer.of_json(view.members())
        case ["v1", "services"]:
            return Answer.of_json(view.services())
        case ["v1", "revocations"]:
            return Answer.of_json(view.revocations())
        case ["v1", "identities"]:
            return Answer.of_json(view.identities())
        case ["v1", "check"]:
            return _check(view)
        case ["v1", "config"]:
            return Answer.of_json(view.config())
        case ["v1", "trace"]:
            return _trace(view)
        case ["v1", "requests"]:
            return _requests(view, target)
        case ["v1", "can"]:
            return _can(view, target)
        case ["v1", "policy", *rest]:
            return _policy(view, rest)
        case ["v1", "explain"] | ["v1", "explain", _]:
            return _explain(view, target)
        case ["v1", "endpoints" | "services", name]:
            endpoints = view.endpoints(name) if is_name(name) else None
            if endpoints is None:
                return Answer.of_error(
                    HTTPStatus.NOT_FOUND, "nobody in the mesh offers a service of that name"
                )
            return Answer.of_json(endpoints)
        case _:
            return Answer.of_error(HTTPStatus.NOT_FOUND, "there is nothing here; GET / lists what there is")


def _takes_post(path: str) -> bool:
    return path in (*ORDERS, TRIALS, f"{TRIALS}/mesh") or path.startswith(CHARTER)


async def _try_on(view: NodeView, body: bytes, *, signed: bool) -> Mapping[str, object]:
    return await view.try_policy(body, signed=signed)


async def _offer(view: NodeView, kind: str, raw: bytes) -> Mapping[str, object]:
    said = await view.offer(kind, raw)
    if said not in ("taken", "stale"):
        raise MeshError("charter.refused", said.removeprefix("refused: "))
    return {"answer": said}


def _check(view: NodeView) -> Answer:
    try:
        return Answer.of_json(view.check())
    except MeshError as error:
        return Answer.of_error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def _requests(view: NodeView, target: str) -> Answer:
    try:
        asked = requests_asked(target.partition("?")[2])
    except ConfigError as error:
        return Answer.of_error(HTTPStatus.BAD_REQUEST, str(error))
    return Answer.of_json(view.requests(asked))


def _explain(view: NodeView, target: str) -> Answer:
    try:
        return Answer.of_json(_explained(view, target))
    except ConfigError as error:
        return Answer.of_error(HTTPStatus.BAD_REQUEST, str(error))
    except MeshError as error:
        return Answer.of_error(HTTPStatus.NOT_FOUND, str(error))


def _policy(view: NodeView, rest: list[str]) -> Answer:
    if rest == ["history"]:
        return Answer.of_json({"policies": view.policy_history()})
    version = "".join(rest)
    if len(rest) > 1 or not (not version or (version.isascii() and version.isdigit() and len(version) < 11)):
        return Answer.of_error(
            HTTPStatus.NOT_FOUND, "there is /v1/policy, /v1/policy/VERSION and .../history"
        )
    try:
        return Answer.of_json(view.policy(int(version) if version else None))
    except MeshError as error:
        return Answer.of_error(HTTPStatus.NOT_FOUND, str(error))


def _can(view: NodeView, target: str) -> Answer:
    try:
        asked = _fields(target.partition("?")[2], QUESTION)
        if not {"source", "service"} <= asked.keys():
            raise ConfigError("config.value", "name a source and a service: ?source=web-1&service=orders")
        found = view.can(
            asked["source"],
            asked["service"],
            asked.get("method", "GET"),
            asked.get("path", "/"),
            speaks_as=asked.get("as"),
        )
    except ConfigError as error:
        return Answer.of_error(HTTPStatus.BAD_REQUEST, str(error))
    return Answer.of_json(found)


def _fields(query: str, known: tuple[str, ...]) -> dict[str, str]:
    """Give the fields of a query, each of which may be there once.

    Raises:
        ConfigError: it has others.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=len(known))
    except ValueError:
        pairs = []
    fields = dict(pairs)
    if not pairs or len(fields) < len(pairs) or not fields.keys() <= set(known):
        raise ConfigError(
            "config.value", f"this is no question: write ?NAME=VALUE&..., with {', '.join(known)}"
        )
    return fields


def _trace(view: NodeView) -> Answer:
    try:
        return Answer(HTTPStatus.OK, view.trace(), _BYTES)
    except MeshError as error:
        return Answer.of_error(HTTPStatus.NOT_FOUND, str(error))


def _explained(view: NodeView, target: str) -> Explained:
    """Give the explanation that ``/v1/explain?...`` or ``/v1/explain/REQUEST-ID`` asks for.

    Raises:
        ConfigError: the query is not valid (400).
        MeshError: no such request is known (404).
    """
    path, _, query = target.partition("?")
    name = path.removeprefix("/v1/explain").removeprefix("/")
    if name:
        return view.explain_past(unquote(name, "latin-1"))
    method, url, headers = _asked(query)
    try:
        return view.explain(method, url, headers)
    except RequestError as error:
        raise ConfigError("config.value", str(error)) from None


def _asked(query: str) -> tuple[str, str, list[tuple[str, str]]]:
    try:
        fields = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, encoding="latin-1", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise _wrong(f"write ?method=GET&url=http://NAME/PATH, with at most {MAX_FIELDS} fields") from None
    methods = [text for name, text in fields if name == "method"]
    urls = [text for name, text in fields if name == "url"]
    headers = [text.partition(":") for name, text in fields if name == "header"]
    if len(methods) > 1 or len(urls) != 1 or len(methods) + len(urls) + len(headers) != len(fields):
        raise _wrong("it takes one url, at most one method, and header=Name: value, as often as needed")
    if not all(colon for _, colon, _ in headers):
        raise _wrong("a header is Name: value")
    return methods[0] if methods else "GET", urls[0], [(name, text) for name, _, text in headers]


def _wrong(text: str) -> ConfigError:
    return ConfigError("config.value", f"this is no question: {text}")

"""Where requests to the admin API go: to what answers at once, the services' book, what waits, or the dashboard."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gossipmesh.daemon.admin.answers import READING, Answer, Mutation, answer
from gossipmesh.daemon.admin.dashboard import PAGE, wants_page
from gossipmesh.daemon.admin.receiving import Asked
from gossipmesh.daemon.admin.registering import ROOT, register
from gossipmesh.daemon.admin.view import NodeView
from gossipmesh.daemon.admin.watching import INDEX_HEADER, Follow, Wait, follow_of, topic_of, wait_of
from gossipmesh.errors import ConfigError

EVENTS: Final = "/v1/events"


def wanted(asked: Asked) -> Wait | Follow | Answer | None:
    """Give what a request wants to wait for before, or in place of, its answer; or the answer to what is no wait."""
    if asked.method not in READING:
        return None
    try:
        if asked.target.partition("?")[0] == EVENTS:
            return follow_of(asked.target, asked.header(b"last-event-id"))
        return None if topic_of(asked.target) is None else wait_of(asked.target)
    except ConfigError as error:
        return Answer.of_error(HTTPStatus.BAD_REQUEST, str(error))


def answered(view: NodeView, asked: Asked) -> Answer | Mutation:
    """Give the answer to a request that a door let in, as of now, or what is to be done before it is answered."""
    path = asked.target.partition("?")[0]
    if path == ROOT or path.startswith(f"{ROOT}/"):
        return register(view.book, asked.method, path, asked.body)
    if path == "/" and asked.method in READING and wants_page(_accept(asked)):
        return PAGE
    topic = topic_of(asked.target)
    # Before the answer is made, so that the index is never ahead of it.
    index = None if topic is None else view.news.index(topic)
    found = answer(view, asked.method, asked.target, asked.body)
    if index is None or not isinstance(found, Answer):
        return found
    return found.with_header(INDEX_HEADER, str(index))


def _accept(asked: Asked) -> str:
    """Give what a request accepts, in one line (RFC 9110, section 5.3)."""
    return ",".join(value.decode("latin-1") for name, value in asked.request.headers if name == b"accept")

"""The admin API: small HTTP/1.1 over two listeners.

The TCP one is for reading. Any program of this host may use it, a browser too, so the Host must be exactly one of
ours: a page that made its own name resolve to 127.0.0.1 still sends its own name. The unix socket lies in the
state directory, mode 0600, and also takes what changes something.

Law: an answer is made at once from memory by :func:`answer`; only the loop around it waits, and every wait, size
and number of connections has a limit.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import h11
import trio
from attrs import frozen

from gossipmesh.daemon.answers import CHARTER, READING, TRIALS, Answer, answer
from gossipmesh.daemon.view import NodeView
from gossipmesh.errors import StateError
from gossipmesh.model import Address

MAX_HEAD: Final = 16 * 1024
MAX_CONNECTIONS: Final = 64
"""Per listener, so that whoever fills the TCP one does not lock its owner out of the unix socket."""
CHUNK: Final = 4 * 1024
BACKLOG: Final = 64
FIRST_REQUEST_TIMEOUT_S: Final = 3.0
"""From a connection's beginning to the end of its first request; who connects has something to ask."""
REQUEST_TIMEOUT_S: Final = 15.0
"""From an answer to the end of the next request."""
WRITE_TIMEOUT_S: Final = 10.0
ACCEPT_PAUSE_S: Final = 0.1
MAX_OFFERED: Final = 64 * 1024
"""Bytes of a body, for the few requests that have one."""
OWNERS_ONLY: Final = frozenset({"/v1/trace"})
"""Changes nothing, but says more of the mesh and its past than any program of this host needs to know."""
_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@frozen
class Door:
    """What one listener lets in.

    ``hosts``: the values that Host may have, in lower case; None where nobody but the owner can connect.
    """

    hosts: frozenset[str] | None
    mutations: bool

    def refusal(self, request: h11.Request) -> Answer | None:
        """Give why ``request`` may not come in here, or None if it may."""
        if self.hosts is not None:
            named = [value.decode("latin-1").lower() for name, value in request.headers if name == b"host"]
            if len(named) != 1 or named[0] not in self.hosts:
                text = "this listener answers to its own address only: use 127.0.0.1 or localhost as the host"
                return Answer.of_error(HTTPStatus.MISDIRECTED_REQUEST, text)
        if not self.mutations and request.method.decode("ascii") not in READING:
            text = "this listener is for reading; changes go through the unix socket, as `gossipmesh` does"
            return Answer.of_error(HTTPStatus.METHOD_NOT_ALLOWED, text)
        if not self.mutations and request.target.decode("ascii").partition("?")[0] in OWNERS_ONLY:
            text = "only this daemon's owner may have that; ask at the unix socket, as `gossipmesh` does"
            return Answer.of_error(HTTPStatus.FORBIDDEN, text)
        return None


def door_of(address: Address) -> Door:
    """Give the door of a TCP connection that was accepted at ``address``."""
    bare = address.host if ":" not in address.host else f"[{address.host}]"
    names = ("localhost", "127.0.0.1", "[::1]", bare.lower())
    return Door(frozenset(names) | {f"{name}:{address.port}" for name in names}, mutations=False)


OWNER: Final = Door(hosts=None, mutations=True)


async def serve_tcp(
    view: NodeView,
    listen: Address,
    *,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the read-only API until cancelled; ``started`` gives the address that was bound.

    Raises:
        OSError: the address cannot be bound.
    """
    (listener,) = await trio.open_tcp_listeners(listen.port, host=listen.host, backlog=BACKLOG)
    host, port = listener.socket.getsockname()[:2]
    task_status.started(Address(host, port))
    await _serve(view, listener, None)


async def serve_unix(
    view: NodeView, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the whole API on the unix socket ``path`` until cancelled.

    The state directory's lock says that no other daemon uses ``path``, so a socket found there was left behind.

    Raises:
        StateError: ``state.socket``, where the socket cannot be made.
    """
    try:
        listening = _listen_unix(path)
    except OSError as error:
        text = f"the admin socket {path} cannot be made: {error.strerror}"
        hint = "remove what is there, or name another --state DIR"
        raise StateError("state.socket", f"{text}; {hint}") from None
    try:
        task_status.started()
        await _serve(view, trio.SocketListener(trio.socket.from_stdlib_socket(listening)), OWNER)
    finally:
        listening.close()
        with suppress(OSError):  # The next start sees what is left there, and can say so.
            _remove(path)


def _listen_unix(path: Path) -> socket.socket:
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.bind(os.fspath(path))
        # Nobody can have connected since bind: that takes listen().
        path.chmod(0o600)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


class _Places:
    """The places for connections of one listener. Whoever is idle longest goes when another needs the place."""

    def __init__(self) -> None:
        self._free: Final = trio.Semaphore(MAX_CONNECTIONS)
        self._idle: Final[dict[trio.CancelScope, None]] = {}

    async def take(self) -> None:
        """Wait for a place; where none is free, one that waits for a request is cleared at once."""
        if self._free.value == 0:
            self._clear_longest_idle()
        await self._free.acquire()

    def give_back(self) -> None:
        """Let the next one have a place."""
        self._free.release()

    @contextmanager
    def idle(self, limit_s: float) -> Iterator[None]:
        """Wait for a request inside of this: it ends, cancelled, after ``limit_s``, or when the place is needed."""
        with trio.move_on_after(limit_s) as scope:
            self._idle[scope] = None
            if self._free.statistics().tasks_waiting:
                self._clear_longest_idle()
            try:
                yield
            finally:
                self._idle.pop(scope, None)

    def _clear_longest_idle(self) -> None:
        if self._idle:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.cancel()


async def _serve(view: NodeView, listener: trio.SocketListener, door: Door | None) -> None:
    places = _Places()
    async with listener, trio.open_nursery() as nursery:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                # Others hold what we need; trying again at once would only burn the processor.
                await trio.sleep(ACCEPT_PAUSE_S)
                continue
            try:
                await places.take()
            except trio.Cancelled:
                stream.socket.close()
                raise
            nursery.start_soon(_connection, view, stream, door, places)


async def _connection(view: NodeView, stream: trio.SocketStream, door: Door | None, places: _Places) -> None:
    """Answer the requests of one connection, one after the other."""
    try:
        async with stream:
            if door is None:
                # The address that this connection came to: with 0.0.0.0 bound, the bound one says nothing.
                door = door_of(Address(*stream.socket.getsockname()[:2]))
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
            limit_s = FIRST_REQUEST_TIMEOUT_S
            while True:
                request = None
                with places.idle(limit_s):
                    request = await _receive_request(stream, connection)
                if request is None or not await _answer_one(view, stream, connection, door, request):
                    return
                connection.start_next_cycle()
                limit_s = REQUEST_TIMEOUT_S
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        return
    finally:
        places.give_back()


async def _answer_one(
    view: NodeView,
    stream: trio.SocketStream,
    connection: h11.Connection,
    door: Door,
    received: tuple[h11.Request, bytes] | Answer,
) -> bool:
    """Answer one request, or refuse what was none; tell whether the connection can take another."""
    if isinstance(received, Answer):
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await _send(stream, connection, received, last=True)
        return False
    request, body = received
    found = door.refusal(request) or answer(
        view, request.method.decode("ascii"), request.target.decode("ascii"), body
    )
    if not isinstance(found, Answer):
        found = await found() or Answer.of_json({"done": True})
    await _send(stream, connection, found, to_head=request.method == b"HEAD")
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _receive_request(
    stream: trio.SocketStream, connection: h11.Connection
) -> tuple[h11.Request, bytes] | Answer | None:
    """Give the next request and its body, the answer to what is none, or None at the end of the connection."""
    request: h11.Request | None = None
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            large = status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            text = f"a request's head has at most {MAX_HEAD} bytes here" if large else "this is not a request"
            return Answer.of_error(status, text)
        match event:
            case h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(CHUNK))
            case h11.Request():
                if (refusal := _refusal_of_form(event)) is not None:
                    return refusal
                request = event
            case h11.EndOfMessage():
                return None if request is None else (request, body)
            case h11.Data(data=data) if request is not None and _has_body(request):
                body += data
                if len(body) > MAX_OFFERED:
                    text = f"nothing that is signed for a mesh has more than {MAX_OFFERED} bytes"
                    return Answer.of_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            case h11.Data():
                text = "requests to this API have no body"
                return Answer.of_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            case _:
                return None


def _has_body(request: h11.Request) -> bool:
    return request.method == b"POST" and request.target.startswith((CHARTER.encode(), TRIALS.encode()))


def _refusal_of_form(request: h11.Request) -> Answer | None:
    """Give the answer to a request that h11 takes and that a server should not (RFC 9110, 15.6.6; RFC 9112, 6.1)."""
    if not request.http_version.startswith(b"1."):
        return Answer.of_error(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this listener speaks HTTP/1.1")
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
        text = "content-length beside transfer-encoding: where this request ends is anybody's guess"
        return Answer.of_error(HTTPStatus.BAD_REQUEST, text)
    return None


async def _send(
    stream: trio.SocketStream,
    connection: h11.Connection,
    found: Answer,
    *,
    to_head: bool = False,
    last: bool = False,
) -> None:
    """Send an answer, without its body if it is one to HEAD (RFC 9110, section 9.3.2)."""
    headers = [
        ("content-type", found.content_type),
        ("content-length", str(len(found.body))),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ]
    if last:
        headers.append(("connection", "close"))
    if found.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("allow", ", ".join(READING)))
    head = h11.Response(status_code=found.status, headers=headers, reason=found.status.phrase)
    parts = [connection.send(head)]
    if not to_head:
        parts.append(connection.send(h11.Data(data=found.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    # Shielded, because the answer to `leave` is sent while the daemon is already being taken down.
    with trio.CancelScope(shield=True, deadline=trio.current_time() + WRITE_TIMEOUT_S):
        await stream.send_all(b"".join(part for part in parts if part))

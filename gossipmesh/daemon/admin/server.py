"""The admin API: small HTTP/1.1 over two listeners.

The TCP one is for reading. Any program of this host may use it, a browser too, so the Host must be exactly one of
ours: a page that made its own name resolve to 127.0.0.1 still sends its own name. The unix socket lies in the
state directory, mode 0600, and also takes what changes something.

Law: an answer is made at once from memory (:mod:`.desk`); only the loop around it waits, for requests, for changes that
somebody wants to hear of, and for readers. Every wait, size and number of connections has a limit, and those who wait
for changes never have all of the places. No connection ends more than itself (:mod:`.bugs`).
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import aclosing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import h11
import trio
from attrs import frozen

from gossipmesh.daemon.admin.answers import READING, Answer
from gossipmesh.daemon.admin.bugs import Boundary, Bugs
from gossipmesh.daemon.admin.desk import answered, wanted
from gossipmesh.daemon.admin.event_stream import CONTENT_TYPE as STREAM_TYPE
from gossipmesh.daemon.admin.event_stream import parts_of
from gossipmesh.daemon.admin.places import MAX_WAITING, Places
from gossipmesh.daemon.admin.receiving import CHUNK, MAX_HEAD, Asked, NoRequest, receive_request
from gossipmesh.daemon.admin.registering import refused
from gossipmesh.daemon.admin.view import NodeView
from gossipmesh.daemon.admin.watching import Follow, Wait, topic_of
from gossipmesh.errors import MeshError, StateError
from gossipmesh.model import Address

BACKLOG: Final = 64
FIRST_REQUEST_TIMEOUT_S: Final = 3.0
"""From a connection's beginning to the end of its first request; who connects has something to ask."""
REQUEST_TIMEOUT_S: Final = 15.0
"""From an answer to the end of the next request."""
WRITE_TIMEOUT_S: Final = 10.0
MAX_AHEAD: Final = 16 * 1024
"""Bytes of next requests while one waits."""
ACCEPT_PAUSE_S: Final = 0.1
OWNERS_ONLY: Final = frozenset({"/v1/trace", "/v1/requests"})
"""Change nothing, but say more of the mesh and its past than any program of this host needs to know."""
_FROM_HERE: Final = frozenset({"none", "same-origin"})
"""What Sec-Fetch-Site says of an address that a person typed, and of our own answers. A page of another port of this
host is ``same-site``, and none of ours."""
_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@frozen
class Door:
    """What one listener lets in.

    ``hosts``: the values that Host may have, in lower case; None where nobody but the owner can connect.

    A browser lets any page send a GET to 127.0.0.1, under our own Host. It tells where such a request comes from: in
    Origin where the page wants to read the answer, and in Sec-Fetch-Site always (Fetch Metadata Request Headers).
    """

    hosts: frozenset[str] | None
    mutations: bool

    def refuses(self, request: h11.Request) -> bool:
        """Tell whether ``request`` may not come in here."""
        return self.refusal(request) is not None

    def refusal(self, request: h11.Request) -> Answer | None:
        """Give why ``request`` may not come in here, or None if it may."""
        if not request.target.startswith(b"/"):
            # h11 lets other forms through (RFC 9112, section 3.2); what is behind goes by the parts between slashes.
            return Answer.of_error(HTTPStatus.NOT_FOUND, "there is nothing here; GET / lists what there is")
        if self.hosts is not None:
            named = [value.decode("latin-1").lower() for name, value in request.headers if name == b"host"]
            if len(named) != 1 or named[0] not in self.hosts:
                text = "this listener answers to its own address only: use 127.0.0.1 or localhost as the host"
                return Answer.of_error(HTTPStatus.MISDIRECTED_REQUEST, text)
            if not self._is_from_here(request):
                text = "a page of another site asks here; open this address in the browser's own address line"
                return Answer.of_error(HTTPStatus.FORBIDDEN, text)
        if not self.mutations and request.method.decode("ascii") not in READING:
            text = "this listener is for reading; changes go through the unix socket, as `gossipmesh` does"
            return Answer.of_other_methods(READING, text)
        if not self.mutations and request.target.decode("ascii").partition("?")[0] in OWNERS_ONLY:
            text = "only this daemon's owner may have that; ask at the unix socket, as `gossipmesh` does"
            return Answer.of_error(HTTPStatus.FORBIDDEN, text)
        return None

    def _is_from_here(self, request: h11.Request) -> bool:
        """Tell whether no browser says that a page of another origin makes this request."""
        origins = {f"http://{host}" for host in self.hosts or ()}
        for name, value in request.headers:
            text = value.decode("latin-1").lower()
            if name == b"origin" and text not in origins:
                return False
            if name == b"sec-fetch-site" and text not in _FROM_HERE:
                return False
        return True


def door_of(address: Address) -> Door:
    """Give the door of a TCP connection that was accepted at ``address``."""
    bare = address.host if ":" not in address.host else f"[{address.host}]"
    names = ("localhost", "127.0.0.1", "[::1]", bare.lower())
    return Door(frozenset(names) | {f"{name}:{address.port}" for name in names}, mutations=False)


_ALWAYS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
OWNER: Final = Door(hosts=None, mutations=True)


async def serve_tcp(
    view: NodeView,
    listen: Address,
    bugs: Bugs | None = None,
    *,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the read-only API until cancelled; ``started`` gives the address that was bound.

    Args:
        view: the node.
        listen: where.
        bugs: is told of what a connection raises, and none should.
        task_status: trio's.

    Raises:
        OSError: the address cannot be bound.
    """
    (listener,) = await trio.open_tcp_listeners(listen.port, host=listen.host, backlog=BACKLOG)
    host, port = listener.socket.getsockname()[:2]
    task_status.started(Address(host, port))
    await _serve(view, listener, None, bugs or Bugs())


async def serve_unix(
    view: NodeView,
    path: Path,
    bugs: Bugs | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the whole API on the unix socket ``path`` until cancelled.

    Args:
        view: the node.
        path: the state directory's lock says that no other daemon uses it, so a socket found there was left behind.
        bugs: is told of what a connection raises, and none should.
        task_status: trio's.

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
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        await _serve(view, listener, OWNER, bugs or Bugs())
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


async def _serve(view: NodeView, listener: trio.SocketListener, door: Door | None, bugs: Bugs) -> None:
    places = Places()
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
            nursery.start_soon(_connection, view, stream, door, places, bugs)


async def _connection(
    view: NodeView, stream: trio.SocketStream, door: Door | None, places: Places, bugs: Bugs
) -> None:
    """Answer the requests of one connection, one after the other."""
    try:
        with Boundary(bugs):
            async with stream:
                if door is None:
                    # The address that this connection came to: with 0.0.0.0 bound, the bound one says nothing.
                    door = door_of(Address(*stream.socket.getsockname()[:2]))
                await _answer_all(view, stream, door, places)
    finally:
        places.give_back()


async def _answer_all(view: NodeView, stream: trio.SocketStream, door: Door, places: Places) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    limit_s = FIRST_REQUEST_TIMEOUT_S
    while True:
        asked = None
        with places.idle(limit_s):
            asked = await receive_request(stream, connection, refused=door.refuses)
        if asked is None or not await _answer_one(view, stream, connection, door, asked, places=places):
            return
        connection.start_next_cycle()
        limit_s = REQUEST_TIMEOUT_S


async def _answer_one(
    view: NodeView,
    stream: trio.SocketStream,
    connection: h11.Connection,
    door: Door,
    asked: Asked | NoRequest,
    *,
    places: Places,
) -> bool:
    """Answer one request, or refuse what was none; tell whether the connection can take another."""
    if isinstance(asked, NoRequest):
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await _send(stream, connection, asked.answer, to_head=asked.to_head, last=True)
        return False
    found = door.refusal(asked.request) or wanted(asked)
    if isinstance(found, Follow) and asked.method == "HEAD":
        await _taken(stream, _stream_head(connection) + (connection.send(h11.EndOfMessage()) or b""))
        return False
    if isinstance(found, Wait | Follow):
        with places.waiting() as may:
            if not may:
                found = Answer.of_error(
                    HTTPStatus.TOO_MANY_REQUESTS, f"{MAX_WAITING} wait here already; poll"
                )
            elif isinstance(found, Follow):
                await _stream(view, stream, connection, found)
                return False
            elif not await _waited(view, stream, connection, asked, found):
                return False
    if not isinstance(found, Answer):
        found = await _found(view, asked)
    if not await _send(stream, connection, found, to_head=asked.method == "HEAD"):
        return False
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _found(view: NodeView, asked: Asked) -> Answer:
    found = answered(view, asked)
    if isinstance(found, Answer):
        return found
    try:
        document = await found()
    except MeshError as error:
        return refused(error)
    return Answer.of_json({"done": True} if document is None else document)


async def _waited(
    view: NodeView, stream: trio.SocketStream, connection: h11.Connection, asked: Asked, wait: Wait
) -> bool:
    """Wait for what a request wants to wait for; tell whether its client still wants an answer."""
    topic = topic_of(asked.target)
    assert topic is not None, "nothing else can be waited for"
    listening = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_gone, stream, connection, nursery.cancel_scope)
        await view.news.changed(topic, wait.index, wait_s=wait.wait_s)
        listening = True
        nursery.cancel_scope.cancel()
    return listening


async def _stream(
    view: NodeView, stream: trio.SocketStream, connection: h11.Connection, follow: Follow
) -> None:
    """Send what changes until the client goes, or takes nothing for ``WRITE_TIMEOUT_S``."""
    if not await _taken(stream, _stream_head(connection)):
        return
    async with trio.open_nursery() as nursery, aclosing(parts_of(view.news, follow)) as parts:
        nursery.start_soon(_until_gone, stream, connection, nursery.cancel_scope)
        async for part in parts:
            if not await _taken(stream, connection.send(h11.Data(data=part)) or b""):
                break
        nursery.cancel_scope.cancel()


def _stream_head(connection: h11.Connection) -> bytes:
    """Give the head that goes before events: nothing in it says how long they are."""
    headers = [("content-type", STREAM_TYPE), *_ALWAYS, ("connection", "close")]
    return connection.send(h11.Response(status_code=200, headers=headers)) or b""


async def _until_gone(stream: trio.SocketStream, connection: h11.Connection, scope: trio.CancelScope) -> None:
    """Cancel a wait when its client goes. Next requests that come meanwhile are kept, up to ``MAX_AHEAD`` bytes."""
    # Only who reads sees that a client goes, so one that sends more than is kept has to go itself.
    while len(connection.trailing_data[0]) < MAX_AHEAD:
        try:
            data = await stream.receive_some(CHUNK)
        except trio.BrokenResourceError:
            break
        if not data:
            break
        connection.receive_data(data)
    scope.cancel()


async def _send(
    stream: trio.SocketStream,
    connection: h11.Connection,
    found: Answer,
    *,
    to_head: bool,
    last: bool = False,
) -> bool:
    """Send an answer, without its body if it is one to HEAD (RFC 9110, section 9.3.2); tell whether all was taken."""
    headers = [
        ("content-type", found.content_type),
        ("content-length", str(len(found.body))),
        *_ALWAYS,
        *found.more,
    ]
    if last:
        headers.append(("connection", "close"))
    head = h11.Response(status_code=found.status, headers=headers, reason=found.status.phrase)
    parts = [connection.send(head)]
    if not to_head:
        parts.append(connection.send(h11.Data(data=found.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    # Shielded, because the answer to `leave` is sent while the daemon is already being taken down.
    return await _taken(stream, b"".join(part for part in parts if part), shield=True)


async def _taken(stream: trio.SocketStream, data: bytes, *, shield: bool = False) -> bool:
    """Send; tell whether all of it was taken in time. If not, nobody knows how much, and nothing may follow it."""
    with trio.move_on_after(WRITE_TIMEOUT_S, shield=shield) as patience:
        await stream.send_all(data)
    return not patience.cancelled_caught

"""One request from the mesh, delivered to an app of this node, and the app's answer.

The mirror image of :mod:`.exchange`.

The law: no byte reaches an app before the request was checked and allowed, and where it goes is this node's own
configuration. What cannot be answered is reset, with the flag that tells the caller's side whether to try elsewhere.
"""

from __future__ import annotations

import math

from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import End, ResponseHead
from gossipmesh.errors import AppFault, AppRefused, LocalProtocolError, RequestError
from gossipmesh.model import Protocol, Service
from gossipmesh.proxy.apps import AppConnection
from gossipmesh.proxy.headers import (
    asks_to_switch,
    request_to_app,
)
from gossipmesh.proxy.relaying import GONE, Relaying
from gossipmesh.proxy.replies import refusal
from gossipmesh.proxy.trailers import filter_trailers
from gossipmesh.routing.plan import IDEMPOTENT


class Delivery(Relaying):
    """One request and its answer; what it is made with, :class:`.Relaying` says."""

    def refuse(self, error: RequestError | str) -> None:
        """Answer in the app's place, or, with a flag alone, refuse unread: the caller's side may try elsewhere."""
        self.stream.listener = self
        if isinstance(error, str):
            self._reset(error)
        else:
            self._refuse(error)

    def start(self, service: Service) -> None:
        """Send a request, which was checked and allowed, to the app."""
        self._take_request(service)
        self._may_switch = asks_to_switch(self._headers)
        if self._may_switch:
            self._body_since = math.inf
            if self._body.size:
                self._refuse(refusal("DPE", "an Upgrade with a body that its head does not announce"))
                return
        connection = None
        if service.protocol is Protocol.HTTP:
            certain = self._request.method not in IDEMPOTENT
            connection = self._ports.apps.take(service.port, certain=certain)
        if connection is not None:
            self._begin(connection)
        else:
            self._connecting = self._ports.apps.connect(service.port, self._connected)

    def take_over(self, service: Service, connection: AppConnection, started: float) -> None:
        """Go on with a request that went out the quick way, as if it had been here from the start."""
        self._deadline -= self._started - started
        self._started = started
        self._take_request(service)
        self._connection = connection
        connection.user = self
        body = self.stream.body or b""
        connection.http.whole(self._request.method, self._request.target, self._headers, body)
        while self._body.take() is not None:
            pass
        self._request_passed(connection, at=started)

    def _take_request(self, service: Service) -> None:
        self.stream.listener = self
        self._service = service
        if self.stream.body is not None:
            if self.stream.body:
                self._body.put(self.stream.body)
            self._body.finish()
        else:
            self._body_since = self._started
        self._headers = request_to_app(
            self._request.headers,
            source=self._request.source_service,
            node=self.stream.peer.chain.name,
        )

    # --- the request -----------------------------------------------------------------------------------------------

    def _connected(self, result: AppConnection | AppRefused) -> None:
        self._connecting = None
        if isinstance(result, AppRefused):
            self._fail(result)
        elif self._service is not None and self._service.protocol is Protocol.TCP:
            self._status = 200
            self._heard = self._answering = True
            self.stream.send_head(ResponseHead(200))
            self._become_tunnel(result)
        else:
            self._begin(result)

    def _begin(self, connection: AppConnection) -> None:
        """Send the request to the app."""
        self._connection = connection
        connection.user = self
        request, http, link = self._request, connection.http, connection.link
        whole = self._body.whole() if self._body.ended and self._body.size <= MAX_LONG else None
        if self._may_switch:
            whole = b""
        try:
            if whole is not None:
                data = http.whole(request.method, request.target, self._headers, whole)
                while self._body.take() is not None:
                    pass
            else:
                data = http.request(request.method, request.target, self._headers)
        except LocalProtocolError as error:
            self._drop_connection()
            self._refuse(refusal("DPE", str(error)))
            return
        link.send(data)
        if whole is not None:
            self._request_passed(connection, at=self._reactor.now)
        else:
            self._pump()

    def _pump(self) -> None:
        """Send of the body what is here, as far as the app takes it."""
        connection, body = self._connection, self._body
        if connection is None:
            return
        link, http = connection.link, connection.http
        try:
            while not link.unsent and (data := body.take()) is not None:
                link.send(http.data(bytes(data)))
                if not link.unsent:
                    self._acknowledge()
            if body.passed and not self._passed:
                end = http.end(body.trailers)
                if end:
                    link.send(end)
                self._request_passed(connection, at=self._reactor.now)
                return
        except LocalProtocolError:
            self._fail(AppFault("DPE", "a body that does not fit its Content-Length"))
            return
        connection.alarm.set(self._due())

    def _acknowledge(self) -> None:
        """Let the caller's side send as much more as the app took."""
        fresh = self._body.taken - self._acknowledged
        if fresh > 0:
            self._acknowledged = self._body.taken
            self.stream.consumed(fresh)

    def _request_passed(self, connection: AppConnection, *, at: float) -> None:
        self._passed = True
        self._acknowledge()
        self._patience = min(self._deadline, at + self._limits.response_timeout_s)
        connection.alarm.set(self._patience)

    def data_received(self, data: bytes) -> None:
        """Take more of the request's body."""
        if self._complete:
            self.stream.consumed(len(data))
            return
        if self._may_switch:
            # The caller's side sends nothing before it has seen the 101. To an app that may yet answer in HTTP, it
            # could be a request that was never checked.
            self._fail(AppFault("DPE", "bytes behind an Upgrade that is not confirmed"))
            return
        self._body_since = self._reactor.now
        self._body.put(data)
        self._pump()

    def end_received(self, end: End) -> None:
        """Take the end of the request's body."""
        if self._complete:
            self._finish()
            return
        self._body_since = math.inf
        self._body.finish(filter_trailers(end.trailers))
        if not self._may_switch:
            self._pump()

    def app_drained(self) -> None:
        """The app took what was sent: more may come."""
        self._acknowledge()
        self._pump()

    # --- failing ---------------------------------------------------------------------------------------------------

    def app_broken(self) -> None:
        """The app's connection is gone."""
        self._lose_app(AppFault("UC", "the app closed or reset its connection"))

    def _lose_app(self, fault: AppFault) -> None:
        """Try once more, on a fresh connection, where the old one was being closed as we used it (RFC 9112, 9.3.1)."""
        connection = self._connection
        if (
            connection is not None
            and connection.reused
            and not self._heard
            and self._request.method in IDEMPOTENT
            and self._body.replayable
            and self._service is not None
        ):
            self._drop_connection()
            self._body.rewind()
            self._passed = False
            self._patience = math.inf
            self._connecting = self._ports.apps.connect(self._service.port, self._connected)
        else:
            self._fail(fault)

    def _due(self) -> float:
        due = math.inf
        if self._blocked_since < math.inf:
            due = self._blocked_since + self._limits.write_idle_timeout_s
        if self._answering:
            return due  # That the rest of the request is not sent, or not taken, is the app's own affair from here on.
        due = min(due, self._patience, self._deadline)
        if self._body_since < math.inf and not self._body.waiting:
            # Twice what the caller's own daemon waits, which can tell its app: this is for one that does not.
            due = min(due, self._body_since + 2 * self._limits.body_idle_timeout_s)
        if self._connection is not None and self._connection.link.unsent:
            due = min(due, self._connection.link.taken_at + self._limits.write_idle_timeout_s)
        return due

    def app_late(self, now: float) -> None:
        """See which deadline has passed, and act on it."""
        connection = self._connection
        if connection is None:
            return
        limits, link = self._limits, connection.link
        if self._blocked_since < math.inf and now >= self._blocked_since + limits.write_idle_timeout_s:
            self._reset(GONE)  # Who takes nothing for so long is gone.
        elif self._answering or now < self._due():
            connection.alarm.set(self._due())
        elif link.unsent and now >= link.taken_at + limits.write_idle_timeout_s:
            self._fail(AppFault("UT", "the app takes nothing"))
        elif now >= min(self._patience, self._deadline):
            self._fail(AppFault("UT", "the app did not answer in time"))
        else:
            self._fail(AppFault("DPE", "nothing more of the request's body came"))

"""The answering half of one request from the mesh: what its app says, passed back, and every way in which it ends.

:class:`~.delivery.Delivery` is the other half: the request on its way to the app.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import End, Headers, ResponseHead, app_us_of
from gossipmesh.channel.hop_stream import MAX_INTERIM_HEADS
from gossipmesh.errors import AppFault, LocalProtocolError, PeerGone, RemoteProtocolError, RequestError
from gossipmesh.model import Service
from gossipmesh.proxy.access import Direction, RequestReport, path_of
from gossipmesh.proxy.apps import AppConnection
from gossipmesh.proxy.body import ReplayableBody
from gossipmesh.proxy.headers import (
    Pairs,
    response_to_mesh,
)
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.proxy.replies import STATUS, refusal, reply_to, without_body
from gossipmesh.proxy.tracing import trace_id_of
from gossipmesh.proxy.tunnel import Tunnel
from gossipmesh.transport.connecting import Connecting
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.reactor import Alarm

GONE: Final = "DC"
"""The flag of a request whose caller took it back, or whose channel broke."""


class Relaying(ABC):
    """One request whose answer is awaited from its app and passed back, or given in the app's place.

    Args:
        ports: what surrounds it.
        stream: the request's stream.
        load: gives how many requests this daemon is delivering, which the response's end tells the caller's side.
        switched: is told if it becomes a tunnel, and gives what is told its end in place of ``over``.
        over: is told once, when the request is over.
    """

    def __init__(
        self,
        ports: InboundPorts,
        stream: HopStream,
        load: Callable[[], int],
        switched: Callable[[HopStream], Callable[[HopStream], None]],
        over: Callable[[HopStream], None],
    ) -> None:
        self._ports = ports
        self._limits = ports.limits
        self._reactor = ports.reactor
        self.stream = stream
        self._request = stream.request
        self._load = load
        self._tell_switched = switched
        self._tell_over: Callable[[HopStream], None] | None = over
        self._started = now = ports.reactor.now
        left_ms = self._request.deadline_ms
        self._deadline = now + (left_ms / 1_000 if left_ms else ports.limits.request_timeout_s)
        self._body = ReplayableBody(ports.limits.replay_bytes)
        self._acknowledged = 0
        self._headers: Pairs = []
        # Whether the app may answer with a switch: then the stream stays open behind the request, for what comes after.
        self._may_switch = False
        self._service: Service | None = None
        self._connecting: Connecting | None = None
        self._connection: AppConnection | None = None
        self._tunnel: Tunnel | None = None
        self._lingering: Alarm | None = None
        # Of the present try.
        self._passed = False
        self._patience = math.inf
        self._body_since = math.inf
        self._rest: bytes | memoryview = b""
        self._blocked_since = math.inf
        # Of all tries together.
        self._heard = self._answering = self._complete = False
        self._app_s = 0.0
        self._interim_count = 0
        self._status = 0
        self._flag = ""
        self._bytes_out = 0
        self._reported = False

    # --- the response ----------------------------------------------------------------------------------------------

    def app_readable(self) -> None:
        """Pass on what the app has said."""
        connection = self._connection
        if connection is None or self._rest:
            return
        try:
            if not self._answering and not self._receive_heads(connection):
                return
            http = connection.http
            while data := http.take_body():
                if not self._pass(data, connection):
                    return
            if http.body_ended:
                self._answered(self._end(http.trailers))
        except PeerGone as gone:
            self._lose_app(AppFault("UC", str(gone)))
        except RemoteProtocolError as fault:
            self._fail(AppFault("UPE", str(fault)))
        except LocalProtocolError as refusal:
            self._fail(AppFault("UPE", f"a response that cannot be passed on: {refusal}"))

    def _end(self, trailers: Headers = ()) -> End:
        """Give the end of a response of the app, and what the caller's side should know of how it came about."""
        return End(trailers, in_flight=self._load(), app_us=app_us_of(self._app_s) if self._heard else 0)

    def _receive_heads(self, connection: AppConnection) -> bool:
        """Pass on response heads; True once the final one is passed on and its body is not."""
        http, stream = connection.http, self.stream
        while (response := http.next_response()) is not None:
            if not self._heard:
                self._heard = True
                self._app_s = self._reactor.now - self._started
            status = response.status
            if status > 599:
                raise RemoteProtocolError("http.status", f"{status} is no HTTP status")
            head = ResponseHead(status, tuple(response_to_mesh(response.headers, status=status)))
            if status == 101:
                self._status = status
                self._answering = True
                stream.send_head(head)
                self._become_tunnel(connection)
                return False
            if status < 200:
                self._pass_interim(head)
                continue
            self._status = status
            body = http.take_body()
            if http.body_ended and not http.trailers and len(body) <= MAX_LONG:
                self._answering = True
                self._bytes_out = len(body)
                if stream.answer(head, body, self._end()):
                    self._over_with_answer()
                    return False
                self._bytes_out = 0
            stream.send_head(head)
            self._answering = True
            self._patience = math.inf
            connection.alarm.set(self._due())
            return not body or self._pass(body, connection)
        return False

    def _pass_interim(self, head: ResponseHead) -> None:
        if self._interim_count == min(self._limits.informational_count, MAX_INTERIM_HEADS):
            raise RemoteProtocolError("http.interim", "too many interim responses")
        if head.status != 100:
            # The caller's side has settled whether the body is sent.
            self._interim_count += 1
            self.stream.send_head(head)

    def _pass(self, data: bytes, connection: AppConnection) -> bool:
        """Send body bytes to the caller's side; False if it takes no more now."""
        sent = self.stream.send_data(data)
        self._bytes_out += sent
        if sent == len(data):
            return True
        self._rest = memoryview(data)[sent:]
        self._blocked_since = self._reactor.now
        connection.link.pause()
        connection.alarm.set(self._due())
        return False

    def credit_gained(self) -> None:
        """The caller's side takes more."""
        connection = self._connection
        if connection is None or not self._rest:
            return
        sent = self.stream.send_data(self._rest)
        self._bytes_out += sent
        self._rest = self._rest[sent:]
        if self._rest:
            self._blocked_since = self._reactor.now
            return
        self._rest = b""
        self._blocked_since = math.inf
        connection.link.resume()
        self.app_readable()

    def _answered(self, end: End) -> None:
        """The app's answer is complete: end ours."""
        self.stream.send_end(end)
        self._over_with_answer()

    def _over_with_answer(self) -> None:
        self._complete = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._ports.apps.release(connection)
        if self.stream.ended:
            self._finish()
        else:
            # The caller's side stops the rest of its request as soon as it has the response. To stop it from here
            # would be a reset, and that drops what of the response is still to be sent.
            self._report_once()
            while self._body.take() is not None:
                pass
            self._acknowledged, before = self._body.size, self._acknowledged
            self.stream.consumed(self._body.size - before)
            self._lingering = self._reactor.alarm(self._finish)
            self._lingering.set(self._reactor.now + self._limits.linger_s)

    def _become_tunnel(self, connection: AppConnection) -> None:
        self._connection = None
        connection.user = None
        connection.alarm.drop()
        self._tell_over = self._tell_switched(self.stream)
        raw = connection.http.take_raw() if self._request.method != b"CONNECT" else b""
        self._tunnel = Tunnel(
            self._reactor,
            connection.link,
            self.stream,
            self._limits,
            broken_flag="UC",
            over=self._tunnel_over,
        )
        waiting = self._body
        while (data := waiting.take()) is not None:
            self._tunnel.data_received(bytes(data))
        self._tunnel.start(raw)
        if waiting.ended:
            self._tunnel.end_received(End())

    def _tunnel_over(self, flag: str, sent: int, received: int) -> None:
        # Whatever else the caller's side may say when it has no more use for its tunnel: it is gone.
        self._flag = flag if flag in STATUS else flag and GONE
        self._complete = not flag
        self._body.size += sent
        self._bytes_out += received
        self._finish()

    def head_received(self, head: ResponseHead) -> None:
        """Cannot come at the destination."""
        raise AssertionError(f"a response head at the destination: {head}")

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Cannot come either."""
        raise AssertionError(f"a response at the destination: {head}")

    # --- failing ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def _lose_app(self, fault: AppFault) -> None:
        """The app's connection is gone: fail, or try once more."""

    @abstractmethod
    def _due(self) -> float:
        """When the app is to be looked after, in monotonic seconds."""

    def _fail(self, fault: AppFault) -> None:
        self._reset(fault.flag)

    def _reset(self, flag: str) -> None:
        self._flag = flag
        self.stream.reset(flag)
        self._finish()

    def _refuse(self, error: RequestError) -> None:
        """Answer in the app's place."""
        self._flag = error.flag
        self._status = error.status
        self._answering = True
        reply = reply_to(error, service=self._request.service, request_id=self._request.request_id)
        body = b"" if self._request.method == b"HEAD" else reply.body
        self._bytes_out = len(body)
        stream, end = self.stream, End(in_flight=self._load())
        if not stream.answer(reply.head, body, end):
            # The channel has no credit. A head needs none, and says the same.
            stream.send_head(without_body(reply.head))
            stream.send_end(end)
            self._bytes_out = 0
        self._over_with_answer()

    # --- ending ----------------------------------------------------------------------------------------------------

    def doubted(self) -> None:
        """Cannot come at the destination."""
        raise AssertionError("a destination waits for no answer")

    def reset_received(self, flag: str) -> None:
        """The caller took its request back, or has all that it wants of it."""
        if not self._complete:
            self._flag = self._flag or GONE
        self._finish()

    def denied(self) -> bool:
        """Policy allows this request no more: refuse it, or break off what was begun; False if it is answered.

        What is not answered yet is answered like one that comes now; a reset would have it tried elsewhere.
        """
        if self._complete:
            return False
        if self._answering:
            self._reset("AZ")
        else:
            self._drop_connection()
            self._refuse(refusal("AZ", "policy allows this no more"))
        return True

    def _drop_connection(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _finish(self) -> None:
        tell, self._tell_over = self._tell_over, None
        if tell is None:
            return
        self._drop_connection()
        if self._lingering is not None:
            self._lingering.drop()
        self.stream.done()
        # It holds us, and we hold it: the body would live on until the collector of cycles comes by.
        self.stream.listener = self._tunnel = None
        self._report_once()
        tell(self.stream)

    def _report_once(self) -> None:
        if self._reported:
            return
        self._reported = True
        request = self._request
        self._ports.observe(
            RequestReport(
                direction=Direction.INBOUND,
                request_id=request.request_id.decode("ascii", "replace"),
                trace_id=trace_id_of(request.headers).decode("ascii"),
                source=request.source_service,
                service=request.service,
                method=request.method.decode("ascii"),
                path="" if request.method == b"CONNECT" else path_of(request.target),
                code=self._status,
                flag=self._flag,
                bytes_in=self._body.size,
                bytes_out=self._bytes_out,
                duration_s=self._reactor.now - self._started,
                attempts=request.attempt,
                endpoint=self.stream.peer.chain.name,
            )
        )

"""A local app's connection to us: it asks, we answer.

The outbound side's half of HTTP. Whatever can go wrong with an app ends in one of two ways: as a
:class:`~gossipmesh.errors.RequestError`, which can still be told to it, or as :class:`CallerGone`.
"""

from __future__ import annotations

from http import HTTPStatus

import h11
import trio
from attrs import frozen

from gossipmesh.channel.hop_messages import Headers, ResponseHead
from gossipmesh.errors import MeshError, RemoteProtocolError, RequestError
from gossipmesh.proxy.headers import check_request_untrusted, values_of
from gossipmesh.proxy.http1.messages import PeerGone
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.oldhttp1 import Http1, PeerSilent
from gossipmesh.proxy.replies import Reply, caller_fault


class CallerGone(MeshError):
    """The app closed or reset its connection, or takes nothing any more: whatever is done for it can stop."""

    def __init__(self, text: str) -> None:
        super().__init__("request.dc", text)


@frozen
class CallerRequest:
    """One request's head, as an app sent it."""

    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    chunked: bool
    """Whether a body of unknown length follows."""
    has_body: bool
    waits_for_100: bool
    """Whether the app sends its body only after a 100 (RFC 9110, section 10.1.1)."""

    @property
    def host(self) -> bytes | None:
        """The Host header; h11 has seen to it that there is at most one."""
        hosts = values_of(self.headers, b"host")
        return hosts[0] if hosts else None


class Caller:
    """One connection from a local app, one request after the other.

    Two tasks may use it at once: one reads the body, one writes the response.

    Resource handling: it owns ``stream``; end with :meth:`close` or :meth:`abort`.
    Error handling: methods raise :class:`CallerGone` or, where an answer is still possible,
    :class:`~gossipmesh.errors.RequestError`.
    """

    def __init__(self, stream: trio.SocketStream, limits: ProxyLimits) -> None:
        self._http = Http1(stream, h11.SERVER, limits)
        self._limits = limits
        self._method = b""
        self._chunked_response = False
        self._answering = False

    @property
    def answering(self) -> bool:
        """Whether the head of a final response went out: from here on an error can only break it off."""
        return self._answering

    # --- the request -----------------------------------------------------------------------------------------------

    async def next_request(self) -> CallerRequest | None:
        """Receive the next request's head; None if the app closes the connection or leaves it idle.

        Raises:
            RequestError: the head is not valid, too large (431) or too slow (408).
            CallerGone: the connection broke inside it.
        """
        self._method = b""
        self._answering = False
        begun = False
        with trio.CancelScope(deadline=trio.current_time() + self._limits.keep_alive_s) as scope:
            try:
                if not await self._http.wait_for_bytes():
                    return None
                begun = True
                scope.deadline = trio.current_time() + self._limits.head_timeout_s
                event = await self._http.receive_head()
                assert isinstance(event, h11.Request)
                request = self._check(event)
                if not request.has_body:
                    # Waits for nothing, and from here on the request counts as read to its end.
                    await self._http.receive_body()
                return request
            except PeerGone as error:
                if begun:
                    raise CallerGone(str(error)) from None
                return None
            except (RemoteProtocolError, h11.RemoteProtocolError) as error:
                raise caller_fault(error) from None
        if begun:
            raise RequestError("DPE", 408, "the request's head took too long")
        return None

    def _check(self, event: h11.Request) -> CallerRequest:
        self._method = event.method
        headers = tuple(event.headers.raw_items())
        check_request_untrusted(event.method, event.http_version, headers)
        chunked = bool(values_of(headers, b"transfer-encoding"))
        lengths = values_of(headers, b"content-length")
        waits = event.http_version == b"1.1" and bool(values_of(headers, b"expect"))
        has_body = chunked or (bool(lengths) and int(lengths[0]) > 0)
        return CallerRequest(
            event.method, event.target, event.http_version, headers, chunked, has_body, waits and has_body
        )

    async def read_body(self) -> bytes:
        """Receive the next bytes of the request's body; none at its end, and ever after.

        Raises:
            RequestError: the body is not valid, or nothing came for too long (408).
            CallerGone: the connection ended inside it.
        """
        with trio.move_on_after(self._limits.body_idle_timeout_s):
            try:
                return await self._http.receive_body()
            except PeerGone as error:
                raise CallerGone(str(error)) from None
            except (RemoteProtocolError, h11.RemoteProtocolError) as error:
                raise caller_fault(error) from None
        raise RequestError("DPE", 408, "nothing more of the request's body came")

    @property
    def trailers(self) -> Headers:
        """Of the request, once its body was read to the end."""
        return self._http.trailers

    async def watch(self) -> None:
        """After the whole request was read: return if the app sends something of its next one.

        An app that closes its sending side counts as gone. HTTP/1.1 knows no use for a half-closed connection, and
        for a proxy there is no other sign that nobody waits for the answer.

        Raises:
            CallerGone: the app closed or reset the connection.
        """
        await self._http.watch()
        if self._http.closed:
            raise CallerGone("the app closed the connection before it had its answer")

    # --- the response ----------------------------------------------------------------------------------------------

    async def send_interim(self, head: ResponseHead) -> None:
        """Send a 1xx response; nothing is sent to an HTTP/1.0 caller, who would take it for the answer.

        Raises:
            h11.LocalProtocolError: for a head that is not valid.
            CallerGone: as everywhere.
        """
        if not self._http.delimited_by_close:
            await self._send(h11.InformationalResponse(status_code=head.status, headers=list(head.headers)))

    async def send_head(self, head: ResponseHead, *, last: bool) -> None:
        """Send the head of the final response.

        Args:
            head: as the app shall get it; the framing is derived here.
            last: whether the connection is to be closed behind this response.

        Raises:
            h11.LocalProtocolError: for a head that is not valid; nothing was sent.
            CallerGone: as everywhere.
        """
        headers = list(head.headers)
        if last:
            headers.append((b"Connection", b"close"))
        response = h11.Response(status_code=head.status, headers=headers, reason=_reason(head.status))
        bodyless = self._method == b"HEAD" or head.status in (204, 304)
        self._chunked_response = not (
            bodyless or values_of(headers, b"content-length") or self._http.delimited_by_close
        )
        self._answering = True
        await self._send(response)

    async def send_data(self, data: bytes) -> None:
        """Send body bytes.

        Raises:
            h11.LocalProtocolError: for more of them than the head announced.
            CallerGone: as everywhere.
        """
        await self._send(h11.Data(data=data))

    async def send_end(self, trailers: Headers) -> None:
        """End the response. Trailers are left out where the framing has no room for them.

        Raises:
            h11.LocalProtocolError: for less of a body than the head announced.
            CallerGone: as everywhere.
        """
        await self._send(h11.EndOfMessage(headers=list(trailers) if self._chunked_response else []))

    async def reply(self, reply: Reply) -> None:
        """Send a whole response of the mesh's own.

        If something of the request was not read, the connection ends with it.

        Raises:
            CallerGone: as everywhere.
        """
        headers = list(reply.head.headers)
        if not self._http.body_ended:
            headers.append((b"Connection", b"close"))
        self._answering = True
        status = reply.head.status
        events: list[h11.Event] = [h11.Response(status_code=status, headers=headers, reason=_reason(status))]
        if self._method != b"HEAD":
            events.append(h11.Data(data=reply.body))
        await self._send(*events, h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        try:
            await self._http.send(*events)
        except (PeerGone, PeerSilent) as error:
            raise CallerGone(str(error)) from None

    # --- the end ---------------------------------------------------------------------------------------------------

    def next_exchange(self) -> bool:
        """Make ready for the connection's next request; False if it cannot have one."""
        if not self._http.complete:
            return False
        self._http.next_exchange()
        return True

    async def close(self) -> None:
        """Close the connection so that the app gets all that was sent to it.

        With bytes of the app unread, closing would be a reset, and it could overtake the response (RFC 9112,
        section 9.6). So only our side is closed at first, and what still comes is read and thrown away, for
        ``linger_s`` at most.
        """
        stream = self._http.stream
        try:
            with trio.move_on_after(self._limits.linger_s):
                if not self._http.closed:
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._http.close()

    def abort(self) -> None:
        """Break the connection off so that the app sees that its response is not complete.

        Where a chunk or a Content-Length is missing, closing shows it. A response that its end alone delimits would
        look complete, so that connection is reset.
        """
        self._http.close(reset=self._http.delimited_by_close)


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""

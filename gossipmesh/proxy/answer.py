"""The answer to one request on its way to the caller: what is held, what went out, and what waits to be taken."""

from __future__ import annotations

from typing import Final

from gossipmesh.channel.hop_messages import Headers, ResponseHead
from gossipmesh.errors import LocalProtocolError
from gossipmesh.proxy.headers import response_to_caller, values_of, without_ours
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import Reply, flag_in
from gossipmesh.proxy.trailers import filter_trailers
from gossipmesh.transport.link import Link

MAX_LENGTH_DIGITS: Final = 18


class Answer:
    """Passes one response on, of whichever attempt gives it.

    A response that announces to be short is held until it is whole: a node that dies between head and body has then
    said nothing yet that could not be asked for elsewhere.

    Error handling: LocalProtocolError for what no HTTP response may be; of that nothing was sent.

    Args:
        http: the caller's side of HTTP.
        link: the caller's connection.
        limits: of the proxy.
        via: this node's name.
    """

    __slots__ = (
        "_held",
        "_held_head",
        "_held_size",
        "_limits",
        "_link",
        "_owed",
        "_via",
        "bytes_out",
        "flag",
        "http",
        "interim_count",
        "outside",
        "status",
    )

    def __init__(self, http: Serving, link: Link, limits: ProxyLimits, via: str) -> None:
        self.http = http
        self._link = link
        self._limits = limits
        self._via = via
        self._held: list[bytes] = []
        self._held_size = 0
        self._held_head: ResponseHead | None = None
        self._owed = 0
        self.interim_count = 0
        """Interim heads that were passed on; with the first, the answer has begun for whoever would try again."""
        self.status = 0
        self.outside = False
        """Whether the caller is outside the mesh: how it fares in here is not for strangers."""
        self.bytes_out = 0
        """Body bytes given to the link."""
        self.flag = ""
        """What the far daemon said was wrong, where it answered itself."""

    @property
    def begun(self) -> bool:
        """Whether the final head went out: from here on an error can only break it off."""
        answering: bool = self.http.answering
        return answering

    def forwarded(self, head: ResponseHead) -> ResponseHead:
        """Give a head as the caller gets it."""
        headers = response_to_caller(head.headers, status=head.status, via=self._via)
        if self.outside:
            self.flag = flag_in(head) or self.flag
            headers = without_ours(headers)
        return ResponseHead(head.status, tuple(headers))

    def restart(self) -> None:
        """Forget what is held: another attempt answers."""
        self._held_head = None
        self._held.clear()
        self._held_size = 0

    def interim(self, head: ResponseHead) -> None:
        """Pass an interim head on; not a 100: whether the caller may send its body was settled between it and us."""
        if self.interim_count == self._limits.informational_count:
            raise LocalProtocolError("http.interim", "too many interim responses")
        if head.status != 100:
            data = self.http.interim(self.forwarded(head))
            self.interim_count += 1
            self._link.send(data)

    def head(self, head: ResponseHead, *, last: bool) -> None:
        """Take the final head: pass it on, or hold it.

        Args:
            head: as it came.
            last: whether the connection ends with this answer.
        """
        head = self.forwarded(head)
        if self._announces_little(head):
            self._held_head = head
        else:
            self._send_head(head, last=last)

    def _announces_little(self, head: ResponseHead) -> bool:
        lengths = values_of(head.headers, b"content-length")
        length = lengths[0] if lengths else b""
        if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:
            return False
        return int(length) <= self._limits.held_response_bytes

    def _send_head(self, head: ResponseHead, *, last: bool) -> None:
        data = self.http.response(head, last=last)
        self._note(head)
        self._link.send(data)

    def _note(self, head: ResponseHead) -> None:
        self.status = head.status
        # Where it is the far daemon's own answer, its flag is this request's, here as well.
        self.flag = flag_in(head) or self.flag

    def data(self, data: bytes) -> int:
        """Take body bytes; give how many of them the other side may send anew at once."""
        if self._held_head is not None:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size > self._limits.held_response_bytes:
                raise LocalProtocolError("http.length", "more of a body than its head announced")
            return len(data)
        framed = self.http.data(data)
        self.bytes_out += len(data)
        self._link.send(framed)
        if self._link.unsent:
            self._owed += len(data)
            return 0
        return len(data)

    def end(self, trailers: Headers, *, last: bool) -> None:
        """End the answer."""
        if self._held_head is not None:
            head, body = self._held_head, b"".join(self._held)
            if not trailers:
                self.send_whole(head, body, last=last)
                return
            self.restart()
            self._send_head(head, last=last)
            if body:
                self.data(body)
        if data := self.http.end(filter_trailers(trailers)):
            self._link.send(data)

    def whole(self, head: ResponseHead, body: bytes, *, last: bool) -> None:
        """Answer with a response that came at once."""
        self.send_whole(self.forwarded(head), body, last=last)

    def send_whole(self, head: ResponseHead, body: bytes, *, last: bool) -> None:
        """Answer with this head as it is, and this body."""
        data = self.http.whole(head, body, last=last)
        self._note(head)
        self.bytes_out = len(body)
        self._link.send(data)

    def reply(self, reply: Reply, *, last: bool) -> None:
        """Answer with what the mesh itself has to say."""
        self.status = reply.head.status
        head = reply.head
        if self.outside:
            head = ResponseHead(head.status, tuple(without_ours(head.headers)))
        self._link.send(self.http.whole(head, reply.body, last=last))

    def drained(self) -> int:
        """The caller took everything: give how many bytes more may be sent."""
        owed, self._owed = self._owed, 0
        return owed

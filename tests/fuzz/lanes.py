"""Both lanes of the HTTP machines, side by side: the same bytes in, in the same pieces, and every word noted.

``serve`` and ``ask`` talk to one machine and give the record of it. Tests compare the records of the fast lane with
those of h11; run as a program, this file lets atheris look for bytes that make them differ.

    lanes.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import frozen

from gossipmesh.channel.hop_messages import Headers, ResponseHead
from gossipmesh.errors import LocalProtocolError, PeerGone, RemoteProtocolError, RequestError
from gossipmesh.proxy.http1.asking import Asking
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import reply_to

LIMITS = ProxyLimits(head_bytes=400, head_count=12, trailer_bytes=100, trailer_count=3)
"""Small, so that short inputs reach them."""
Record = list[object]


@frozen
class Answer:
    """What a server says to one request."""

    status: int = 200
    headers: Headers = ((b"Content-Length", b"2"),)
    body: tuple[bytes, ...] = (b"ok",)
    trailers: Headers = ()
    interim: tuple[ResponseHead, ...] = ()
    whole: bool = True
    last: bool = False
    early: bool = False
    """Before the request's body was read."""


@frozen
class Question:
    """What a client asks."""

    method: bytes = b"GET"
    target: bytes = b"/"
    headers: Headers = ((b"Host", b"a"),)
    body: tuple[bytes, ...] = (b"",)
    trailers: Headers = ()
    whole: bool = True


def cut(data: bytes, at: Iterable[int]) -> Iterator[bytes]:
    """Give ``data`` in pieces; what is no place in it is taken for the next one that is."""
    start = 0
    for end in sorted({place % (len(data) + 1) for place in at} | {len(data)}):
        if end > start:
            yield data[start:end]
            start = end


def said(call: Callable[[], bytes]) -> object:
    """Give what a machine writes, or how it refuses to."""
    try:
        return call()
    except LocalProtocolError as error:
        return error.code, str(error)


class Server:
    """A conversation with a :class:`Serving`, and the record of it."""

    def __init__(self, answers: Sequence[Answer], *, fast: bool) -> None:
        self.machine = Serving(LIMITS, fast_lane=fast)
        self.record: Record = []
        self._answers = list(answers)
        self._body = b""
        self._in_request = self._answered = False

    def work(self) -> bool:
        """Do all that can be done; False if the connection is of no more use."""
        try:
            while self._step():
                pass
        except RequestError as error:
            reply = reply_to(error)
            self.record += [self._body, error.flag, error.status, str(error)]
            self.record.append(said(lambda: self.machine.whole(reply.head, reply.body, last=False)))
            self.record += [self.machine.delimited_by_close, self.machine.complete]
            return False
        except PeerGone as error:
            self.record += [self._body, error.code, str(error)]
            return False
        return not self._answered

    def _step(self) -> bool:
        machine = self.machine
        if not self._in_request:
            request = machine.next_request()
            if request is None:
                return False
            self._in_request = True
            self.record += [request, request.has_body]
            if self._answers and self._answers[0].early:
                self._answer()
        self._body += machine.take_body()
        if not machine.body_ended:
            return False
        self.record += [self._body, machine.trailers]
        if not self._answered:
            self._answer()
        self.record += [machine.complete, machine.delimited_by_close, machine.begun, machine.buffered]
        if not machine.complete:
            return False
        machine.next_exchange()
        self._in_request = self._answered = False
        self._body = b""
        return True

    def _answer(self) -> None:
        machine = self.machine
        answer = self._answers.pop(0) if self._answers else Answer()
        head = ResponseHead(answer.status, answer.headers)
        self._answered = True
        self.record += [said(lambda each=each: machine.interim(each)) for each in answer.interim]  # type: ignore[misc]
        if answer.status == 101:
            self.record += [said(lambda: machine.switch(head)), machine.take_raw()]
        elif answer.whole:
            self.record.append(said(lambda: machine.whole(head, b"".join(answer.body), last=answer.last)))
        else:
            self.record.append(said(lambda: machine.response(head, last=answer.last)))
            self.record += [said(lambda part=part: machine.data(part)) for part in answer.body]  # type: ignore[misc]
            self.record.append(said(lambda: machine.end(answer.trailers)))
        self.record += [machine.answering, machine.written]


def serve(pieces: Iterable[bytes], answers: Sequence[Answer] = (), *, fast: bool) -> Record:
    """Give the record of a server that receives ``pieces``, then the connection's end."""
    server = Server(answers, fast=fast)
    for number, piece in enumerate(pieces):
        server.record.append(number)
        server.machine.receive(piece)
        if not server.work():
            return server.record
    server.machine.receive_eof()
    server.work()
    return server.record


def ask(pieces: Iterable[bytes], questions: Sequence[Question], *, fast: bool) -> Record:
    """Give the record of a client that asks ``questions`` and receives ``pieces``, then the connection's end."""
    machine = Asking(LIMITS, fast_lane=fast)
    record: Record = []
    left = list(questions)
    _put(machine, left.pop(0), record)
    incoming = [*pieces, b""]
    try:
        for number, piece in enumerate(incoming):
            record.append(number)
            if piece:
                machine.receive(piece)
            else:
                machine.receive_eof()
            while _listen(machine, record):
                machine.next_exchange()
                if not left:
                    return record
                _put(machine, left.pop(0), record)
    except (RemoteProtocolError, PeerGone) as error:
        record += [error.code, str(error), machine.spare]
    return record


def _put(machine: Asking, question: Question, record: Record) -> None:
    method, target, headers = question.method, question.target, list(question.headers)
    if question.whole:
        record.append(said(lambda: machine.whole(method, target, headers, b"".join(question.body))))
        return
    record.append(said(lambda: machine.request(method, target, headers)))
    record += [said(lambda part=part: machine.data(part)) for part in question.body]  # type: ignore[misc]
    record.append(said(lambda: machine.end(question.trailers)))


def _listen(machine: Asking, record: Record) -> bool:
    """Take all that is here; True if the exchange is over and another may follow."""
    while (response := machine.next_response()) is not None:
        record.append(response)
    # Slices may differ, bytes not.
    body = b""
    while data := machine.take_body():
        body += data
    record += [
        body,
        machine.body_ended,
        machine.trailers,
        machine.take_raw(),
        machine.spare,
        machine.buffered,
    ]
    return machine.spare


# --- the fuzzer ----------------------------------------------------------------------------------------------------

QUESTIONS = (
    Question(),
    Question(b"HEAD"),
    Question(b"POST", b"/x?y", ((b"Host", b"a"), (b"Content-Length", b"2")), (b"o", b"k"), whole=False),
    Question(b"POST", b"/", ((b"Host", b"a"), (b"Transfer-Encoding", b"chunked")), (b"ok",)),
    Question(headers=((b"Host", b"a"), (b"Connection", b"upgrade"), (b"Upgrade", b"x"))),
    Question(b"CONNECT", b"a:1"),
)
ANSWERS = (
    Answer(),
    Answer(204, (), ()),
    Answer(headers=(), body=(b"o", b"k"), trailers=((b"A", b"b"),), whole=False),
    Answer(last=True),
    Answer(early=True),
    Answer(101, ((b"Upgrade", b"x"), (b"Connection", b"upgrade"))),
    Answer(interim=(ResponseHead(103, ((b"Link", b"x"),)),)),
    Answer(304, ((b"Content-Length", b"9"),), ()),
)


def compare(data: bytes) -> None:
    """Talk to both lanes as ``data`` says: one byte for the side and what is said, two for cuts, then the stream.

    Raises:
        AssertionError: they differ.
    """
    if len(data) < 3:
        return
    choice, first, second = data[:3]
    stream = data[3:]
    at = [first * 2, second * 5]
    if choice & 1:
        questions = [QUESTIONS[(choice >> 1) % len(QUESTIONS)], QUESTIONS[(choice >> 4) % len(QUESTIONS)]]
        assert ask(cut(stream, at), questions, fast=True) == ask(cut(stream, at), questions, fast=False)
    else:
        answers = [ANSWERS[(choice >> 1) % len(ANSWERS)], ANSWERS[(choice >> 4) % len(ANSWERS)]]
        assert serve(cut(stream, at), answers, fast=True) == serve(cut(stream, at), answers, fast=False)


def main() -> None:
    """Fuzz until told to stop."""
    try:
        import atheris
    except ImportError:
        sys.exit("lanes.py: atheris is not installed; python -m pip install 'gossipmesh[fuzz]' gets it")
    atheris.instrument_all()
    atheris.Setup(sys.argv, compare)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""What is said in a storm (hostile.py): frames of a hostile member, requests of callers, answers of an app."""

from __future__ import annotations

from random import Random
from typing import Final

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_long import encode_long
from gossipmesh.channel.hop_messages import (
    End,
    Headers,
    RequestHead,
    ResponseHead,
    encode_end,
    encode_flag,
    encode_request_head,
    encode_response_head,
)
from gossipmesh.channel.hop_whole import encode_answer, encode_call

Frame = tuple[int, bytes]
"""Kind and payload; which stream it is for is said later."""

HOST: Final = (b"Host", b"hello")
UPGRADE: Final = (b"Upgrade", b"websocket")
CHUNKED: Final = (b"Transfer-Encoding", b"chunked")


def length(size: int) -> tuple[bytes, bytes]:
    return b"Content-Length", b"%d" % size


def head(status: int, *headers: tuple[bytes, bytes]) -> Frame:
    return frames.HEAD, encode_response_head(ResponseHead(status, headers))


def end(trailers: Headers = ()) -> Frame:
    return frames.END, encode_end(End(trailers))


def data(body: bytes) -> Frame:
    return frames.DATA, body


def reset(flag: str) -> Frame:
    return frames.RESET, encode_flag(flag)


def window(credit: int) -> Frame:
    return frames.WINDOW, frames.U32.pack(credit)


def answer(status: int, *headers: tuple[bytes, bytes], body: bytes = b"") -> Frame:
    payload = encode_answer(ResponseHead(status, headers), body, End())
    assert payload is not None
    return frames.ANSWER, payload


def ask(method: bytes, *headers: tuple[bytes, bytes], service: str = "hello", target: bytes = b"/") -> Frame:
    return frames.HEAD, encode_request_head(RequestHead(service, method, target, headers))


def call(
    method: bytes,
    *headers: tuple[bytes, bytes],
    service: str = "hello",
    target: bytes = b"/",
    body: bytes = b"",
) -> Frame:
    payload = encode_call(RequestHead(service, method, target, headers), body)
    assert payload is not None
    return frames.CALL, payload


def long(whole: Frame, size: int) -> Frame:
    """Give what says that the body of a call or an answer follows."""
    return frames.LONG, encode_long(whole[1], size)


RESPONSES: Final = (
    *(head(100), head(103), head(101, UPGRADE), head(200, length(0)), head(200, length(2))),
    *(head(200, length(100_000)), head(200), head(403, length(2)), head(204)),
    *(data(b"ok"), data(b"ok"), data(b"x" * 20_000)),
    *(end(), end(), end(((b"x-t", b"1"),))),
    *(reset("UR"), reset("UR"), reset("UC"), reset("refused"), window(1_000)),
    *(answer(200, length(2), body=b"ok"), answer(200, body=b"ok"), answer(101, UPGRADE)),
    answer(503, (b"x-gossipmesh-error", b"UF"), length(0)),
    *(long(answer(200, length(2)), 2), long(answer(200, length(20_002)), 20_002), long(answer(204), 60_000)),
)
"""What the hostile member answers with, in any order; that it is none is no matter."""
CALLS: Final[tuple[tuple[Frame, ...], ...]] = (
    (call(b"GET", HOST),),
    (call(b"POST", HOST, length(2), body=b"ok"),),
    (call(b"GET", HOST, UPGRADE),),
    (call(b"CONNECT", service="db", target=b"db:80", body=b"ok"),),
    (call(b"GET", service="nope"),),
    (ask(b"PUT", HOST, length(2)), data(b"ok"), end()),
    (ask(b"PUT", HOST, CHUNKED), data(b"ok")),
    (ask(b"GET", HOST, UPGRADE),),
    (long(call(b"PUT", HOST, length(40_000)), 40_000), data(b"y" * 20_000), data(b"y" * 20_000)),
    (long(call(b"PUT", HOST, length(2)), 2), data(b"o"), data(b"k")),
    (long(call(b"PUT", HOST, length(3)), 40_000), data(b"y" * 20_000)),
    (long(call(b"GET", HOST, UPGRADE), 2), data(b"ok")),
    (ask(b"CONNECT", service="db", target=b"db:80"), data(b"zz")),
)
"""How the hostile member begins a call."""
REQUESTS: Final = (
    b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: hello\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: hello\r\nX-Request-Id: a\r\n\r\n" * 2,
    b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 500\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\nHost: hello\r\nContent-Length: 40000\r\n\r\n" + b"y" * 40_000,
    b"PUT / HTTP/1.1\r\nHost: hello\r\nContent-Length: 90000\r\n\r\n" + b"y" * 90_000,
    b"PUT / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"CONNECT db:80 HTTP/1.1\r\nHost: db\r\n\r\nabc",
)
"""What callers ask, in one piece."""
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
APP_ANSWERS: Final = (
    *(OK + b"ok",) * 4,
    OK,
    b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"z" * 40_000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"z" * 40_007,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi",
    b"junk\r\n\r\n",
    b"",
)
"""What the app says whenever it has read something."""


def some_answers(dice: Random, number: int) -> list[tuple[int, int, bytes]]:
    said = [(number, *dice.choice(RESPONSES)) for _ in range(dice.randint(1, 5))]
    if dice.random() < 0.05:
        said.append((0, frames.GOAWAY, frames.U32.pack(dice.randint(0, number))))
    return said


def some_call(dice: Random, number: int) -> list[tuple[int, int, bytes]]:
    said = [(number, *frame) for frame in dice.choice(CALLS)]
    for chance, frame in ((0.5, reset("UC")), (0.2, window(5)), (0.2, end())):
        if dice.random() < chance:
            said.append((number, *frame))
    if dice.random() < 0.05:
        said.append((0, frames.GOAWAY, frames.U32.pack(0)))
    return said

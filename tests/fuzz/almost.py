"""Messages that are valid, nearly valid, and not at all: hypothesis strategies for whatever compares the two lanes."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from hypothesis import strategies as st

from gossipmesh.channel.hop_messages import ResponseHead
from lanes import Answer, Question

METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"PRI", b"get", b"G-T", b"TRACE", b"X" * 40]
TARGETS = [b"/", b"/a?b=c", b"*", b"http://b/c", b"a:1", b"/\x80", b"/a b", b"", b"/#\x7f", b"/" + b"x" * 380]
VERSIONS = [b"HTTP/1.1"] * 12 + [
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/1.10",
    b"",
]
STATUSES = [b"200 OK"] * 6 + [
    *(
        b"204 No Content",
        b"304 X",
        b"100 Continue",
        b"103 \t",
        b"101 X",
        b"200",
        b"404 \xe9",
        b"999 X",
        b"600 X",
    ),
    *(b"20 X", b"2000 X", b"199 X", b" 200 X", b"200  X ", b"200\tX", b"500 a\rb", b"099 X"),
]
FRAMING = [
    *(
        b"Content-Length: 3",
        b"Content-Length: 0",
        b"content-length:3",
        b"Content-Length: 3, 3",
        b"Content-Length: 03",
    ),
    *(
        b"Content-Length: +3",
        b"Content-Length: 3 3",
        b"Content-Length:",
        b"Content-Length: 3,",
        b"Content-Length:\t3\t",
    ),
    *(
        b"Content-Length: 3\x0b",
        b"Content-Length: \xb3",
        b"Content-Length: " + b"0" * 19 + b"3",
        b"Content-Length: 4",
    ),
    *(
        b"Content-Length: " + b"0" * 20 + b"3",
        b"Content-Length: -0",
        b"Content-Length: 0x3",
        b"Content-Length: 3_0",
    ),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked"),
    *(
        b"Transfer-Encoding:\tchunked ",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding:",
        b"TE: trailers",
    ),
    *(
        b"Content_Length: 3",
        b"Transfer.Encoding: chunked",
        b"Transfer-Encoding : chunked",
        b"Con~nection: close",
    ),
]
OTHERS = [
    *(b"Host: a", b"host:b", b"Host: ", b"Host: a, b", b"HOST:\ta", b"Ho_st: a", b"Host : a", b" Host: a"),
    *(
        b"Connection: close",
        b"Connection: keep-alive",
        b"connection: x, Close ,",
        b"Connection: upgrade",
        b"Connection:",
    ),
    *(
        b"Connection: close\x0c",
        b"Connection: closed",
        b"Upgrade: x",
        b"Upgrade: h2c, y",
        b"Upgrade:",
        b"Keep-Alive: 1",
    ),
    *(b"Expect: 100-continue", b"Expect: 100-Continue", b"expect: tea", b"Expect:", b"Ex+pect: 100-continue"),
    *(
        b"Cookie: a=b; c=d",
        b"Cookie:",
        b"cookie:  a  ",
        b"cookie: \t",
        b"Cookie: a\tb",
        b"Cookie: \xff",
        b"Cookie : a",
    ),
    *(
        b"traceparent: 00-1-2",
        b"x-request-id:\x001",
        b"X-Request-Id: 1\x7f",
        b"x-request-id : 1",
        b"x-request-id",
    ),
    *(
        b"A: b",
        b"A:b ",
        b"A:\t b\t",
        b"A:",
        b"A: \x01",
        b"A: b\rc",
        b"A\x00: b",
        b"A b: c",
        b": b",
        b"A",
        b"A: \xe9",
        b"",
    ),
    *(
        b"Date: now",
        b"Set-Cookie: a",
        b"Set-Cookie: a ",
        b"ETag: \x0b",
        b"a" * 140 + b": b",
        b"B: " + b"c" * 140,
    ),
]
ENDS = [b"\r\n"] * 40 + [b"\n", b"\r", b"\r\n ", b"\r\n\t", b"\r\r\n", b"\n\r\n", b""]
BODIES = [
    *(
        b"",
        b"abc",
        b"abcd",
        b"ab",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
        b"3\nabc\n0\n\n",
    ),
    *(
        b"3\r\nabcX\r\n",
        b"+3\r\nabc\r\n",
        b"0\r\nA: b\r\nContent-Length: 4\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 5 + b"\r\n",
    ),
    *(b"\r\n", b"\r\n\r\n", b"0\r\nX: " + b"y" * 120 + b"\r\n\r\n", b"\x16\x03\x01"),
]
NAMES = [
    *(
        b"A",
        b"Content-Length",
        b"Content-Type",
        b"content-length",
        b"Connection",
        b"Transfer-Encoding",
        b"Host",
        b"Via",
    ),
    *(
        b"Set-Cookie",
        b"x-request-id",
        b"Expect",
        b"Upgrade",
        b"Content_Length",
        b"A b",
        b"",
        b"A\x00",
        b"A:",
        b"\xe9",
    ),
]
VALUES = [
    *(
        b"",
        b"x",
        b"2",
        b"02",
        b"2, 2",
        b"2,3",
        b"+2",
        b"close",
        b"keep-alive",
        b"chunked",
        b"Chunked",
        b"gzip",
        b" x",
    ),
    *(
        b"x ",
        b"a\tb",
        b"a\r\nb",
        b"a\nb",
        b"\x00",
        b"\xe9",
        b"\x7f",
        b"\x01",
        b"a  b",
        b"9" * 21,
        b"\t",
        b"y" * 140,
    ),
    *(b"100-continue", b"X, close"),
]


def _changed(draw: st.DrawFn, data: bytes) -> bytes:
    """Change a byte or two of some."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = (
            data[:at]
            + draw(st.sampled_from([b"", b" ", b"\r", b"\n", b"\0", b"\t", b":", b"_", b"\xff"]))
            + data[at + 1 :]
        )
    return data


def _head(draw: st.DrawFn, start: bytes, usual: Sequence[bytes]) -> bytes:
    lines = [*usual, *draw(st.lists(st.sampled_from(OTHERS) | st.sampled_from(FRAMING), max_size=4))]
    if draw(st.sampled_from([False] * 5 + [True])):
        lines = draw(st.permutations(lines))[1:]
    head = b"".join(line + draw(st.sampled_from(ENDS)) for line in [start, *lines])
    return head + draw(st.sampled_from(ENDS))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Give the bytes of a few requests, one behind the other."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        usual = draw(st.sampled_from([True, True, False]))
        method = draw(st.sampled_from(METHODS[:3] if usual else METHODS))
        target = draw(st.sampled_from(TARGETS[:2] if usual else TARGETS))
        start = method + b" " + target + b" " + draw(st.sampled_from(VERSIONS))
        framing = draw(st.sampled_from([[], [], FRAMING[:1], FRAMING[1:2], [b"Transfer-Encoding: chunked"]]))
        body = BODIES[0] if not framing else draw(st.sampled_from(BODIES))
        parts.append(_head(draw, start, [b"Host: a", *framing]) + body)
    return _changed(draw, b"".join(parts))


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Give the bytes of a few responses, one behind the other."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.sampled_from(VERSIONS)) + b" " + draw(st.sampled_from(STATUSES))
        framing = draw(
            st.sampled_from([[], FRAMING[:1], FRAMING[:1], FRAMING[1:2], [b"Transfer-Encoding: chunked"]])
        )
        parts.append(_head(draw, start, [b"Server: x", *framing]) + draw(st.sampled_from(BODIES)))
    return _changed(draw, b"".join(parts))


pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES))
usual_pairs = st.sampled_from(
    [(b"Content-Length", b"2"), (b"A", b"b"), (b"Set-Cookie", b"x"), (b"Date", b"now")]
)
headers = st.lists(usual_pairs | pairs, max_size=4).map(tuple)
trailers = st.just(()) | st.lists(usual_pairs | pairs, max_size=2).map(tuple)
bodies = st.lists(st.sampled_from([b"", b"ok", b"o", b"x" * 20]), max_size=3).map(tuple)
cuts = st.lists(st.integers(0, 2_000), max_size=6)
answers = st.builds(
    Answer,
    status=st.sampled_from([200, 200, 200, 204, 304, 404, 101, 100, 599, 600, 999, 1000, 0]),
    headers=headers,
    body=bodies,
    trailers=trailers,
    interim=st.lists(st.builds(ResponseHead, st.sampled_from([100, 103, 101, 200]), headers), max_size=1).map(
        tuple
    ),
    whole=st.booleans(),
    last=st.sampled_from([False, False, True]),
    early=st.booleans(),
)


def _with_host(question: Question) -> Question:
    return evolve(question, headers=((b"Host", b"a"), *question.headers))


_questions = st.builds(
    Question,
    method=st.sampled_from([b"GET", b"HEAD", b"POST"] * 3 + [b"CONNECT", b"TRACE", b"g t", b""]),
    target=st.sampled_from([b"/", b"/", b"/x", b"a:1", b"", b"/ x", b"/\xe9"]),
    headers=headers,
    body=bodies,
    trailers=trailers,
    whole=st.booleans(),
)
questions = _questions | _questions.map(_with_host) | st.just(Question())

"""The rules on headers, written down a second time without memory of names: both must give the same for anything."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy import headers as rules
from gossipmesh.proxy.headers import Pairs, tokens_of, values_of
from gossipmesh.proxy.kinds import FORWARDED, FRAMING, HOP_BY_HOP, NOT_IN_TRAILERS, canonical, is_claim
from gossipmesh.proxy.trailers import filter_trailers

Headers = tuple[tuple[bytes, bytes], ...]

OURS = b"x-gossipmesh-"
SPECIAL = [
    *sorted(HOP_BY_HOP | FRAMING | FORWARDED),
    b"x-gossipmesh-source",
    b"x-gossipmesh-error",
    b"via",
    b"x-drop",
    b"accept",
    b"set-cookie",
    b"cookie",
]
VALUES = [
    b"",
    b"1",
    b"x",
    b"hello",
    b"close",
    b"Keep-Alive",
    b"close, x-drop",
    b"te, Upgrade , accept",
    b"trailers",
    b"gzip, Trailers;q=1",
    b"chunked",
    b" ,\t,",
    b"h2c",
    b"H2C, websocket",
    b"100-continue",
    b"x-gossipmesh-error, via, host, x-forwarded-for, content-length",
    b"1.1 web-1, 1.0 web-1",
]


@st.composite
def names(draw: st.DrawFn) -> bytes:
    """Give names in many spellings, most of them of headers that are special."""
    name = draw(st.sampled_from(SPECIAL) | st.from_regex(rb"[A-Za-z0-9_.~-]{1,12}", fullmatch=True))
    spell = draw(
        st.sampled_from([bytes, bytes.upper, bytes.title, lambda n: n.replace(b"-", b"_"), bytes.swapcase])
    )
    return spell(name)


HEADERS = st.lists(st.tuples(names(), st.sampled_from(VALUES)), max_size=10).map(tuple)


def is_ours(name: bytes) -> bool:
    return canonical(name).startswith(OURS)


def strip_connection(headers: Headers) -> Pairs:
    def protected(token: bytes) -> bool:
        return token in FORWARDED | {b"host", b"content-length", b"via"} or token.startswith(OURS)

    named = {token for token in tokens_of(headers, b"connection") if not protected(token)}
    dropped = HOP_BY_HOP | named
    kept = [(n, v) for n, v in headers if n.lower() not in dropped and not is_ours(n)]
    wanted = any(b"trailers" in tokens_of([(b"te", value)], b"te") for value in values_of(headers, b"te"))
    return [*kept, (b"TE", b"trailers")] if wanted else kept


def request_to_mesh(headers: Headers) -> Pairs:
    kept = [
        (name, value)
        for name, value in strip_connection(headers)
        if name.lower() not in (b"expect", b"x-forwarded-for")
        and not (canonical(name) in FORWARDED and name.lower() not in FORWARDED)
    ]
    seen = {name.lower() for name, _ in kept}
    result = [(name, b"hello" if name.lower() == b"host" else value) for name, value in kept]
    if b"host" not in seen:
        result.insert(0, (b"Host", b"hello"))
    result.append((b"X-Forwarded-For", b", ".join([*values_of(headers, b"x-forwarded-for"), b"::1"])))
    if b"x-forwarded-proto" not in seen:
        result.append((b"X-Forwarded-Proto", b"http"))
    if b"x-forwarded-host" not in seen:
        result.append((b"X-Forwarded-Host", b"hello"))
    return [*result, (b"Via", b"1.1 web-1"), (b"Transfer-Encoding", b"chunked")]


def request_to_app(headers: Headers) -> Pairs:
    result = [(name, value) for name, value in strip_connection(headers) if name.lower() != b"expect"]
    asked = [
        member.strip(b" \t")
        for value in values_of(headers, b"upgrade")
        for member in value.split(b",")
        if member.strip(b" \t").lower() not in (b"", b"h2c")
    ]
    options = [b"TE"] if any(name == b"TE" for name, _ in result) else []
    options += [b"Upgrade"] if asked else []
    if options:
        result.append((b"Connection", b", ".join(options)))
    if asked:
        result.append((b"Upgrade", b", ".join(asked)))
    result += [(b"x-gossipmesh-source", b"web"), (b"x-gossipmesh-node", b"web-1")]
    return (
        [*result, (b"Transfer-Encoding", b"chunked")] if tokens_of(headers, b"transfer-encoding") else result
    )


def response_to_mesh(headers: Headers, status: int) -> Pairs:
    bare = status < 200 or status == 204
    kept = [(n, v) for n, v in strip_connection(headers) if not (bare and n.lower() == b"content-length")]
    return kept + ([(b"Upgrade", v) for v in values_of(headers, b"upgrade")] if status == 101 else [])


def response_to_caller(headers: Headers, status: int) -> Pairs:
    errors = [(name, value) for name, value in headers if name.lower() == OURS + b"error"]
    switched = status == 101 and values_of(headers, b"upgrade")
    return [
        *response_to_mesh(headers, status),
        *errors,
        *([(b"Connection", b"Upgrade")] if switched else []),
        (b"Via", b"1.1 web-1"),
    ]


def framing_fault(headers: Headers, version: bytes) -> str:
    seen = {name.lower() for name, _ in headers}
    if b"transfer-encoding" in seen and (b"content-length" in seen or version < b"1.1"):
        return "http.framing"
    return "http.alias" if any(canonical(n) in FRAMING and n not in FRAMING for n in seen) else ""


def request_fault(headers: Headers, version: bytes) -> str:
    odd = version == b"1.1" and set(tokens_of(headers, b"expect")) - {b"100-continue"}
    return framing_fault(headers, version) or ("http.expectation" if odd else "")


def code_of(check: Callable[[], None]) -> str:
    try:
        check()
    except RemoteProtocolError as error:
        return error.code
    return ""


@given(headers=HEADERS, version=st.sampled_from([b"1.1", b"1.0"]))
def test_what_is_refused(headers: Headers, version: bytes) -> None:
    framing = code_of(lambda: rules.check_framing_untrusted(headers, version=version))
    assert framing == framing_fault(headers, version)
    request = code_of(lambda: rules.check_request_untrusted(b"GET", version, headers))
    assert request == request_fault(headers, version)


@given(headers=HEADERS)
def test_what_becomes_of_a_request(headers: Headers) -> None:
    assert rules.strip_connection(headers) == strip_connection(headers)
    sent = rules.request_to_mesh(
        headers, host=b"hello", version=b"1.1", via="web-1", caller="::1", chunked=True
    )
    assert sent == request_to_mesh(headers)
    assert rules.request_to_app(headers, source="web", node="web-1") == request_to_app(headers)


@given(headers=HEADERS, status=st.sampled_from([101, 103, 200, 204, 304, 503]))
def test_what_becomes_of_a_response(headers: Headers, status: int) -> None:
    assert rules.response_to_mesh(headers, status=status) == response_to_mesh(headers, status)
    assert rules.response_to_caller(headers, status=status, via="web-1") == response_to_caller(
        headers, status
    )


@given(headers=HEADERS)
def test_what_becomes_of_trailers_and_how_visits_are_counted(headers: Headers) -> None:
    passed = tuple(
        (n, v)
        for n, v in headers
        if canonical(n) not in NOT_IN_TRAILERS and not is_ours(n) and not is_claim(canonical(n))
    )
    assert filter_trailers(headers) == passed
    entries = [entry.split() for entry in tokens_of(headers, b"via")]
    assert rules.visits(headers, "web-1") == sum(entry[1:2] == [b"web-1"] for entry in entries)

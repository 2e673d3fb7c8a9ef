"""More decoders, for ``decoders.py``: what is signed for the whole mesh; what strangers say to DNS, admin and gateway.

What these raise of ConfigError and RequestError is a refusal too, if it is one line; here it counts as the one error.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import dns.message

from fuzzing import Decoder
from gossipmesh import wire
from gossipmesh.channel.knock import MAX_HELLO, hello_of_untrusted, payload_of
from gossipmesh.config.policy_text import read_policy
from gossipmesh.crypto import KEY
from gossipmesh.daemon.admin.registering import document_of_untrusted
from gossipmesh.daemon.admin.watching import follow_of, topic_of, wait_of
from gossipmesh.daemon.telemetry.counts import Counts
from gossipmesh.discovery.dns.answers import Answers, Forward
from gossipmesh.discovery.dns.messages import MAX_TCP, PLAIN_UDP, read_query_untrusted
from gossipmesh.discovery.dns.picture import NodeEntry, Picture
from gossipmesh.discovery.dns.questions import Sent, Verdict, hand_back, judge_untrusted, make_question
from gossipmesh.discovery.dns.zone import Domain
from gossipmesh.errors import ConfigError, RemoteProtocolError, RequestError
from gossipmesh.identity.authority import split_untrusted
from gossipmesh.identity.credentials import decode_hello_untrusted, encode_hello
from gossipmesh.identity.revocation import _decode_body_untrusted as decode_revocation
from gossipmesh.mesh.charter_messages import (
    decode_brought_untrusted,
    decode_holding_untrusted,
    encode_brought,
    encode_holding,
)
from gossipmesh.mesh.trial_messages import (
    decode_question_untrusted,
    decode_tried_untrusted,
    decode_try_untrusted,
    encode_question,
    encode_tried,
    encode_try,
)
from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.policy.decision import Source
from gossipmesh.policy.document import MAX_TEXT, decode_document_untrusted
from gossipmesh.policy.rollout import report_untrusted
from gossipmesh.proxy.gateway import Gate
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.routes import Route, Routes, is_clear
from gossipmesh.routing.snapshot import Snapshot

MESH: Final = bytes(range(32))
EPHEMERAL: Final = bytes(KEY)
LIMITS: Final = ProxyLimits()
SOURCE: Final = Source(NodeId(b"n" * 32), "web", frozenset({"web"}), frozenset({"ops"}))
OPEN, SHUT, ALL = "open", "shut", "all"
GATE: Final = Gate(
    Routes([Route(OPEN, path="/open"), Route(SHUT, path="/shut"), Route(ALL, host="all.example")]),
    scheme="http",
    trusted_hops=1,
)


def _one_line(call: Callable[[], object], *errors: type[Exception]) -> object:
    try:
        return call()
    except errors as error:
        assert "\n" not in str(error), "an error of more than one line"
        raise RemoteProtocolError("fuzz.refused", str(error)[:200]) from None


def _policy(data: bytes) -> object:
    """Read a text that says itself over and over, as often as its first byte says: what is quadratic shows."""
    often = min(1 + 16 * data[0], MAX_TEXT // len(data)) if data else 1
    text = (data[1:] * max(1, often)).decode("utf-8", "replace")
    read: Any = _one_line(lambda: read_policy(text, file="policy"), ConfigError)
    for target in (b"/", b"/v1/orders", b"/%2e%2e/x;y/?z"):
        for tcp in (False, True):
            decision = read.policy.decide(SOURCE, "orders", b"GET", target, tcp=tcp)
            assert decision == read.policy.decide(SOURCE, "orders", b"GET", target, tcp=tcp)
            assert decision.rule
    return read.text


def _hello(data: bytes) -> object:
    """Knock with a hello whose mac is right, and with one as it came."""
    hello = data[:MAX_HELLO]
    assert hello_of_untrusted(EPHEMERAL + payload_of(hello, EPHEMERAL, MESH), MESH) == hello
    try:
        hello_of_untrusted(data, MESH)
    except RemoteProtocolError as error:
        assert error.code == "channel.mac"
    return decode_hello_untrusted(hello)


def _report(data: bytes) -> object:
    fields = wire.Fields(wire.unpack_untrusted(data, code="fuzz.malformed"), code="fuzz.malformed")
    return report_untrusted(fields)


# --- DNS ---


@cache
def _picture() -> Picture:
    nodes = [
        NodeEntry(f"web-{n}", NodeId(bytes([n]) * 32), (Address(f"10.0.0.{n}", 7_946),), services=("hello",))
        for n in range(1, 5)
    ]
    hello = tuple(Endpoint(n.name, n.id, n.addresses[0], Service("hello", 8_080, weight=3)) for n in nodes)
    snapshot = Snapshot(nodes[0].id, {"hello": hello})
    by_id = {node.id: node for node in nodes}
    return Picture(
        snapshot,
        in_rotation=snapshot.eligible,
        own=nodes[0],
        node_of=by_id.get,
        list_nodes=lambda: tuple(nodes),
        proxy=Address("127.0.0.1", 4_140),
        serial=17,
    )


def _dns(data: bytes) -> object:
    """Ask by UDP and TCP, twice: what is remembered is what was answered, but for its turn."""
    counts = Counts("fuzz_dns_answers", "Answers.", ("type", "rcode"))
    answers = Answers(Domain(), rng=random.Random(1), count=counts, recursion=True)
    picture = _picture()
    query = _query(data)
    for tcp in (False, True):
        answer = answers.answer_untrusted(data, picture, now=0.0, tcp=tcp)
        if isinstance(answer, Forward):
            assert make_question(answer.query, bytes).payload
            assert answers.remembered_untrusted(data, picture.snapshot, now=0.1, tcp=tcp) is None
            continue
        if answer is None:
            raise RemoteProtocolError("fuzz.silent", "no answer")
        most = MAX_TCP if tcp else PLAIN_UDP if query is None else query.limit
        assert len(answer) <= most, "an answer that is too long"
        assert answer[:2] == data[:2], "another id"
        dns.message.from_wire(answer, ignore_trailing=False)
        again = answers.remembered_untrusted(data, picture.snapshot, now=0.1, tcp=tcp)
        assert again is None or (sorted(again), again[:12]) == (sorted(answer), answer[:12])
    return None


def _query(data: bytes) -> Any:
    try:
        return read_query_untrusted(data)
    except RemoteProtocolError:
        return None


def _reply(data: bytes) -> object:
    """Take an answer of the resolver behind us, whoever made it."""
    query = read_query_untrusted(_QUESTION)
    sent: Sent = make_question(query, bytes)
    if data[:1] == b"=":
        data = sent.payload[:2] + data[1:3] + sent.payload[4 : sent.end] + data[3:]
    verdict = judge_untrusted(sent, data)
    if verdict is not Verdict.ANSWER:
        raise RemoteProtocolError("fuzz.no-answer", verdict.value)
    handed = hand_back(sent, data, query, tcp=False)
    assert len(handed) <= query.limit
    assert handed[:2] == _QUESTION[:2]
    return None


_QUESTION: Final = bytes(dns.message.make_query("www.example.com", "A", id=7).to_wire())

# --- admin and gateway ---


def _document(data: bytes) -> object:
    document: Any = _one_line(lambda: document_of_untrusted(data), ConfigError)
    assert type(document) is dict
    return None


def _watching(data: bytes) -> object:
    target, _, last = data.decode("latin-1").partition("\n")
    topic_of(target)
    follow: Any = _one_line(lambda: follow_of(target, last), ConfigError)
    wait: Any = _one_line(lambda: wait_of(target), ConfigError)
    assert follow.index is None or -1 <= follow.index < 10**18
    assert wait is None or 0 < wait.wait_s <= 600.0
    return None


def _gateway(data: bytes) -> object:
    """Let a stranger's request in at a gateway: where it goes, its path says, and to everybody the same."""

    def admitted() -> object:
        serving = Serving(LIMITS, fast_lane=False)
        serving.receive(data)
        request = serving.next_request()
        if request is None:
            raise RemoteProtocolError("fuzz.incomplete", "no whole head")
        request = GATE.admit(request, "203.0.113.9")
        named = GATE.name(request)
        assert request.method != b"CONNECT"
        path = named.target.partition(b"?")[0]
        if named.service == ALL:
            return None
        assert named.service in (OPEN, SHUT)
        assert is_clear(path), "a path that can be read in two ways"
        assert path.split(b"/")[1].decode() == named.service, "another service than the path's"
        said = [name.lower() for name, _ in request.headers]
        assert all(said.count(name) <= 1 for name in (b"x-forwarded-for", b"forwarded"))
        return None

    return _one_line(admitted, RequestError)


MORE: Final[Mapping[bytes, Decoder]] = {
    b"A": Decoder(lambda data: split_untrusted(data, 2_000), lambda parts: wire.pack([*parts]), exact=True),
    b"B": Decoder(decode_revocation),
    b"C": Decoder(decode_document_untrusted, lambda document: document.body, exact=True),
    b"D": Decoder(_policy),
    b"E": Decoder(decode_holding_untrusted, encode_holding),
    b"F": Decoder(decode_brought_untrusted, encode_brought),
    b"G": Decoder(decode_question_untrusted, encode_question),
    b"H": Decoder(decode_try_untrusted, encode_try),
    b"I": Decoder(decode_tried_untrusted, encode_tried),
    b"J": Decoder(_hello, encode_hello),
    b"K": Decoder(_report, lambda report: wire.pack(report.value)),
    b"L": Decoder(_dns),
    b"M": Decoder(_reply),
    b"N": Decoder(_document),
    b"O": Decoder(_watching),
    b"P": Decoder(_gateway),
}
"""By the byte that chooses one."""

"""Trying a policy on: the question to a member what it would have decided about the requests that it has seen.

    33 try      [33, question]      question: an authorised object (``identity.authority``), body
                                    [1, signed at, id of the member that asks, text of the policy]
    34 tried    [34, requests, denied, allowed, unknown, [finding ...]], each finding
                [source id, source service, service, method, path, rule, count, seconds ago, allow]

What a member has seen is not every other member's affair: paths may be private. So whoever may sign policies signs
the question, under a label of its own (no question can be shown as a policy), for one member that asks, and for a few
minutes.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.authority import OVERHEAD
from gossipmesh.identity.signed import MAX_WALL
from gossipmesh.model import ID_BYTES, NodeId
from gossipmesh.policy.decision import Source
from gossipmesh.policy.document import MAX_TEXT
from gossipmesh.policy.seen import MAX_PATH, Asked
from gossipmesh.policy.trial import MAX_FINDINGS, Finding, Tried

TRY: Final = 33
TRIED: Final = 34
LABEL: Final = b"gossipmesh/policy-trial\0"
VERSION: Final = 1
FRESH_S: Final = 300
"""For so long a question may be asked after it was signed."""
MAX_QUESTION: Final = MAX_TEXT + OVERHEAD + 128
MAX_METHOD: Final = 32
MAX_RULE: Final = 63
MAX_AGO_S: Final = 86_400
_CODE: Final = "exchange.malformed"
_REFUSED: Final = 24


@frozen
class Question:
    """What the body of a question holds."""

    signed_at: int
    asker: NodeId
    text: str = field(repr=lambda text: f"<{len(text)} characters>")


def encode_question(question: Question) -> bytes:
    """Give the body that is signed under :data:`LABEL`."""
    return wire.pack([VERSION, question.signed_at, question.asker, question.text.encode()])


def decode_question_untrusted(body: bytes) -> Question:
    """Give the question that ``body`` holds.

    Raises:
        RemoteProtocolError: ``exchange.malformed``, for any other bytes.
    """
    fields = wire.Fields(wire.unpack_untrusted(body, code=_CODE, max_bytes=MAX_QUESTION), code=_CODE)
    fields.integer(VERSION, VERSION)
    signed_at, asker = fields.integer(0, MAX_WALL), NodeId(fields.binary(ID_BYTES, ID_BYTES))
    return Question(signed_at, asker, _text(fields.binary(0, MAX_TEXT)))


def is_try(request: bytes) -> bool:
    """Tell whether a request claims to be of this kind."""
    return request[1:2] == bytes([TRY])


def encode_try(raw: bytes) -> bytes:
    """Encode the request with a signed question."""
    return wire.pack([TRY, raw])


def decode_try_untrusted(request: bytes) -> bytes:
    """Give the signed question, nothing of it verified.

    Raises:
        RemoteProtocolError: ``exchange.malformed``.
    """
    fields = wire.Fields(wire.unpack_untrusted(request, code=_CODE), code=_CODE)
    fields.integer(TRY, TRY)
    return fields.binary(1, MAX_QUESTION)


def encode_tried(tried: Tried) -> bytes:
    """Encode the answer."""
    findings: list[wire.Value] = [
        [
            found.asked.source.node,
            found.asked.source.service.encode(),
            found.asked.service.encode(),
            found.asked.method[:MAX_METHOD],
            found.asked.path,
            found.rule.encode()[:MAX_RULE],
            found.count,
            min(int(found.ago_s), MAX_AGO_S),
            int(found.allow),
        ]
        for found in tried.findings
    ]
    return wire.pack([TRIED, tried.requests, tried.denied, tried.allowed, tried.unknown, findings])


def decode_tried_untrusted(answer: bytes) -> Tried:
    """Give what a member answered: words of its own, to be shown and not to be acted on.

    Raises:
        RemoteProtocolError: ``exchange.malformed``; ``exchange.refused``, with why.
    """
    fields = wire.Fields(wire.unpack_untrusted(answer, code=_CODE), code=_CODE)
    kind = fields.integer(1, 127)
    if kind == _REFUSED:
        raise RemoteProtocolError("exchange.refused", f"it refused: {_text(fields.binary(0, 64))!a}")
    if kind != TRIED:
        raise RemoteProtocolError(_CODE, f"a message of kind {kind} where {TRIED} was expected")
    counts = [fields.integer() for _ in range(4)]
    rows = fields.fields(2 * MAX_FINDINGS)
    findings = tuple(_finding(rows.fields(wire.MAX_ARRAY)) for _ in range(rows.left))
    return Tried(counts[0], counts[1], counts[2], counts[3], findings)


def _finding(row: wire.Fields) -> Finding:
    node = NodeId(row.binary(0, ID_BYTES))
    source, service = Source(node, row.name(empty=True)), row.name(empty=True)
    asked = Asked(source, service, row.binary(0, MAX_METHOD), row.binary(0, MAX_PATH))
    rule, count, ago_s = _text(row.binary(0, MAX_RULE)), row.integer(), row.integer(0, MAX_AGO_S)
    return Finding(asked, rule, count, float(ago_s), bool(row.integer(0, 1)))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(_CODE, "a text that is not UTF-8") from None

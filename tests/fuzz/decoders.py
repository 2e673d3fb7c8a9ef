"""Each decoder of foreign bytes: what it gives or the one error, and what it gave encoded and decoded again.

The first byte of an input says which decoder the rest is for. An input fails where a decoder raises anything but
RemoteProtocolError, where what it took is not the same after another turn, where an object that is relayed as it came
would be relayed otherwise, and where it gives more than its input can have held. Run as a program, this file lets
atheris look for such bytes, under a limit of memory and of time for each.

    decoders.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from decoders_too import MORE
from fuzzing import Decoder, fuzz, relay
from gossipmesh import wire
from gossipmesh.channel import hop_frames, hop_messages, hop_whole
from gossipmesh.channel.datagram import Hint, encode_hint, peek_header_untrusted
from gossipmesh.channel.hop import HopMux
from gossipmesh.channel.hop_headers import join_lines, split_lines_untrusted
from gossipmesh.channel.noise import Role
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.identity.accusation import decode_accusation_untrusted
from gossipmesh.identity.block import decode_block_untrusted, decode_blocks_untrusted, encode_blocks
from gossipmesh.identity.bundle import decode_bundle_untrusted
from gossipmesh.identity.record import decode_record_untrusted
from gossipmesh.identity.signed import decode_signed_untrusted
from gossipmesh.identity.token import PREFIX, parse_token
from gossipmesh.membership.message_codec import decode_messages_untrusted, encode_messages
from gossipmesh.membership.trace import MAGIC, _hash, decode_trace_untrusted
from gossipmesh.mesh import exchanges
from gossipmesh.mesh.exchanges import Kind
from gossipmesh.registry import sync_messages
from gossipmesh.routing.balancing.cookies import read_cookie_untrusted

Decode = Callable[[bytes], Any]
MESH: Final = bytes(range(32))
BOTH: Final = 8
"""Pieces that a record of frames is cut into, at most: a channel lives through more than one."""


def _raw(value: Any) -> bytes:
    raw: bytes = value.raw if hasattr(value, "raw") else value.signed.raw
    return raw


def _values(data: bytes) -> object:
    value = wire.unpack_untrusted(data, code="fuzz.malformed")
    assert _parts(value) <= len(data), "more elements than bytes"
    return value


def _parts(value: object) -> int:
    """Count elements without recursion: how deep a message may be is for the decoder to say."""
    count, left = 0, [value]
    while left:
        count += 1
        item = left.pop()
        assert type(item) in (list, bytes, int, float, bool, type(None)) or item == "", type(item)
        if type(item) is list:
            left += item
    return count


def _hint(data: bytes) -> object:
    header = peek_header_untrusted(data)
    assert not isinstance(header, Hint) or encode_hint(header) == data
    return header


def _token(data: bytes) -> object:
    return parse_token(PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode())


def _token_text(data: bytes) -> object:
    token = parse_token(text := data.decode("latin-1"))
    assert str(token) == text.strip()
    return token


def _exchange(data: bytes) -> object:
    """Read one message as every kind that it could be taken for."""
    readers: Mapping[Kind, Decode] = {
        Kind.GREET: lambda raw: exchanges.decode_greeting_untrusted(raw, Kind.GREET),
        Kind.GREETED: lambda raw: exchanges.decode_greeting_untrusted(raw, Kind.GREETED),
        Kind.PROBE: lambda raw: exchanges.decode_plain_untrusted(raw, Kind.PROBE),
        Kind.RENEW: lambda raw: exchanges.decode_chain_untrusted(raw, Kind.RENEW),
        Kind.RENEWED: lambda raw: exchanges.decode_chain_untrusted(raw, Kind.RENEWED),
        Kind.CARRY: lambda raw: exchanges.decode_carried_untrusted(raw, Kind.CARRY),
        Kind.CARRIED: lambda raw: exchanges.decode_carried_untrusted(raw, Kind.CARRIED),
        Kind.REACHED: exchanges.decode_reached_untrusted,
    }
    taken: dict[Kind, object] = {}
    for kind, read in readers.items():
        try:
            taken[kind] = read(data)
        except RemoteProtocolError:
            continue
    assert len(taken) <= 1, f"one message, two meanings: {taken}"
    if not taken:
        raise RemoteProtocolError("exchange.malformed", "taken for nothing")
    ((kind, value),) = taken.items()
    if isinstance(value, exchanges.Greeting):
        assert exchanges.decode_greeting_untrusted(exchanges.encode_greeting(kind, value), kind) == value
    return value


def _frames(data: bytes) -> object:
    frames = hop_frames.split_frames_untrusted(data)
    assert b"".join(hop_frames.encode_frame(*frame) for frame in frames) == data
    return frames


def _mux(role: Role, *, compact: bool) -> Decode:
    def decode(data: bytes) -> object:
        mux = HopMux(role, compact=compact, long=compact)
        if role is Role.INITIATOR:
            for _ in range(2):
                mux.open_stream(hop_messages.RequestHead("orders", b"GET", b"/"))
            mux.take_records(2**20)
        events: list[object] = []
        size = max(1, data[0] if data else 1)
        for at in range(1, min(len(data), 1 + BOTH * size), size):
            try:
                events += mux.receive_record_untrusted(data[at : at + size])
            except RemoteProtocolError:
                relay(lambda: mux.receive_record_untrusted(b""), code="hop.broken")
                raise
            mux.take_records(2**20)
        return events

    return decode


def _call(data: bytes) -> bytes:
    head, body = hop_whole.decode_call_untrusted(data)
    again = hop_whole.encode_call(head, body)
    assert again is None or hop_whole.decode_call_untrusted(again) == (head, body)
    return body


def _answer(data: bytes) -> bytes:
    head, body, end = hop_whole.decode_answer_untrusted(data)
    if head.status <= 599:
        again = hop_whole.encode_answer(head, body, end)
        assert again is None or hop_whole.decode_answer_untrusted(again) == (head, body, end)
    return body


def _lines(data: bytes) -> object:
    headers = split_lines_untrusted(data)
    for name, value in headers:
        assert not set(b"\r\n\0") & set(name + value)
        assert name
    # Sloppily spelt lines are relayed as they came, and are as good as none where they are joined again.
    try:
        assert join_lines(tuple(headers)) or not headers
    except LocalProtocolError as error:
        assert error.code in ("hop.head", "hop.head-too-long")
    return headers


def _trace(data: bytes) -> object:
    """Read a recording; its hash, which keeps damage out and nobody else, is made right first."""
    return decode_trace_untrusted(MAGIC + _hash(data) + data)


def _cookie(data: bytes) -> object:
    token = read_cookie_untrusted(data.split(b"\n"), b"gm")
    assert token is None or token.isalnum()
    return token


DECODERS: Final[Mapping[bytes, Decoder]] = {
    b"a": Decoder(_values),
    b"b": Decoder(_hint),
    b"c": Decoder(decode_messages_untrusted, encode_messages),
    b"d": Decoder(decode_record_untrusted, _raw, exact=True),
    b"e": Decoder(decode_blocks_untrusted, encode_blocks, exact=True),
    b"f": Decoder(decode_block_untrusted, _raw, exact=True),
    b"g": Decoder(lambda data: decode_signed_untrusted(data, 2_000), _raw, exact=True),
    b"h": Decoder(_token),
    b"i": Decoder(_token_text),
    b"j": Decoder(decode_bundle_untrusted, _raw, exact=True),
    b"k": Decoder(decode_accusation_untrusted, _raw, exact=True),
    b"l": Decoder(sync_messages.decode_request_untrusted, sync_messages.encode),
    b"m": Decoder(sync_messages.decode_response_untrusted, sync_messages.encode),
    b"n": Decoder(_exchange),
    b"o": Decoder(_frames),
    b"p": Decoder(hop_messages.decode_request_head_untrusted, hop_messages.encode_request_head),
    b"q": Decoder(hop_messages.decode_response_head_untrusted, hop_messages.encode_response_head),
    b"r": Decoder(hop_messages.decode_end_untrusted, hop_messages.encode_end),
    b"s": Decoder(hop_messages.decode_flag_untrusted, hop_messages.encode_flag, exact=True),
    b"t": Decoder(_call),
    b"u": Decoder(_answer),
    b"v": Decoder(_lines),
    b"w": Decoder(_mux(Role.INITIATOR, compact=True)),
    b"x": Decoder(_mux(Role.RESPONDER, compact=True)),
    b"y": Decoder(_trace),
    b"z": Decoder(_cookie),
    **MORE,
}
"""By the byte that chooses one."""
_KEYS: Final = tuple(DECODERS)


def run(data: bytes) -> str:
    """Try one decoder; give what became of it, ``taken`` or the error's code.

    Raises:
        AssertionError: as this file's docstring says. What is no RemoteProtocolError goes through.
    """
    key, rest = data[:1], data[1:]
    if key not in DECODERS:
        key = _KEYS[(key or b"\0")[0] % len(_KEYS)]
    decoder = DECODERS[key]
    try:
        value = decoder.decode(rest)
    except RemoteProtocolError as error:
        assert "." in error.code
        assert "\n" not in str(error), "an error of more than one line"
        return error.code
    if decoder.encode is not None:
        again = decoder.encode(value)
        assert again == rest or not decoder.exact, "relayed otherwise than it came"
        assert decoder.decode(again) == value, "another value after another turn"
    return "taken"


def main() -> NoReturn:
    """Fuzz until told to stop."""
    fuzz(run)


if __name__ == "__main__":
    main()

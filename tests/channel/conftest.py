"""Machines in pairs, with the wires between them.

Test files cannot import each other here, as the folder is no package; they get this module as the fixture ``lab``.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from gossipmesh.channel.hop import HopMux
from gossipmesh.channel.hop_events import HopEvent
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.knock import payload_of
from gossipmesh.channel.noise import CipherState, Handshake, Role, Suite
from gossipmesh.channel.secure import HOP, PROLOGUE, Credentials, Event, HandshakeDone, SecureChannel
from gossipmesh.crypto import dh_public
from gossipmesh.errors import RemoteProtocolError, TrustError


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    return sys.modules[__name__]


# --- secure channels

MESH = bytes(range(32))
ALICE, BOB, MALLORY = bytes([1] * 32), bytes([2] * 32), bytes([3] * 32)
NAMES = {dh_public(ALICE): "alice", dh_public(BOB): "bob", dh_public(MALLORY): "mallory"}

Channel = SecureChannel[str]


def credentials(private: bytes) -> bytes:
    return b"credentials of " + dh_public(private)


def expect(*names: str) -> Callable[[bytes, bytes], str]:
    """Stand in for identity: credentials are genuine if they name the key that the handshake proved."""

    def authenticate(payload: bytes, remote_static: bytes) -> str:
        if payload != b"credentials of " + remote_static:
            raise TrustError("credentials.dh", "the credentials name another key")
        if NAMES[remote_static] not in names:
            raise TrustError("credentials.id", f"{NAMES[remote_static]} is not who was expected")
        return NAMES[remote_static]

    return authenticate


def channel(
    role: Role,
    static: bytes,
    *names: str,
    mesh: bytes = MESH,
    shown: Credentials | None = None,
    hello: bytes = b"",
    bare: bool = False,
    rekey_every: int = 2**20,
    suite: Suite = Suite.CHACHA,
    ephemeral: int = 0,
) -> Channel:
    return SecureChannel(
        role,
        mesh_id=mesh,
        static_private=static,
        ephemeral_private=bytes([static[0], ephemeral] * 16),
        credentials=credentials(static) if shown is None else shown,
        authenticate=expect(*names),
        hello=hello,
        bare=bare,
        rekey_every=rekey_every,
        suite=lambda _: suite,
    )


def alice(**options: Any) -> Channel:
    return channel(Role.INITIATOR, ALICE, "bob", **options)


def bob(**options: Any) -> Channel:
    return channel(Role.RESPONDER, BOB, "alice", **options)


def knock(ephemeral_public: bytes, hello: bytes = b"", mesh: bytes = MESH) -> bytes:
    """Give the payload of message 1."""
    return payload_of(hello, ephemeral_public, mesh)


def opened(**options: Any) -> tuple[Channel, Channel]:
    initiator, responder = alice(**options), bob(**options)
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    initiator.receive_bytes_untrusted(responder.bytes_to_send())
    responder.receive_bytes_untrusted(initiator.bytes_to_send())
    return initiator, responder


def sealed(sender: Channel, kind: int, body: bytes) -> bytes:
    sender.send_record(kind, body)
    return sender.bytes_to_send()


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def damaged(data: bytes) -> Iterator[bytes]:
    for size in range(len(data)):
        yield data[:size]
    for bit in range(8 * len(data)):
        twin = bytearray(data)
        twin[bit // 8] ^= 1 << bit % 8
        yield bytes(twin)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(RemoteProtocolError) as error:
        call()
    return error.value.code


def assert_closed_for_good(side: Channel, code: str) -> None:
    for call in (
        lambda: side.receive_bytes_untrusted(b"x"),
        lambda: side.send_record(HOP, b"x"),
        side.send_end,
        side.bytes_to_send,
        side.receive_eof,
    ):
        assert code_of(call) == code
    assert not side.established


def fails_by_the_end_of(side: Channel, stream: bytes) -> str:
    """Give the code with which ``side`` fails at ``stream`` and then the end; it must have served nobody."""
    events: list[Event[str]] = []
    try:
        if stream:
            events = side.receive_bytes_untrusted(stream)
        side.receive_eof()
    except RemoteProtocolError as error:
        assert events == []
        assert_closed_for_good(side, error.code)
        return error.code
    pytest.fail("the channel took damage for a clean end")


def raw_initiator(side: Channel) -> tuple[CipherState, CipherState]:
    """Finish a handshake with the responder ``side`` by hand, as Alice; give what to send and receive with."""
    handshake = Handshake(
        Role.INITIATOR, prologue=PROLOGUE + MESH, static_private=ALICE, ephemeral_private=bytes([9] * 32)
    )
    side.receive_bytes_untrusted(framed(handshake.write_message(knock(handshake.ephemeral_public))))
    handshake.read_message_untrusted(side.bytes_to_send()[2:])
    message = framed(handshake.write_message(credentials(ALICE)))
    assert side.receive_bytes_untrusted(message) == [HandshakeDone("alice")]
    return handshake.split()


# --- hop channels

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
ALL = 2**30


class Pair:
    """An initiator, an acceptor, and what is under way between them."""

    def __init__(self, *, compact: bool = False, long: bool = False) -> None:
        self.web = HopMux(Role.INITIATOR, compact=compact, long=long)
        self.orders = HopMux(Role.RESPONDER, compact=compact, long=long)
        self._wires: dict[HopMux, deque[bytes]] = {self.web: deque(), self.orders: deque()}

    def other(self, side: HopMux) -> HopMux:
        return self.orders if side is self.web else self.web

    def send(self, side: HopMux, limit: int = ALL) -> None:
        self._wires[side].extend(side.take_records(limit))

    def deliver_one(self, side: HopMux) -> list[HopEvent]:
        """Deliver the oldest record that ``side`` has sent."""
        wire = self._wires[side]
        return self.other(side).receive_record_untrusted(wire.popleft()) if wire else []

    def deliver(self, side: HopMux) -> list[HopEvent]:
        """Send and deliver all that ``side`` has ready, and give what it means to the other side."""
        self.send(side)
        events = []
        while self._wires[side]:
            events += self.deliver_one(side)
        return events

    def settle(self) -> None:
        while self.web.has_output or self.orders.has_output or any(self._wires.values()):
            self.deliver(self.web)
            self.deliver(self.orders)


def answered(pair: Pair, head: RequestHead = GET) -> int:
    """Open a stream whose request is complete and whose response has begun."""
    stream = pair.web.open_stream(head)
    pair.web.send_end(stream, End())
    pair.deliver(pair.web)
    pair.orders.send_head(stream, OK)
    pair.deliver(pair.orders)
    return stream

"""The first message of a handshake: what an initiator says to everybody, and the mac without which nobody answers.

Message 1 carries a few bytes in the clear, its *hello*, and a mac over itself under a key made of the mesh id, as
WireGuard's mac1 is under one made of the responder's public key (whitepaper, section 5.4.4). It proves nothing about
a person: every member and every token holder knows the mesh id, and whoever listens on the path can send it again.
But it keeps the port mute to port scanners and to the internet's noise. Without it not one byte comes back, and no
curve is computed.

Release 0.1 knocked *bare*, with its key alone, and refuses a message 1 that says more. Nodes that are to be in one mesh
with it may be told to knock bare themselves, and to answer a bare knock, and then answer anybody's.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from gossipmesh import crypto
from gossipmesh.errors import RemoteProtocolError

MAX_HELLO: Final = 48
"""Bytes of a hello, its mac apart."""
MAC: Final = 16
"""Bytes of the mac at the end of message 1."""
MAX_KNOCK: Final = crypto.KEY + MAX_HELLO + MAC
"""Bytes of message 1."""
UNANSWERED: Final = "channel.unanswered"
"""The code of a handshake to whose message 1 the other side said nothing, and closed."""

_LABEL: Final = b"gossipmesh/mac1\0"


def payload_of(hello: bytes, ephemeral_public: bytes, mesh_id: bytes) -> bytes:
    """Give the payload of message 1: a hello of at most :data:`MAX_HELLO` bytes, and the mac."""
    return hello + _mac(mesh_id, ephemeral_public + hello)


def hello_of_untrusted(message: bytes, mesh_id: bytes, *, bare: bool = False) -> bytes:
    """Give the hello of message 1, once its mac has proved that its sender knows the mesh.

    With ``bare`` a key alone will do too; its hello is empty, which no other's of a node is.

    Raises:
        RemoteProtocolError: ``channel.mac``.
    """
    if bare and len(message) == crypto.KEY:
        return b""
    said, mac = message[:-MAC], message[-MAC:]
    if len(said) < crypto.KEY or not compare_digest(mac, _mac(mesh_id, said)):
        raise RemoteProtocolError("channel.mac", "somebody knocked who does not know this mesh")
    return said[crypto.KEY :]


def _mac(mesh_id: bytes, said: bytes) -> bytes:
    return crypto.blake2b(said, MAC, key=crypto.blake2b(_LABEL + mesh_id, crypto.KEY))

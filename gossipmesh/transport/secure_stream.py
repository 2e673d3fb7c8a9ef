"""A TCP connection as authenticated records: the socket's side of :class:`~gossipmesh.channel.secure.SecureChannel`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import trio
from attrs import field, frozen

from gossipmesh import crypto
from gossipmesh.channel.noise import Role, Suite
from gossipmesh.channel.secure import SYNC, Ended, Event, HandshakeDone, Record, SecureChannel
from gossipmesh.errors import LocalProtocolError, MeshError, RemoteProtocolError, TrustError
from gossipmesh.identity.credentials import (
    AES_RECORDS,
    BUNDLES,
    FEATURES,
    Peer,
    decode_hello_untrusted,
    encode_hello,
)
from gossipmesh.model import NodeId, short_id

HANDSHAKE_TIMEOUT_S: Final = 5.0
"""From the first byte to an authenticated peer that said what the channel is for."""
FINISH_TIMEOUT_S: Final = 1.0
"""How long our END may take to leave when a channel is closed in good order."""
RECEIVE_SIZE: Final = 65_536
"""Bytes read at once."""


class ChannelClosed(MeshError):
    """The connection is gone: ``channel.cut``, or ``channel.timeout`` before its handshake was finished."""


@frozen
class ChannelIdentity:
    """Who we are and whom we believe, asked anew for every channel: keys rotate and records change."""

    mesh_id: bytes = field(repr=bytes.hex)
    credentials: Callable[[int | None], bytes]
    """What we show to a peer whose newest trust bundle has that number: our chain and record and the bundles that it
    lacks, encoded (:mod:`gossipmesh.identity.credentials`). None: to one of release 0.1, which wants no bundles."""
    authenticate: Callable[[bytes, bytes, NodeId | None], Peer]
    """Given the other side's credentials, its X25519 key and the id that was dialled (None: any), says who it is or
    raises TrustError. Whether that counts is for ``check`` to say."""
    static_private: Callable[[], bytes]
    """Our present X25519 key, the one that our record names."""
    entropy: Callable[[int], bytes]
    bundle_n: Callable[[], int] = lambda: 0
    """The number of our newest trust bundle."""
    check: Callable[[Peer], None] = lambda _: None
    """Raises TrustError where a peer that proved who it is does not count any more: it is revoked. Who dials asks it
    before it shows itself, and both sides at the end of the handshake."""
    refusal: Callable[[str], bytes] | None = None
    """Given the code of that error, gives what answers such a peer's first question over sync; None: nothing does."""
    answers_bare: Callable[[], bool] = lambda: False
    """Whether to answer a bare knock, as members of release 0.1 make (:mod:`gossipmesh.channel.knock`)."""
    tries_old: Callable[[], bool] = lambda: False
    """Whether to try the other way to knock where nobody answers the first."""
    features: int = FEATURES
    """What our credentials say that we can do."""
    is_old: Callable[[NodeId], bool] = lambda _: False
    """Whether a member is of that release, as far as we have heard."""


def suite_of(ours: int, theirs: int) -> Suite:
    """Give what seals the records of two sides with these features, which each has shown the other authenticated."""
    return Suite.AES if ours & theirs & AES_RECORDS else Suite.CHACHA


class SecureStream:
    """One side of a secure connection. One task reads and one task writes; they may be different ones.

    Resource handling: owns ``stream`` from the start; :meth:`close` and :meth:`finish` close it.
    Error handling: a lost connection is :class:`ChannelClosed`, a broken one RemoteProtocolError; after either, close.

    Args:
        stream: a connected TCP stream (trio has set TCP_NODELAY on it: records are already as large as they get).
        role: the initiator is who opened the connection.
        identity: who we are.
        expected: the id that was dialled; None where anybody who belongs to the mesh will do.
        bare: whether to knock bare, as initiator; a responder goes by :attr:`ChannelIdentity.answers_bare`.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        role: Role,
        identity: ChannelIdentity,
        *,
        expected: NodeId | None = None,
        bare: bool = False,
    ) -> None:
        self._stream = stream
        self._peer: Peer | None = None
        self._check = identity.check
        self._refusal = identity.refusal if role is Role.RESPONDER else None
        self._proved: Peer | None = None
        self._arrived: list[Record] = []
        self._ended = False
        self._sending = False

        def authenticate(credentials: bytes, remote_static: bytes) -> Peer:
            peer = identity.authenticate(credentials, remote_static, expected)
            if expected is not None and peer.id != expected:
                raise TrustError(
                    "channel.identity", f"dialled {short_id(expected)}, but {short_id(peer.id)} answered"
                )
            if role is Role.INITIATOR:
                identity.check(peer)
            self._proved = peer
            return peer

        def show(heard: bytes) -> bytes:
            if self._proved is not None:
                return identity.credentials(
                    self._proved.bundle_n if self._proved.features & BUNDLES else None
                )
            return identity.credentials(decode_hello_untrusted(heard) if heard else None)

        self._channel = SecureChannel(
            role,
            mesh_id=identity.mesh_id,
            static_private=identity.static_private(),
            ephemeral_private=identity.entropy(crypto.KEY),
            credentials=show,
            authenticate=authenticate,
            hello=encode_hello(identity.bundle_n()) if role is Role.INITIATOR else b"",
            bare=bare if role is Role.INITIATOR else identity.answers_bare(),
            suite=lambda peer: suite_of(identity.features, peer.features),
        )

    @property
    def peer(self) -> Peer:
        """Who is on the other side; only after :meth:`handshake`."""
        if self._peer is None:
            raise LocalProtocolError("channel.order", "nobody is known before the handshake is finished")
        return self._peer

    async def handshake(self, *, timeout_s: float = HANDSHAKE_TIMEOUT_S) -> Peer:
        """Shake hands and give who the other side is.

        Raises:
            ChannelClosed: ``channel.cut`` or ``channel.timeout``.
            RemoteProtocolError: what the channel, ``authenticate`` or ``check`` raised; TrustError among them.
        """
        with trio.move_on_after(timeout_s):
            await self._flush()
            while self._peer is None:
                self._keep(await self._receive())
                await self._flush()
            # Also for who dialled: its last message may have waited for long, and whoever was revoked meanwhile had no
            # channel to be ended.
            try:
                self._check(self._peer)
            except TrustError as error:
                await self._refuse(error.code)
                raise
            return self._peer
        raise ChannelClosed("channel.timeout", f"no handshake within {timeout_s:g} s")

    async def _refuse(self, code: str) -> None:
        """Tell a peer that proved who it is, and does not count, why; a cut channel would look like any other fault.

        Only in answer to a question, so that it is asked for, and not lost with a connection that is closed on bytes
        that nobody read. All within the time of the handshake.
        """
        if self._refusal is None:
            return
        with suppress(ChannelClosed, RemoteProtocolError):
            if await self.purpose() == SYNC:
                await self.send_records(SYNC, [self._refusal(code)])
                await self.send_end()

    async def purpose(self) -> int | None:
        """Wait for the first record and give its kind, which says what the channel is for; None if there is none.

        The record itself stays to be received.
        """
        while not self._arrived and not self._ended:
            self._keep(await self._receive())
        return self._arrived[0].kind if self._arrived else None

    async def send_records(self, kind: int, bodies: Iterable[bytes]) -> None:
        """Seal one record of ``kind`` for each body, and send them together.

        Raises:
            ChannelClosed: ``channel.cut``.
        """
        for body in bodies:
            self._channel.send_record(kind, body)
        await self._flush()

    async def send_end(self) -> None:
        """Say that we send no more records.

        Raises:
            ChannelClosed: ``channel.cut``.
        """
        self._channel.send_end()
        await self._flush()

    async def receive_records(self) -> list[Record]:
        """Wait for records and give all that came together; none at the other side's END.

        Raises:
            ChannelClosed: ``channel.cut``.
            RemoteProtocolError: for what does not open, and ``channel.truncated`` for an end without END.
        """
        while not self._arrived and not self._ended:
            self._keep(await self._receive())
        records, self._arrived = self._arrived, []
        return records

    async def finish(self) -> None:
        """Send END if that is possible soon, then close."""
        try:
            # Behind half a record, where a writer was cancelled, END would look like tampering.
            if not self._sending:
                with trio.move_on_after(FINISH_TIMEOUT_S):
                    await self.send_end()
        except MeshError:
            pass  # The connection is already gone, or END was sent before.
        finally:
            self.close()

    def detach(self) -> tuple[socket.socket, SecureChannel[Peer], list[Record]]:
        """Hand over socket, channel and what arrived of it already; this stream is of no more use.

        Only after :meth:`handshake`, and while nobody reads or writes.
        """
        fd = self._stream.socket.detach()
        records, self._arrived = self._arrived, []
        return socket.socket(fileno=fd), self._channel, records

    def close(self) -> None:
        """Close at once. Where END was not sent, the other side sees a cut."""
        self._stream.socket.close()

    async def _receive(self) -> list[Event[Peer]]:
        try:
            data = await self._stream.receive_some(RECEIVE_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            raise ChannelClosed("channel.cut", "the connection broke") from None
        if data:
            return self._channel.receive_bytes_untrusted(data)
        self._channel.receive_eof()
        self._ended = True
        return []

    def _keep(self, events: list[Event[Peer]]) -> None:
        for event in events:
            match event:
                case Record():
                    self._arrived.append(event)
                case HandshakeDone(peer):
                    self._peer = peer
                case Ended():
                    self._ended = True

    async def _flush(self) -> None:
        data = self._channel.bytes_to_send()
        if not data:
            return
        self._sending = True
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            raise ChannelClosed("channel.cut", "the connection broke") from None
        self._sending = False

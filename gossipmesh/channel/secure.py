"""A byte stream between two daemons as authenticated records; sans-io, for either side.

On the wire everything is a frame: its length (u16, big-endian), then that many bytes. The first three frames are
the messages of a Noise XX handshake whose prologue names the mesh; messages 2 and 3 carry each side's
credentials. Every later frame is one sealed record: a type byte, then a body.

The law:

- **Who does not know the mesh gets nothing**: not one byte, and no curve is computed (:mod:`.knock`); where ``bare``
  knocks are answered, it gets message 2.
- **Nobody is served before it is known.** The initiator authenticates message 2 before it makes message 3, so a
  host that is not the dialled one never sees our credentials; the responder reports :class:`HandshakeDone` only
  once message 3 is authenticated. Records exist only after that.
- **The end is a statement.** Each direction ends with a sealed END; a stream that stops without one was cut.
- **One failure is final.** Whatever does not open or is out of place closes the machine, and every later call
  raises the same error: a peer that could try again on the same keys could search for a difference.
- **Memory is bounded.** Input holds at most one incomplete frame (4 KiB before the handshake is finished), output
  :data:`MAX_UNSENT`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from gossipmesh import crypto
from gossipmesh.channel.knock import MAX_HELLO, MAX_KNOCK, UNANSWERED, hello_of_untrusted, payload_of
from gossipmesh.channel.noise import CipherState, Handshake, Role, Suite
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.unchanging import Unchanging

PROLOGUE: Final = b"gossipmesh/1"
"""Precedes the mesh id in the handshake's prologue: another version or mesh fails at message 2."""

END: Final = 0
"""Record type: this direction is complete. Made and read here only."""
SYNC: Final = 1
"""Record type: anti-entropy, probes and renewal."""
HOP: Final = 2
"""Record type: frames of multiplexed requests."""

MAX_FRAME: Final = 65_535
MAX_RECORD_PLAINTEXT: Final = MAX_FRAME - crypto.TAG
"""Bytes of a record before sealing, its type byte included."""
MAX_RECORD_BODY: Final = MAX_RECORD_PLAINTEXT - 1
"""Bytes that :meth:`SecureChannel.send_record` takes at most."""
MAX_HANDSHAKE: Final = 4_096
"""Bytes that a peer may send before its handshake is finished, lengths included."""
MAX_CREDENTIALS: Final = MAX_HANDSHAKE - MAX_KNOCK - 68
"""Bytes of credentials: the initiator's two frames are so much longer, the responder's one is 98 bytes longer."""
MAX_UNSENT: Final = 8 * 1024 * 1024
"""Bytes that wait for :meth:`SecureChannel.bytes_to_send` at most, twice a hop channel's credit window."""
REKEY_EVERY: Final = 2**20
"""Records of one direction under one key."""

_TRUNCATED: Final = ("channel.truncated", "the stream was cut: it stops without its END record")
_UNANSWERED: Final = (
    UNANSWERED,
    "whoever is there closed the connection without a word: is it of this token's mesh, of this release, and not full?",
)
_LENGTH: Final = 2
_MIN_FRAME: Final = crypto.TAG + 1
_KINDS: Final = [bytes([kind]) for kind in range(256)]

PeerT = TypeVar("PeerT")
Part: TypeAlias = bytes | bytearray | memoryview


class HandshakeDone(Unchanging, Generic[PeerT]):
    """The other side is who ``authenticate`` says it is; records may follow, both ways."""

    __match_args__: ClassVar = ("peer",)
    __slots__ = __match_args__

    def __init__(self, peer: PeerT) -> None:
        self.peer: Final = peer


class Record(Unchanging):
    """One record of the other side, exactly as it was sent. ``kind`` is 1 to 255."""

    __match_args__: ClassVar = ("kind", "body")
    __slots__ = __match_args__

    def __init__(self, kind: int, body: bytes | memoryview) -> None:
        self.kind: Final = kind
        self.body: Final = body
        """As received, a view of what was opened: nobody else has that."""


class Ended(Unchanging):
    """The other side has sent everything. Our own direction stays open until :meth:`SecureChannel.send_end`."""


Event: TypeAlias = HandshakeDone[PeerT] | Record | Ended
Credentials: TypeAlias = bytes | Callable[[bytes], bytes]
"""What is shown, or what gives it once the other side has spoken: from its hello (to a responder) or from its
credentials (to an initiator), both as they came. It raises RemoteProtocolError for what it cannot read."""


class SecureChannel(Generic[PeerT]):
    """One side of a channel, over a byte stream that somebody else reads and writes.

    Hand what arrives to :meth:`receive_bytes_untrusted`, the stream's end to :meth:`receive_eof`, and after each call
    send what :meth:`bytes_to_send` gives: once after construction too, for the initiator's first message.

    Args:
        role: the initiator is who opened the TCP connection.
        mesh_id: 32 bytes; both sides must name the same.
        static_private: our X25519 key, which ``credentials`` bind to our identity; 32 bytes.
        ephemeral_private: 32 fresh random bytes, for this channel only.
        credentials: what we show the other side in message 2 or 3; at most :data:`MAX_CREDENTIALS` bytes.
        hello: what an initiator says in message 1, for everybody to read; at most :data:`MAX_HELLO` bytes.
        authenticate: given the other side's credentials and its X25519 key (which it has proved to hold), says who it
            is, or raises TrustError. The initiator's must compare with the id that was dialled.
        bare: an initiator knocks as release 0.1 did, with its key alone; a responder answers that too.
        suite: what seals the records exchanged with whom ``authenticate`` gave; both sides must agree.
        rekey_every: records of one direction under one key; both sides must agree.

    Raises:
        LocalProtocolError: ``channel.credentials``, for credentials or a hello that are too long.
    """

    def __init__(
        self,
        role: Role,
        *,
        mesh_id: bytes,
        static_private: bytes,
        ephemeral_private: bytes,
        credentials: Credentials,
        authenticate: Callable[[bytes, bytes], PeerT],
        hello: bytes = b"",
        bare: bool = False,
        suite: Callable[[PeerT], Suite] = lambda _: Suite.CHACHA,
        rekey_every: int = REKEY_EVERY,
    ) -> None:
        if isinstance(credentials, bytes):
            _check_size(credentials, MAX_CREDENTIALS)
        _check_size(hello, MAX_HELLO)
        self._role = role
        self._credentials, self._authenticate = credentials, authenticate
        self._suite = suite
        self._rekey_every = rekey_every
        self._mesh_id, self._bare = mesh_id, bare
        self._begin = partial(
            Handshake,
            role,
            prologue=PROLOGUE + mesh_id,
            static_private=static_private,
            ephemeral_private=ephemeral_private,
        )
        # Beginning takes two scalar multiplications: more than a responder owes to who knows nothing.
        self._handshake: Handshake | None = None
        self._sealing: CipherState | None = None
        self._opening: CipherState | None = None
        self._incomplete = bytearray()
        self._max_frame = MAX_HANDSHAKE - _LENGTH if role is Role.INITIATOR else MAX_KNOCK
        self._outgoing: list[Part] = []
        self._unsent = 0
        self._we_ended = self._peer_ended = False
        self._failure: Callable[[], RemoteProtocolError] | None = None
        if role is Role.INITIATOR:
            self._handshake = handshake = self._begin()
            knock = b"" if bare else payload_of(hello, handshake.ephemeral_public, mesh_id)
            self._append(handshake.write_message(knock))

    @property
    def established(self) -> bool:
        """Whether the other side is authenticated, so that records may be sent."""
        return self._sealing is not None and self._failure is None

    @property
    def unsent(self) -> int:
        """How many bytes wait for :meth:`bytes_to_send`."""
        return self._unsent

    def send_record(self, kind: int, *parts: Part) -> None:
        """Seal one record of ``kind`` (1 to 255) whose body is ``parts`` joined, at most :data:`MAX_RECORD_BODY` bytes.

        Raises:
            LocalProtocolError: nothing was sealed; ``channel.order`` before the handshake is finished or after our END,
                ``channel.kind``, ``channel.size``, or ``channel.unsent`` if nobody takes what was sealed before.
            RemoteProtocolError: the channel has failed.
        """
        if not 0 < kind < 256:
            raise LocalProtocolError("channel.kind", f"a record's type is from 1 to 255, not {kind}")
        self._seal(b"".join((_KINDS[kind], *parts)))

    def send_end(self) -> None:
        """Say that we send no more records. What arrives is still received.

        Raises:
            LocalProtocolError: ``channel.order``, before the handshake is finished or if it was said already.
            RemoteProtocolError: the channel has failed.
        """
        self._seal(_KINDS[END])
        self._we_ended = True

    def bytes_to_send(self) -> bytes:
        """Give what :meth:`parts_to_send` does, in one piece."""
        return b"".join(self.parts_to_send())

    def parts_to_send(self) -> list[Part]:
        """Give everything that is to be written to the stream now, in order, and forget it.

        Raises:
            RemoteProtocolError: the channel has failed.
        """
        self._raise_failure()
        parts, self._outgoing = self._outgoing, []
        self._unsent = 0
        return parts

    def receive_bytes_untrusted(self, data: bytes) -> list[Event[PeerT]]:
        """Take what the stream gave, in pieces of any size, and give what became complete with it.

        Raises:
            RemoteProtocolError: ``channel.mac``, ``channel.handshake``, ``channel.handshake-too-long``,
                ``channel.record``, ``channel.malformed`` or ``channel.after-end``; or what ``authenticate`` raised.
                The channel has failed, and what the same call had opened before is dropped with it.
            LocalProtocolError: ``channel.order``, for no bytes at all: the end of the stream is :meth:`receive_eof`.
        """
        if self._failure is not None:
            raise self._failure()
        if not data:
            raise LocalProtocolError("channel.order", "no bytes were received; an end is receive_eof()")
        events: list[Event[PeerT]] = []
        try:
            self._receive_frames_untrusted(data, events)
            if self._peer_ended and self._incomplete:
                raise RemoteProtocolError("channel.after-end", "bytes after the end of their direction")
        except RemoteProtocolError as error:
            self._fail(error)
            raise
        return events

    def receive_eof(self) -> None:
        """Take the end of the stream.

        Raises:
            RemoteProtocolError: ``channel.truncated``, unless the other side had said that it sends no more;
                ``channel.unanswered``, where it never said a word to us who knocked.
        """
        self._raise_failure()
        if not self._peer_ended:
            error = RemoteProtocolError(*(_UNANSWERED if self._unanswered() else _TRUNCATED))
            self._fail(error)
            raise error

    def _unanswered(self) -> bool:
        return self._role is Role.INITIATOR and self._opening is None and not self._incomplete

    def _seal(self, plaintext: bytes) -> None:
        self._raise_failure()
        cipher = self._sealing
        if cipher is None or self._we_ended:
            when = "before the handshake is finished" if cipher is None else "after our own end"
            raise LocalProtocolError("channel.order", f"a record {when}")
        if len(plaintext) > MAX_RECORD_PLAINTEXT:
            raise LocalProtocolError("channel.size", f"a record of {len(plaintext)} bytes")
        if self._unsent + _LENGTH + len(plaintext) + crypto.TAG > MAX_UNSENT:
            raise LocalProtocolError("channel.unsent", f"{self._unsent} sealed bytes wait to be sent")
        self._append(cipher.encrypt(plaintext))
        if not cipher.nonce % self._rekey_every:
            cipher.rekey()

    def _append(self, frame: bytes | bytearray) -> None:
        size = len(frame)
        self._outgoing += (size.to_bytes(_LENGTH, "big"), frame)
        self._unsent += _LENGTH + size

    def _receive_frames_untrusted(self, data: bytes, events: list[Event[PeerT]]) -> None:
        """Take the frames that ``data`` completes, and keep the rest of it.

        A byte is copied at most once before its frame is opened, however small the pieces are: only an incomplete frame
        is kept, and it grows in place.
        """
        start = self._complete_untrusted(data, events) if self._incomplete else 0
        end = len(data)
        view = memoryview(data)
        while end - start >= _LENGTH:
            stop = start + _LENGTH + self._frame_size_untrusted(data, start)
            if stop > end:
                break
            self._receive_frame_untrusted(view[start + _LENGTH : stop], events)
            start = stop
        if start < end:
            self._incomplete += view[start:]

    def _complete_untrusted(self, data: bytes, events: list[Event[PeerT]]) -> int:
        """Add to the incomplete frame what belongs to it, and give where the next one starts."""
        start = 0
        incomplete = self._incomplete
        if len(incomplete) < _LENGTH:
            incomplete += data[:1]
            start = 1
        wanted = _LENGTH + self._frame_size_untrusted(incomplete, 0) - len(incomplete)
        incomplete += memoryview(data)[start : start + wanted]
        if len(data) - start < wanted:
            return len(data)
        self._incomplete = bytearray()
        self._receive_frame_untrusted(memoryview(incomplete)[_LENGTH:], events)
        return start + wanted

    def _frame_size_untrusted(self, data: bytes | bytearray, start: int) -> int:
        # Checked as soon as it is read, before anything is kept of the frame that it announces.
        size = data[start] << 8 | data[start + 1]
        if size < _MIN_FRAME:
            raise RemoteProtocolError("channel.malformed", f"a frame of {size} bytes")
        if size > self._max_frame:
            text = f"a handshake of more than {MAX_HANDSHAKE} bytes"
            raise RemoteProtocolError("channel.handshake-too-long", text)
        return size

    def _receive_frame_untrusted(self, frame: memoryview, events: list[Event[PeerT]]) -> None:
        cipher = self._opening
        if cipher is None:
            if (done := self._receive_handshake_untrusted(bytes(frame))) is not None:
                events.append(done)
            return
        if self._peer_ended:
            raise RemoteProtocolError("channel.after-end", "a record after the end of its direction")
        try:
            plaintext = cipher.decrypt_untrusted(frame)
        except RemoteProtocolError as error:
            raise RemoteProtocolError("channel.record", f"a record was changed on its way: {error}") from None
        if not cipher.nonce % self._rekey_every:
            cipher.rekey()
        kind = plaintext[0]
        if kind != END:
            events.append(Record(kind, memoryview(plaintext)[1:]))
            return
        if len(plaintext) != 1:
            raise RemoteProtocolError("channel.malformed", "an END record with a body")
        self._peer_ended = True
        events.append(Ended())

    def _receive_handshake_untrusted(self, frame: bytes) -> HandshakeDone[PeerT] | None:
        handshake = self._handshake
        if handshake is None:
            self._max_frame = MAX_HANDSHAKE - len(frame) - 2 * _LENGTH
            self._answer_first_untrusted(frame)
            return None
        payload = _read_untrusted(handshake, frame)
        peer = self._authenticate(payload, handshake.remote_static)
        if self._role is Role.INITIATOR:
            self._append(handshake.write_message(self._shown(payload)))
        self._sealing, self._opening = handshake.split(self._suite(peer))
        self._max_frame = MAX_FRAME
        return HandshakeDone(peer)

    def _answer_first_untrusted(self, frame: bytes) -> None:
        hello = hello_of_untrusted(frame, self._mesh_id, bare=self._bare)
        handshake = self._begin()
        _read_untrusted(handshake, frame)
        shown = self._shown(hello)
        try:
            self._append(handshake.write_message(shown))
        except RemoteProtocolError as error:
            raise _failed(error) from None
        self._handshake = handshake

    def _shown(self, heard: bytes) -> bytes:
        if isinstance(self._credentials, bytes):
            return self._credentials
        shown = self._credentials(heard)
        _check_size(shown, MAX_CREDENTIALS)
        return shown

    def _fail(self, error: RemoteProtocolError) -> None:
        # Kept as its making, not as the exception: its traceback would hold this machine in a cycle and grow with
        # every time that it is raised.
        self._failure = partial(type(error), error.code, str(error))
        self._incomplete.clear()
        self._outgoing.clear()
        self._unsent = 0

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure()


def _read_untrusted(handshake: Handshake, frame: bytes) -> bytes:
    try:
        return handshake.read_message_untrusted(frame)
    except RemoteProtocolError as error:
        raise _failed(error) from None


def _failed(error: RemoteProtocolError) -> RemoteProtocolError:
    text = f"the handshake failed: another mesh, another version or tampering ({error})"
    return RemoteProtocolError("channel.handshake", text)


def _check_size(shown: bytes, most: int) -> None:
    if len(shown) > most:
        text = f"{len(shown)} bytes to show in a handshake; at most {most} fit"
        raise LocalProtocolError("channel.credentials", text)

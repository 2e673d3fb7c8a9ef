"""TLS for strangers at a gateway: a socket that the reactor may use as any other, and the certificate behind it.

Between two daemons there is no TLS; they have channels of their own. Here OpenSSL reads and writes the socket itself,
so a link needs to know nothing of it: what it calls blocking, this calls blocking, too. A handshake is done in turns of
the reactor: 0.4 ms of processor time with an ECDSA key (P-256), 0.7 ms with RSA of 2,048 bits.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossipmesh.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PROTOCOLS: Final = ["http/1.1"]


class TlsSocket(ssl.SSLSocket):
    """A server's side of TLS on a non-blocking socket; the first reads make the handshake."""

    _ended = False

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Give plain bytes, or nothing at the end.

        Raises:
            BlockingIOError: if there are none yet.
            OSError: if the connection, or its TLS, is broken.
        """
        if self._ended:
            return b""
        try:
            data = super().recv(buflen, flags)
            while more := self.pending():
                # OpenSSL has it already, so no descriptor will ever be readable for it.
                data += super().recv(more)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        return data

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Take plain bytes; give how many were taken. What was not must come again, in front of anything else.

        Raises:
            BlockingIOError: if none were.
            OSError: if the connection, or its TLS, is broken.
        """
        view = memoryview(data)
        sent = 0
        try:
            while sent < len(view):
                sent += super().send(view[sent:], flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if not sent:
                raise BlockingIOError from None
        return sent

    def shutdown(self, how: int) -> None:
        """Say that nothing more comes, in TLS and in TCP, so that the other end sees a whole answer as whole.

        Raises:
            OSError: if the connection is gone.
        """
        with suppress(OSError, ValueError):  # Its own goodbye is not here yet, or something else is.
            self.unwrap()
            self._ended = True
        socket.socket.shutdown(self, how)


class Certificate:
    """A certificate and its key, from files that may be replaced while it is in use.

    Args:
        cert: PEM, the chain that is to be shown, the server's own first.
        key: PEM, without a passphrase.

    Raises:
        ConfigError: ``tls.files``, if they cannot be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._files: Final = (cert, key)
        self._seen = self._look()
        self._context = _context(cert, key)

    def wrap(self, sock: socket.socket) -> socket.socket:
        """Give an accepted connection with TLS on it; nothing is sent or received yet.

        Raises:
            OSError: if the connection is gone; ``sock`` is closed then.
        """
        try:
            return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            sock.close()
            raise OSError(f"no TLS on this connection: {error}") from None

    def refresh(self) -> bool:
        """Read the files again if they changed; tell whether they did. Connections that there are keep what they have.

        Raises:
            ConfigError: as at first; what was read before stays in use.
        """
        seen = self._look()
        if seen == self._seen:
            return False
        context = _context(*self._files)
        self._seen, self._context = seen, context
        return True

    def _look(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for file in self._files:
            with suppress(OSError):
                # By its path: what Kubernetes mounts is replaced by moving a link.
                status = os.stat(file)
                found.append((status.st_ino, status.st_dev, status.st_mtime_ns, status.st_size))
        return found


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(PROTOCOLS)
    context.sslsocket_class = TlsSocket
    try:
        # An empty passphrase: without one OpenSSL would ask at the terminal.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        text = f"{cert} and {key} are no certificate with its key: {str(reason).replace('_', ' ').lower()}"
        raise ConfigError("tls.files", f"{text}; give two PEM files that belong together") from None
    return context

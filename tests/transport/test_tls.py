"""TLS as a socket for the reactor: what blocks, what ends, and files that are replaced."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import pytest

from certificates import NAME, Files, write_certificate
from gossipmesh.errors import ConfigError
from gossipmesh.transport.tls import Certificate, TlsSocket


class Ends:
    """A client's TLS in memory, and our socket: what the client says is handed over by :meth:`exchange`."""

    def __init__(self, files: Files, *, small: bool = False) -> None:
        left, right = socket.socketpair()
        if small:
            left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=files.cert)
        self.client = context.wrap_bio(self.incoming, self.outgoing, server_hostname=NAME)
        self.wire = right
        self.wire.setblocking(False)
        wrapped = Certificate(files.cert, files.key).wrap(left)
        assert isinstance(wrapped, TlsSocket)
        self.server = wrapped
        self.server.setblocking(False)

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self.wire.close()

    def exchange(self) -> None:
        """Take what our side sent, and send what the client has."""
        if data := self.outgoing.read():
            self.wire.sendall(data)
        try:
            while data := self.wire.recv(65_536):
                self.incoming.write(data)
        except BlockingIOError:
            return
        self.incoming.write_eof()

    def shake_hands(self) -> None:
        for _ in range(10):
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
                with pytest.raises(BlockingIOError):
                    self.server.recv(65_536)
                self.exchange()
            else:
                self.exchange()
                with pytest.raises(BlockingIOError):
                    self.server.recv(65_536)
                return
        raise AssertionError("no handshake")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_certificate(tmp_path)


def test_bytes_pass_both_ways_and_reading_nothing_blocks(files: Files) -> None:
    with Ends(files) as ends:
        ends.shake_hands()
        ends.client.write(b"ping")
        ends.exchange()
        assert ends.server.recv(65_536) == b"ping"
        assert ends.server.send(b"pong") == 4
        ends.exchange()
        assert ends.client.read() == b"pong"


def test_a_read_leaves_nothing_behind_that_no_descriptor_tells_of(files: Files) -> None:
    with Ends(files) as ends:
        ends.shake_hands()
        ends.client.write(b"x" * 10_000)
        ends.exchange()
        assert ends.server.recv(1) == b"x" * 10_000


def test_what_is_not_taken_is_sent_later_in_order(files: Files) -> None:
    data = os.urandom(400_000)
    with Ends(files) as ends:
        ends.shake_hands()
        at, blocked, received = 0, 0, b""
        while at < len(data):
            try:
                at += ends.server.send(memoryview(data)[at:])
            except BlockingIOError:
                blocked += 1
                ends.exchange()
        ends.exchange()
        while len(received) < len(data):
            received += ends.client.read(65_536)
    assert blocked
    assert received == data


def test_an_end_is_told_in_tls_and_the_other_side_may_still_be_read(files: Files) -> None:
    with Ends(files) as ends:
        ends.shake_hands()
        ends.server.shutdown(socket.SHUT_WR)
        ends.exchange()
        assert ends.client.read() == b""
        with pytest.raises(BlockingIOError):
            ends.server.recv(65_536)


def test_after_the_other_sides_goodbye_nothing_is_read_any_more(files: Files) -> None:
    with Ends(files) as ends:
        ends.shake_hands()
        with pytest.raises(ssl.SSLWantReadError):
            ends.client.unwrap()
        ends.exchange()
        ends.wire.sendall(b"plain text behind it")
        assert ends.server.recv(65_536) == b""
        ends.server.shutdown(socket.SHUT_WR)
        assert ends.server.recv(65_536) == b""


def test_what_is_no_tls_breaks_the_connection(files: Files) -> None:
    with Ends(files) as ends:
        ends.wire.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            ends.server.recv(65_536)


def test_a_connection_that_is_gone_already_is_closed(files: Files) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.close()
    with pytest.raises(OSError, match="no TLS"):
        Certificate(files.cert, files.key).wrap(listener)


def shown(certificate: Certificate, cafile: Path) -> bool:
    """Tell whether a client that trusts only ``cafile`` gets through."""
    left, right = socket.socketpair()
    with certificate.wrap(left) as server, right:
        server.setblocking(False)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=cafile).wrap_bio(incoming, outgoing, server_hostname=NAME)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        right.sendall(outgoing.read())
        with pytest.raises(BlockingIOError):
            server.recv(1)
        incoming.write(right.recv(65_536))
        try:
            client.do_handshake()
        except ssl.SSLCertVerificationError:
            return False
        return True


def test_replaced_files_are_read_again_and_half_of_a_pair_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = write_certificate(tmp_path / "old"), write_certificate(tmp_path / "new")
    live = write_certificate(tmp_path)
    for source, target in ((old.cert, live.cert), (old.key, live.key)):
        target.write_bytes(source.read_bytes())
    certificate = Certificate(live.cert, live.key)
    assert not certificate.refresh()
    assert shown(certificate, old.cert)
    new.cert.replace(live.cert)
    with pytest.raises(ConfigError, match="belong together"):
        certificate.refresh()
    assert shown(certificate, old.cert)
    new.key.replace(live.key)
    assert certificate.refresh()
    assert not certificate.refresh()
    assert not shown(certificate, old.cert)
    assert shown(certificate, live.cert)


def test_files_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    locked = write_certificate(tmp_path, passphrase=b"secret")
    with pytest.raises(ConfigError, match=r"tls\.crt and .*tls\.key are no certificate with its key: "):
        Certificate(locked.cert, locked.key)
    with pytest.raises(ConfigError, match="no such file"):
        Certificate(tmp_path / "missing", locked.key)
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match=r"no start line|no certificate"):
        Certificate(tmp_path / "empty", locked.key)

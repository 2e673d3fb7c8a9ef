"""An HTTP app on loopback, in this process, that tests can look into."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from attrs import define, field

CHUNK: Final = 65_536
HOLD_S: Final = 30.0
DRIP_S: Final = 0.05


def pattern(size: int) -> Iterator[bytes]:
    """Give ``size`` bytes that differ at every place where something could be cut or swapped."""
    for start in range(0, size, CHUNK):
        block = hashlib.shake_128(start.to_bytes(8, "big")).digest(min(CHUNK, size - start))
        yield block


def pattern_digest(size: int) -> str:
    """Give the SHA-256 of :func:`pattern`, in hex."""
    digest = hashlib.sha256()
    for block in pattern(size):
        digest.update(block)
    return digest.hexdigest()


@define
class Seen:
    """One request as the app got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")

    def header(self, name: str) -> str | None:
        """Give the one value of a header, or None."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, values
        return values[0] if values else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self) -> None:
        app = self.server.app
        body = self._read_body()
        app.requests.append(Seen(self.command, self.path, list(self.headers.items()), body))
        url = urlsplit(self.path)
        match url.path:
            case "/echo":
                self._send([body], len(body))
            case "/pattern":
                size = int(parse_qs(url.query)["size"][0])
                self._send(pattern(size), size)
            case "/chunked":
                self._send(pattern(int(parse_qs(url.query)["size"][0])), None)
            case "/hold":
                app.held.release()
                app.release.wait(HOLD_S)
                self._send([app.line], len(app.line))
            case "/drip":
                self._send(app.drops(), None)
            case "/broken":
                raise ConnectionAbortedError("as the path says")
            case _:
                self._send([app.line], len(app.line))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _send(self, blocks: Iterator[bytes] | list[bytes], size: int | None) -> None:
        self.send_response(200)
        self.send_header("X-Instance", self.server.app.instance)
        if size is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "HEAD":
            return
        for block in blocks:
            self.wfile.write(block if size is not None else b"%x\r\n%s\r\n" % (len(block), block))
        if size is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    app: WebApp

    def handle_error(self, request: object, client_address: object) -> None:
        """A daemon that was killed closes its connections in the middle: nothing to report."""


class WebApp:
    """One instance of a service.

    ``/`` gives the instance's name; ``/echo`` the request's body; ``/pattern?size=N`` and ``/chunked?size=N`` give
    :func:`pattern`; ``/hold`` waits until ``release`` is set, after it released ``held`` once; ``/drip`` sends a bit,
    again and again, until ``release`` is set; ``/broken`` closes the connection without an answer.
    """

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.requests: list[Seen] = []
        self.held = threading.Semaphore(0)
        self.release = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.app = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def drops(self) -> Iterator[bytes]:
        """Give a little at a time, for as long as anybody takes it."""
        yield self.line
        while not self.release.wait(DRIP_S):
            yield self.line

    @property
    def line(self) -> bytes:
        """What ``/`` gives."""
        return f"{self.instance}\n".encode()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._server.server_port

    def close(self) -> None:
        """Stop; requests that are held get their answer first."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def app_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run an app in a process of its own, which can be killed or stopped; its answers name no instance."""
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()

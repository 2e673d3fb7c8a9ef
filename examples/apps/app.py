"""hello or world: an app that says which instance of it answered. It serves on loopback and knows nothing of the mesh.

APP=hello python3 app.py      GET /hello        "hello from INSTANCE"
                              GET /hello/world  asks world for its answer, through the proxy that http_proxy names
APP=world python3 app.py      GET /world        "world from INSTANCE"

Environment: APP, the app's name; INSTANCE, by default the host's name; PORT, by default 8080.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

APP = os.environ.get("APP", "hello")
INSTANCE = os.environ.get("INSTANCE") or socket.gethostname()
PORT = int(os.environ.get("PORT", "8080"))


class Handler(BaseHTTPRequestHandler):
    """Answers a GET with one line."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer with our name, or with that of the world that answered us."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self.answer(200, "ok\n")
        elif path == "/hello/world" and APP == "hello":
            try:
                with urllib.request.urlopen("http://world/world", timeout=10) as response:
                    self.answer(200, f"hello from {INSTANCE}, and {response.read().decode()}")
            except OSError as error:
                self.answer(502, f"hello from {INSTANCE}, but no world: {error}\n")
        else:
            self.answer(200, f"{APP} from {INSTANCE}\n")

    def answer(self, status: int, text: str) -> None:
        """Send a whole response."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the daemon's access log tells of every request."""


def main() -> None:
    """Serve until the process is told to stop."""
    # The first process of a container gets no default action for signals.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

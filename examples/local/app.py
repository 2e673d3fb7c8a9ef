"""A tiny HTTP app that says which instance answered. It serves on loopback and knows nothing of the mesh.

python app.py hello-1        prints its port on the first line, then serves until it is told to stop
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOWN = ("via", "x-gossipmesh-source", "x-gossipmesh-node", "x-forwarded-for")
"""The headers of a request that tell how it came here."""


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with one line, and shows in headers how the request came here."""

    protocol_version = "HTTP/1.1"
    instance = "?"

    def do_GET(self) -> None:
        """Answer with the name of this instance and the caller's, as the mesh proved it."""
        body = f"{self.instance} answers {self.headers.get('x-gossipmesh-node', 'a stranger')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", self.instance)
        for name in SHOWN:
            if name in self.headers:
                self.send_header(
                    f"X-Saw-{name.removeprefix('x-').title()}", ", ".join(self.headers.get_all(name, []))
                )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the demo speaks."""


def main() -> None:
    """Serve until the process ends."""
    Handler.instance = sys.argv[1]
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)

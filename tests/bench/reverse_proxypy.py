"""A plugin of proxy.py: a plain reverse proxy to the app whose port is in the environment."""

from __future__ import annotations

import os
from typing import Any, Final

from proxy.core.connection import TcpServerConnection
from proxy.http.parser import HttpParser
from proxy.http.server import ReverseProxyBasePlugin

APP: Final = "REVERSE_PROXYPY_TO"


class ToApp(ReverseProxyBasePlugin):  # type: ignore[misc]
    """Keeps one connection to the app per caller's connection; proxy.py's own route would open one per request."""

    kept: TcpServerConnection | None = None

    def routes(self) -> list[str]:
        return [r"/.*"]

    def handle_route(self, request: HttpParser, pattern: Any) -> TcpServerConnection:
        if self.kept is None:
            self.kept = TcpServerConnection("127.0.0.1", int(os.environ[APP]))
            self.kept.connect()
        self.kept.queue(memoryview(request.build()))
        return self.kept

    def on_access_log(self, context: dict[str, Any]) -> None:
        """None: do not log."""

"""Requests through a proxy: one at a time, or twenty a second with every outcome counted."""

from __future__ import annotations

import collections
import http.client
import threading
from typing import Final

PERIOD_S: Final = 0.05
"""One request every 50 ms."""


def proxy_get(proxy: str, url: str, timeout_s: float = 10.0) -> tuple[int, str]:
    """Send one GET through an HTTP proxy on a connection of its own; give the status and the body."""
    host, _, port = proxy.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    try:
        connection.request("GET", url)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


class Load(threading.Thread):
    """Asks a service twenty times a second and counts the answers of each instance."""

    def __init__(self, proxy: str, url: str) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._url = url
        self._halt = threading.Event()
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []

    @property
    def sent(self) -> int:
        """How many requests have an outcome."""
        return self.answers.total() + len(self.failures)

    def run(self) -> None:
        """Ask until :meth:`finish` is called."""
        while not self._halt.wait(PERIOD_S):
            try:
                status, body = proxy_get(self._proxy, self._url)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            if status == http.client.OK:
                self.answers[body.split()[0]] += 1
            else:
                self.failures.append(f"{status} {body.strip()[:80]}")

    def finish(self) -> None:
        """End the loop and wait for the last answer."""
        self._halt.set()
        self.join()

"""Requests through a daemon's proxy, in each form that apps use."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

TIMEOUT_S: Final = 25.0


@frozen
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=lambda body: repr(body[:200]))

    @property
    def instance(self) -> str:
        """Which instance answered, or "" if the mesh itself did."""
        return self.headers.get("x-instance", "")

    @property
    def error(self) -> str:
        """The flag of an error that the mesh itself made, or ""."""
        return self.headers.get("x-gossipmesh-error", "")


def request(
    address: str,
    target: str,
    *,
    method: str = "GET",
    host: str | None = None,
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request on a new connection to ``address``.

    Args:
        address: ``host:port`` of a proxy or an upstream listener.
        target: absolute (``http://hello/``) as proxies get it, or a path; then with ``host`` as the Host header.
        method: the HTTP method.
        host: the Host header, where the target does not name it.
        body: bytes, sent with a length; or blocks, sent chunked.
        headers: more headers.
    """
    name, _, port = address.rpartition(":")
    more = dict(headers or {})
    if host is not None:
        more["Host"] = host
    connection = http.client.HTTPConnection(name, int(port), timeout=TIMEOUT_S)
    try:
        connection.request(method, target, body=body, headers=more)
        response = connection.getresponse()
        answered = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, answered, response.read())
    finally:
        connection.close()


class Asking(threading.Thread):
    """Sends GETs one after the other until it is told to stop, and keeps every answer."""

    def __init__(self, proxy: str, target: str) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._target = target
        self._enough = threading.Event()
        self.answers: list[Answer] = []
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._enough.is_set():
            try:
                self.answers.append(request(self._proxy, self._target))
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))

    def answered_by(self, instance: str) -> int:
        return sum(answer.instance == instance for answer in self.answers)

    def finish(self) -> None:
        self._enough.set()
        self.join()


class Reading:
    """An answer that goes on and on, read by a thread until it breaks off."""

    def __init__(self, proxy: str, url: str) -> None:
        self.blocks = 0
        self.ended = threading.Event()
        name, _, port = proxy.rpartition(":")
        self._connection = http.client.HTTPConnection(name, int(port), timeout=30.0)
        self._url = url
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._connection.request("GET", self._url)
            response = self._connection.getresponse()
            while response.read1(1_024):
                self.blocks += 1
        except (OSError, http.client.HTTPException):
            pass
        finally:
            self._connection.close()
            self.ended.set()

    def flows(self) -> bool:
        """Tell whether it goes on."""
        return self.blocks > 3 and not self.ended.is_set()

"""The admin API, over the unix socket in a node's state directory."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gossipmesh.config.places import admin_socket
from gossipmesh.errors import ConfigError, MeshError, UnreachableError

TIMEOUT_S: Final = 10.0
TRIAL_TIMEOUT_S: Final = 60.0
MAX_BODY: Final = 64 * 1024 * 1024
OK: Final = 200
BAD_REQUEST: Final = 400
TOO_MANY: Final = 429
INDEX_HEADER: Final = "X-Gossipmesh-Index"
NOT_FOUND: Final = 404
OTHER_RELEASE: Final = "the daemon is of another release than this command, {}; restart it with this release"
_NOWHERE: Final = ("there is nothing here", "only /v1/drain")
"""How a daemon of any release begins to say that a path is none of its, to GET and to POST."""


class _Said(dict[str, Any]):
    """What a daemon says. A key that its release does not have yet is an error for people, not a bug."""

    def __missing__(self, key: str) -> Any:
        raise MeshError("admin.release", OTHER_RELEASE.format(f"and does not say {key!r}"))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of to a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class AdminClient:
    """Asks the daemon whose state directory is ``state``; each call is a connection of its own.

    Raises:
        StateError: the path is too long for a unix socket.
    """

    def __init__(self, state: Path) -> None:
        self._path: Final = admin_socket(state)

    def get(self, path: str) -> tuple[int, bytes]:
        """Give the status and body of a GET.

        Raises:
            UnreachableError: nobody answers.
        """
        return self._request("GET", path, TIMEOUT_S)

    def content(self, path: str) -> bytes:
        """Give what is at ``path``, as it is.

        Raises:
            UnreachableError: nobody answers.
            MeshError: ``admin.refused``, with what the daemon says.
        """
        status, body = self.get(path)
        if status != OK:
            document_of(status, body)
        return body

    def document(self, path: str) -> dict[str, Any]:
        """Give the JSON document at ``path``.

        Raises:
            UnreachableError: nobody answers.
            ConfigError: the daemon says that what was asked is no question.
            MeshError: ``admin.refused``, with what the daemon says.
        """
        status, body = self.get(path)
        return document_of(status, body)

    def post(self, path: str, *, timeout_s: float) -> dict[str, Any]:
        """Have something done, and give what the daemon says of it.

        Raises:
            UnreachableError: nobody answers in time.
            MeshError: ``admin.refused``, with what the daemon says.
        """
        return document_of(*self._request("POST", path, timeout_s))

    def change(self, method: str, path: str, fields: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Have something changed to what ``fields`` say, and give what the daemon says of it.

        Raises:
            UnreachableError: nobody answers in time.
            ConfigError: the daemon says that this cannot be meant.
            MeshError: ``admin.refused``, with what the daemon says.
        """
        body = None if fields is None else json.dumps(fields).encode()
        status, answer, _ = self._exchange(method, path, TIMEOUT_S, body)
        return document_of(status, answer)

    def wait(self, path: str, index: str, *, wait_s: float) -> tuple[int, bytes, str]:
        """Give status, body and index of a GET, as soon as the index is another one, or after ``wait_s`` seconds.

        Args:
            path: of what can be waited for.
            index: as the answer before gave it; empty: this is the first question, to be answered at once.
            wait_s: at most 600; the daemon may take a sixteenth longer.

        Raises:
            UnreachableError: nobody answers.
        """
        query = f"?index={index}&wait={max(1, round(wait_s * 1_000))}ms" if index else ""
        return self._exchange("GET", path + query, TIMEOUT_S + 1.1 * wait_s)

    def offer(self, kind: str, raw: bytes) -> str:
        """Hand in something signed for the whole mesh; give ``taken`` or ``stale``.

        Raises:
            UnreachableError: nobody answers.
            MeshError: ``admin.refused``, with why the daemon refuses it.
        """
        answer = document_of(*self._exchange("POST", f"/v1/charter/{kind}", TIMEOUT_S, raw)[:2])
        return str(answer.get("answer", ""))

    def try_policy(self, body: bytes, *, signed: bool) -> dict[str, Any]:
        """Give what a policy would have decided: its text, asked of this node, or a signed question to all members.

        Raises:
            UnreachableError: nobody answers.
            ConfigError: the policy is not valid.
            MeshError: ``admin.refused``, with what the daemon says.
        """
        path = "/v1/policy/seen/mesh" if signed else "/v1/policy/seen"
        return document_of(*self._exchange("POST", path, TRIAL_TIMEOUT_S, body)[:2])

    def _request(self, method: str, path: str, timeout_s: float) -> tuple[int, bytes]:
        return self._exchange(method, path, timeout_s)[:2]

    def _exchange(
        self, method: str, path: str, timeout_s: float, body: bytes | None = None
    ) -> tuple[int, bytes, str]:
        connection = _UnixConnection(self._path, timeout_s)
        try:
            connection.request(method, path, body, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read(MAX_BODY), response.getheader(INDEX_HEADER, "")
        except (FileNotFoundError, ConnectionRefusedError):
            text = (
                f"no daemon answers at {self._path}; start one with `gossipmesh up`, or name its --state DIR"
            )
            raise UnreachableError("daemon.unreachable", text) from None
        except NotADirectoryError:
            text = f"{self._path.parent} is not a directory, so no state directory; name the daemon's --state DIR"
            raise UnreachableError("daemon.unreachable", text) from None
        except PermissionError:
            text = f"{self._path} belongs to another user; run this as the user that the daemon runs as"
            raise UnreachableError("daemon.unreachable", text) from None
        except TimeoutError:
            text = f"the daemon at {self._path} did not answer within {timeout_s:g}s; is it stopped or overloaded?"
            raise UnreachableError("daemon.unreachable", text) from None
        except (OSError, http.client.HTTPException) as error:
            text = f"the daemon at {self._path} went away: {error or type(error).__name__}"
            raise UnreachableError("daemon.unreachable", text) from None
        finally:
            connection.close()


def document_of(status: int, body: bytes) -> dict[str, Any]:
    """Give the document that an answer holds.

    Raises:
        ConfigError: the daemon says that what was asked is no question.
        MeshError: ``admin.refused``, with what the daemon says; ``admin.release``, where it knows of no such thing,
            and from the document for a key that it lacks.
    """
    try:
        document = json.loads(body, object_hook=_Said)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise MeshError(
            "admin.refused", f"the daemon gave no JSON (status {status}); is it of another release?"
        )
    if status == NOT_FOUND and str(document.get("error", "")).startswith(_NOWHERE):
        raise MeshError("admin.release", OTHER_RELEASE.format("and cannot tell this"))
    if status == BAD_REQUEST:
        raise ConfigError("config.value", str(document.get("error", "the daemon does not understand this")))
    if status != OK:
        raise MeshError(
            "admin.refused", str(document.get("error", f"the daemon answered with status {status}"))
        )
    return document

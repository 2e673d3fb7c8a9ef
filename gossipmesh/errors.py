"""The one exception tree.

Every error says whose fault it is (its class), a stable ``code`` for metrics and tests, and in ``str()`` what
happened and what to do, for people. Raising one of these never leaves a machine half changed.
"""

from __future__ import annotations


class MeshError(Exception):
    """Anything that gossipmesh itself reports.

    Args:
        code: stable, dotted, lower case (``chain.expired``); scripts, metrics and tests rely on it.
        text: one line for people: what happened, and what to do next where that is known.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class ConfigError(MeshError):
    """The user's configuration or command line is wrong; nothing was started or changed."""


class StateError(MeshError):
    """The state directory cannot be used as it is (another mesh, permissions, damage); it is unchanged."""


class RemoteProtocolError(MeshError):
    """A peer broke the protocol; the machine that raised this is unchanged."""


class TrustError(RemoteProtocolError):
    """A signature, chain, token or bundle does not prove what it claims; nothing was accepted."""


class LocalProtocolError(MeshError):
    """Our own code called a machine in a way that its state forbids; a bug here, never a peer's doing."""


class ConnectError(MeshError):
    """No channel to a peer could be made. Nothing of the request was sent, so another try is always safe."""


class UnreachableError(MeshError):
    """The daemon cannot be asked: it does not run, or not for us. Commands exit with 3."""


class RequestError(MeshError):
    """A request cannot be answered by its service; the mesh answers it itself.

    Args:
        flag: the value of ``x-gossipmesh-error`` (``NR``, ``UH``, ``UF`` ...).
        status: the HTTP status to answer with.
        text: one line for the caller.
        retry_after_s: after how many whole seconds it may be asked again; 0: nobody knows.
    """

    def __init__(self, flag: str, status: int, text: str, *, retry_after_s: int = 0) -> None:
        super().__init__(f"request.{flag.lower()}", text)
        self.retry_after_s = retry_after_s
        self.flag = flag
        self.status = status


class StreamLimit(MeshError):
    """This channel opens no stream, and nothing was sent.

    ``hop.stream-limit``: not while so many are open; ``hop.gone-away``: never again.
    """


class StreamResetError(MeshError):
    """The stream is of no more use: what was called can have no effect.

    Args:
        flag: why, as it goes into ``x-gossipmesh-error``: ``UC`` where the channel broke, ``refused`` where nobody
            began to handle the request, so that another try is safe whatever its method; else what was given to
            ``reset``.
    """

    def __init__(self, flag: str) -> None:
        super().__init__("hop.reset", f"the stream was reset ({flag})")
        self.flag = flag


class PeerGone(MeshError):
    """The other end of an HTTP connection closed or reset it in the middle of a message; it is of no more use."""


class AppFault(MeshError):
    """An app failed a request that may have reached it.

    ``flag`` says how: ``UC`` it closed the connection, ``UPE`` it broke HTTP, ``UT`` it took nothing for too long.
    """

    def __init__(self, flag: str, text: str) -> None:
        super().__init__(f"app.{flag.lower()}", text)
        self.flag = flag


class AppRefused(AppFault):
    """No connection to an app could be made: nothing of the request reached it (``UF``)."""

    def __init__(self, text: str) -> None:
        super().__init__("UF", text)

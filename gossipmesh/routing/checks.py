"""What a health check is: how an app is asked whether it can work, how often, and how much one answer counts."""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import field, frozen

MAX_ROUNDS: Final = 100
"""The most that ``rise`` and ``fall`` may be."""
SUCCESS: Final = ((200, 299),)


@frozen
class HttpCheck:
    """GET ``path`` from the app; it works if the status is one of ``expect``, ranges with both ends included."""

    path: str
    expect: tuple[tuple[int, int], ...] = SUCCESS

    def expects(self, status: int) -> bool:
        """Tell whether an app that answers ``status`` works."""
        return any(low <= status <= high for low, high in self.expect)

    def __str__(self) -> str:
        """Give it in words."""
        return f"GET {self.path}"


@frozen
class TcpCheck:
    """Connect to the app's port, and close the connection again."""

    def __str__(self) -> str:
        """Give it in words."""
        return "tcp"


@frozen
class CommandCheck:
    """Run a program, without a shell; the app works if it exits with 0."""

    arguments: tuple[str, ...]

    def __str__(self) -> str:
        """Give it in words: the program without its arguments, for one of them may be a password."""
        return f"command {self.arguments[0]}"


CheckMethod: TypeAlias = HttpCheck | TcpCheck | CommandCheck


@frozen
class HealthCheck:
    """How one service is checked.

    ``fall`` failures in a row take it out of rotation, ``rise`` passes in a row bring it back: each 1 to 100. The
    very first result counts at once, either way; and so does a refused connection, for nobody is there to ask again.
    """

    method: CheckMethod
    interval_s: float = 2.0
    """Seconds between two checks while nothing changes."""
    timeout_s: float = 1.0
    """Seconds that one check may take."""
    rise: int = field()
    fall: int = 3

    @rise.default
    def _rise(self) -> int:
        # Whether somebody listens has no shades, as being able to answer has: once is enough.
        return 1 if isinstance(self.method, TcpCheck) else 2


LISTENS: Final = HealthCheck(TcpCheck())
"""Where nothing else is said: does anybody listen at the service's port?"""

"""What is around the process: who started it, and how many files it may open. None of it may end the daemon."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import trio
from attrs import evolve

from gossipmesh.config.load import Loaded
from gossipmesh.daemon.telemetry.logs import Log

FILES_KEPT: Final = 256
"""File descriptors that the proxy's connections leave to channels, apps and disk."""
TELL_EXHAUSTION_S: Final = 60.0
STANDARD: Final = (0, 1, 2)
EXHAUSTED: Final = "proxy.exhausted"
FREED_BYTES_KEPT: Final = 4 * 1024 * 1024
"""Freed memory at the end of the heap that is not given back to the system."""
HEAP_BYTES: Final = 1024 * 1024
"""Up to this size a buffer is taken from the heap, not from the system; a hop's records and reads are smaller."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

Announce = Callable[[str], None]
"""Prints a line for whoever started the daemon."""


def quietly(announce: Announce) -> Announce:
    """Give ``announce`` without its errors: that nobody listens any more is no reason to end."""

    def quiet(text: str) -> None:
        with suppress(OSError, ValueError, AttributeError):
            announce(text)

    return quiet


def let_go_of_streams() -> None:
    """Empty standard output and error for good, where to does not matter.

    What could not be written to a reader that is gone would be tried again at the interpreter's end, and make a
    daemon that stopped in good order exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
                stream.flush()
        except ValueError:
            pass  # It is closed: nothing is left to be written.


def terminals() -> tuple[int, ...]:
    """Give those of the standard descriptors that are a terminal now."""
    return tuple(descriptor for descriptor in STANDARD if os.isatty(descriptor))


def hung_up(descriptors: Sequence[int]) -> bool:
    """Tell whether one of the terminals that ``descriptors`` were has been closed.

    Linux takes a terminal away before it sends SIGHUP for it, so that this tells that signal from one which somebody
    sends to have a configuration read again.
    """
    return not all(os.isatty(descriptor) for descriptor in descriptors)


def within_file_limit(loaded: Loaded) -> Loaded:
    """Raise the soft limit of open files to the hard one, and give ``loaded`` with fewer connections than that.

    The proxy and each gateway take so many, so they share what there is: strangers must not leave local apps without.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return loaded
    proxy = loaded.config.proxy
    left = soft - FILES_KEPT if soft > 2 * FILES_KEPT else soft // 2
    left //= 1 + len(loaded.config.gateways)
    limits = evolve(proxy.limits, connections=max(1, min(proxy.limits.connections, left)))
    return evolve(loaded, config=evolve(loaded.config, proxy=evolve(proxy, limits=limits)))


def keep_freed_memory() -> None:
    """Have the C library keep the memory of the last buffers for the next ones, if it is glibc.

    It gives all but 128 KiB back otherwise, and is handed it again page by page with the next bodies, each page cleared
    by the system first: a quarter of what 64 KiB through two daemons cost (docs/performance.md). Whoever sets it up by
    the environment knows better.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    # No other C library has it, and none needs it.
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, FREED_BYTES_KEPT)
        mallopt(_M_MMAP_THRESHOLD, HEAP_BYTES)


def leave_no_core() -> None:
    """Have a crash write no core file: this process's memory holds the node's keys.

    A limit of one byte and not of none: it is too little for a file, and the one value at which Linux also hands
    nothing to a program that ``core_pattern`` names, for which limits count otherwise not (fs/coredump.c).
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    with suppress(OSError, ValueError):
        # Where the hard limit is zero already it cannot be raised to one; zero is second best.
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        if soft > 1 or soft == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


class ExhaustionHandler(logging.Handler):
    """Takes what trio's listeners log when no file descriptor is left: ten times a second, with a traceback each.

    Args:
        tell: is called with every one of them, and may count.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, _: logging.LogRecord) -> None:
        """Count it."""
        self._tell()


def exhaustion_teller(count: Callable[[str], None], log: Log) -> Callable[[], None]:
    """Give what is told whenever no file descriptor is left: it counts that, and logs it once a minute, in one line."""
    told_at = -TELL_EXHAUSTION_S

    def tell() -> None:
        nonlocal told_at
        count(EXHAUSTED)
        if trio.current_time() >= told_at + TELL_EXHAUSTION_S:
            told_at = trio.current_time()
            text = "no file descriptor is left for a connection; raise the limit (ulimit -n)"
            log.warning(EXHAUSTED, detail=text)

    return tell


def watch_exhaustion(count: Callable[[str], None], log: Log) -> None:
    """Have trio's listeners say in that way, not in theirs, that no file descriptor is left."""
    listeners = logging.getLogger("trio.serve_listeners")
    listeners.handlers, listeners.propagate = [ExhaustionHandler(exhaustion_teller(count, log))], False

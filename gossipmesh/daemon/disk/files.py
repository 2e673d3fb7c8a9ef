"""Files that must survive a power cut, and secrets that nobody else may read.

A write goes to a temporary file beside its target, is synced, renamed, and the directory synced: whoever reads
finds the old content or the new, never a part of one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from gossipmesh.errors import RemoteProtocolError, StateError, TrustError

PRIVATE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
TEMPORARY: Final = ".tmp"
RESTORE: Final = "restore it, or name another directory (--state or --root)"


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, readable by the owner only, and wait until it is on the disk.

    Raises:
        StateError: ``state.write``; what was there before is unchanged.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StateError("state.write", f"{path} cannot be written: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bounded(path: Path, *, most: int, secret: bool = False, remedy: str = RESTORE) -> bytes | None:
    """Give what is at ``path``, or None where there is nothing.

    Args:
        path: the file.
        most: bytes that it can have at most.
        secret: refuse it where its group or others may read it, for then they may have.
        remedy: what to do where it is too long.

    Raises:
        StateError: ``state.read``, ``state.permissions`` or ``state.damaged`` (longer than ``most``).
    """
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError("state.read", f"{path} cannot be read: {error.strerror}") from None
    if secret and mode & 0o077:
        text = f"{path} is a secret that others may read (mode {mode:04o}); run: chmod 600 {path}"
        raise StateError("state.permissions", text)
    if len(data) > most:
        raise damaged(path, f"it is longer than {most} bytes", remedy)
    return data


def damaged(path: Path, why: str | RemoteProtocolError, remedy: str = RESTORE) -> StateError:
    """Give the error for a file that does not hold what it should.

    Args:
        path: the file.
        why: in words, or what decoding it raised; how bytes fail to decode helps nobody, what they fail to prove
            may.
        remedy: what to do.
    """
    if isinstance(why, RemoteProtocolError):
        why = str(why) if isinstance(why, TrustError) else "it was cut short or altered"
    return StateError("state.damaged", f"{path} is damaged: {why}; {remedy}")


def make_private_directory(path: Path) -> None:
    """Make a directory that only its owner may enter.

    One that is there already and empty is closed to others; one with something in it is left as it is, for it may
    be ``/etc``, and refused where others may write to it, for they could put their own files in place of ours.

    Raises:
        StateError: ``state.directory``, where it cannot be made, is none, or others may write to it.
    """
    try:
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid == os.geteuid() and not any(path.iterdir()):
            path.chmod(PRIVATE_DIRECTORY)
        elif found.st_mode & 0o022:
            hint = f"use a new directory inside it, or run: chmod go-w {path}"
            raise StateError("state.directory", f"others may write to {path}; {hint}")
    except FileExistsError:
        raise StateError("state.directory", f"{path} is a file; name a directory") from None
    except OSError as error:
        raise StateError(
            "state.directory", f"{path} cannot be used: {error.strerror}; name another"
        ) from None

"""What the fuzz targets have in common: the fuzzer, its limits, a decoder, and the one error that is allowed."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

from attrs import frozen

from gossipmesh.errors import RemoteProtocolError

ADDRESS_SPACE: Final = 4 * 1024**3
"""Bytes that a fuzzer's whole process may map, its instrumentation included."""
LIMITS: Final = ("-timeout=2", "-malloc_limit_mb=64", "-rss_limit_mb=1024")
"""For one input: seconds, and the largest single piece of memory; for the process: what it may hold."""


@frozen
class Decoder:
    """One decoder.

    Args:
        decode: what is tried.
        encode: gives what ``decode`` gave as bytes again; None where nothing encodes it.
        exact: whether those are the very bytes that came, and not only some that mean the same.
    """

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes] | None = None
    exact: bool = False


def relay(call: Callable[[], object], *, code: str) -> None:
    """Check that ``call`` raises RemoteProtocolError with this code."""
    try:
        call()
    except RemoteProtocolError as error:
        assert error.code == code, f"{error.code} where {code} was due"
    else:
        raise AssertionError(f"no error where {code} was due")


def fuzz(run: Callable[[bytes], object]) -> NoReturn:
    """Let atheris look for bytes that ``run`` does not stand, until told to stop."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed; python -m pip install 'gossipmesh[fuzz]' gets it")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    given = {each.partition("=")[0] for each in sys.argv}
    more = [each for each in LIMITS if each.partition("=")[0] not in given]
    atheris.instrument_all()
    atheris.Setup([*sys.argv, *more], lambda data: (run(data), None)[1])
    atheris.Fuzz()
    sys.exit(0)

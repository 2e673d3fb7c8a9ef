"""Small messages that stand for large ones, under a limit of memory; and strings that would be more than a line."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgpack
import pytest

import decoders
from gossipmesh.config.model import LogConfig
from gossipmesh.crypto import blake2b
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Caveats, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.exchanges import Kind, decode_plain_untrusted, encode_refusal
from gossipmesh.model import Address, Service

HEADROOM: Final = 24 * 1024 * 1024
"""Bytes that may be mapped more while all of it is decoded; a single bomb asks for gigabytes."""
ROOT, NODE = NodeKey.from_seed(b"r" * 32), NodeKey.from_seed(b"n" * 32)
TRUST: Final = TrustStore(new_bundle([ROOT.id], default_allow=True))
WALL: Final = 1_700_000_000


def bombs() -> list[bytes]:
    """Give payloads that claim more than they hold, or hold more than they look like."""
    nested = [b"\x91" * depth + b"\x01" for depth in (511, 512, 1_022, 1_023, 1_024, 1_025, 60_000)]
    heads = {b"\xdc": 2, b"\xdd": 4, b"\xde": 2, b"\xdf": 4, b"\xc6": 4, b"\xc9": 4, b"\xdb": 4}
    claims = [head + b"\xff" * size for head, size in heads.items()]
    inside = [b"\x98" + b"\x01" * 3 + claim for claim in claims]
    many = [b"\xdd\x00\x00\xff\xf0" + filler * 65_520 for filler in (b"\x80", b"\x90", b"\xa0", b"\xc0")]
    grown = [b"\xdc\x0f\xff" + b"\xdc\x0f\xff" * 15 + b"\x80" * 60_000]
    frames = [b"\0\0\0\1\2\0\0" * 9_000, b"\0\0\0\0\7\0\x08" + bytes(8)]
    return [*nested, *claims, *inside, *many, *grown, *frames, b"\0" * 65_000, b": \0" * 20_000]


def take_all() -> None:
    """Let every decoder have every bomb; for the process that has little memory."""
    for key in decoders.DECODERS:
        for bomb in bombs():
            decoders.run(key + bomb)
    print("taken")


def by_itself() -> None:
    """Let msgpack have them as it comes."""
    held = [msgpack.unpackb(b"\xdd\x00\x10\x00\x00" + b"\x80" * 2**20, strict_map_key=False)]
    print("taken", len(held))


def in_little_memory(what: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """Run a function of this file in a process that may map little more than it has mapped."""
    program = f"import test_bombs; test_bombs.limit(); test_bombs.{what.__name__}()"
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join([str(Path(__file__).parent), *sys.path])},
    )


def limit() -> None:
    """Forbid this process to map more than :data:`HEADROOM` beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def test_no_bomb_takes_more_memory_than_a_message_may() -> None:
    done = in_little_memory(take_all)
    assert (done.stdout, done.returncode) == ("taken\n", 0), done.stderr[-2_000:]


def test_without_limits_a_mebibyte_becomes_more_than_there_is() -> None:
    done = in_little_memory(by_itself)
    assert done.returncode != 0
    assert "MemoryError" in done.stderr


# --- strings ---

EVIL: Final = ("a\rb", "a\nb", "a\x1b[31mb", "a\u202eb", "a\0b", "a b", "A", "a.b", "a" * 64, "\u0430", "")


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_no_name_of_a_record_or_chain_is_more_than_a_name(evil: str) -> None:
    chain = bytes(16)

    def signed(**changes: object) -> None:
        said: dict[str, object] = {"name": "web-1", "zone": "eu", "services": ()} | changes
        sign_record(
            seed=NODE.seed,
            mesh_id=TRUST.mesh_id,
            boot=1,
            incarnation=0,
            addresses=[Address("192.0.2.1", 1)],
            dh_key=bytes(32),
            dh_generation=0,
            chain_hash=chain,
            issued_at=WALL,
            **said,  # type: ignore[arg-type]
        )

    # What is signed out is decoded as others would decode it, so this is their answer too.
    for changes in (
        {"name": evil},
        {"services": (Service(evil, 80),)},
        {"services": (Service("web", 80, tags=(evil,)),)},
        *([{"zone": evil}] if evil else []),
    ):
        with pytest.raises(ConfigError):
            signed(**changes)
    signed()
    token = new_token(
        TRUST.path[0], ROOT.seed, Caveats(WALL, WALL + 60), lambda size: blake2b(b"token", size)
    )
    with pytest.raises(RemoteProtocolError):
        join_chain(token, NODE.seed, evil)


@pytest.mark.parametrize("format_", ["json", "text"])
@pytest.mark.parametrize("evil", EVIL[:4], ids=ascii)
def test_whatever_a_peer_says_a_log_line_stays_one_line(evil: str, format_: Literal["json", "text"]) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        decode_plain_untrusted(encode_refusal(evil), Kind.PROBED)
    stream = io.StringIO()
    log = event_log(LogConfig(format=format_), stream)
    log.warning(evil, why=str(refused.value), text=evil, raw=evil.encode())
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.endswith("\n")
    assert written.isascii()
    assert not set(written) & {"\r", "\x1b", "\0"}
    if format_ == "json":
        assert json.loads(written)["text"] == evil


def test_printed_as_it_comes_a_refusal_would_forge_a_line() -> None:
    """The negative control: what the log line above is made of is no line before it is quoted."""
    assert len(f"the peer refused: {EVIL[1]}".splitlines()) == 2

"""The first message: heard from who knows the mesh, and from nobody else."""

from __future__ import annotations

import pytest

from gossipmesh import crypto
from gossipmesh.channel.knock import MAC, MAX_HELLO, MAX_KNOCK, hello_of_untrusted, payload_of
from gossipmesh.errors import RemoteProtocolError

MESH, OTHER, KEY = bytes(32), bytes([1] * 32), crypto.dh_public(bytes([9] * 32))


def code_of(message: bytes, mesh: bytes = MESH) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        hello_of_untrusted(message, mesh)
    return caught.value.code


@pytest.mark.parametrize("hello", [b"", b"\x91\x07", bytes(MAX_HELLO)])
def test_what_is_said_is_heard_by_who_is_of_the_mesh(hello: bytes) -> None:
    message = KEY + payload_of(hello, KEY, MESH)
    assert len(message) <= MAX_KNOCK
    assert hello_of_untrusted(message, MESH) == hello
    assert code_of(message, OTHER) == "channel.mac"


def test_every_bit_flip_and_every_truncation_is_refused() -> None:
    message = KEY + payload_of(b"hello", KEY, MESH)
    for size in range(len(message)):
        assert code_of(message[:size]) == "channel.mac"
    for bit in range(8 * len(message)):
        bad = bytearray(message)
        bad[bit // 8] ^= 1 << bit % 8
        assert code_of(bytes(bad)) == "channel.mac"


def test_a_bare_key_is_a_knock_that_says_nothing_where_it_is_taken_at_all() -> None:
    assert hello_of_untrusted(KEY, MESH, bare=True) == b""
    assert code_of(KEY) == "channel.mac"
    for other in (KEY[1:], KEY + b"x", KEY + bytes(MAC)):
        with pytest.raises(RemoteProtocolError):
            hello_of_untrusted(other, MESH, bare=True)


def test_a_mac_without_a_whole_key_before_it_is_refused_though_it_is_right() -> None:
    short = KEY[:-1]
    assert len(payload_of(b"", short, MESH)) == MAC
    assert code_of(short + payload_of(b"", short, MESH)) == "channel.mac"

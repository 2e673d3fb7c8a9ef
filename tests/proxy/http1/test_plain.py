"""The fast lane beside h11, over the fuzzer's seeds and thousands of mutations of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gossipmesh.proxy.http1 import plain
from lanes import compare

CORPUS = sorted((Path(__file__).parents[2] / "fuzz" / "corpus" / "lanes").iterdir())
BYTES = [
    b"",
    b" ",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b":",
    b"_",
    b",",
    b"0",
    b"\x80",
    b"close",
    b"A: b\r\n",
]
MUTATIONS = 200


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_the_fuzzer_knows_and_its_kin_are_the_same_in_both_lanes(path: Path) -> None:
    seed = path.read_bytes()
    compare(seed)
    for number in range(MUTATIONS):
        dice = random.Random(f"{path.name} {number}")
        data = bytearray(seed)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(data))
            data[at : at + dice.randint(0, 2)] = dice.choice(BYTES)
        try:
            compare(bytes(data))
        except AssertionError:
            raise AssertionError(f"the lanes differ over {bytes(data)!r}") from None


def test_an_end_that_is_not_the_first_is_no_end_of_a_plain_head() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2
    found = plain.lines_at(data, 0, 1_000)
    assert found is not None
    assert plain.read_request(found[0], 256) is None
    found = plain.lines_at(data, len(data) // 2, 1_000)
    assert found is not None
    assert plain.read_request(found[0], 256) is not None


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n\r\n"])
def test_what_is_no_head_is_not_plain(data: bytes) -> None:
    found = plain.lines_at(data, 0, 1_000)
    assert found is None or plain.read_request(found[0], 256) is None

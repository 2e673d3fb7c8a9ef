"""As much junk as one core can send to a UDP port: of many sizes, most of it shaped like our own datagrams."""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import time
from typing import Final

SEED: Final = 20_261_128
VARIANTS: Final = 512
BURST: Final = 64
"""Datagrams between two looks at the clock."""


def variants(rng: random.Random) -> list[bytes]:
    """Give payloads that cost a receiver as much as a stranger's may: right in length and header, wrong in all else."""
    made = []
    for number in range(VARIANTS):
        size = rng.choice([24, 40, 64, 200, 600, 1_232])
        match number % 4:
            case 0:
                made.append(rng.randbytes(size))
            case 1:
                made.append(b"\x12\0\0\0" + rng.randbytes(12))
            case _:
                made.append((b"\x11" + rng.randbytes(2) + b"\0" + rng.randbytes(1_300))[: max(size, 40)])
    return made


def flood(address: tuple[str, int], *, seconds: float, per_s: float = float("inf"), sources: int = 16) -> int:
    """Send junk to ``address`` from so many ports, at most ``per_s`` a second; give how many datagrams were sent."""
    made = variants(random.Random(SEED))
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sources)]
    sent = 0
    began = time.monotonic()
    try:
        while (passed := time.monotonic() - began) < seconds:
            if sent > passed * per_s:
                time.sleep(0)
                continue
            source = sockets[sent // BURST % sources]
            for number in range(BURST):
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    source.sendto(made[(sent + number) % VARIANTS], address)
            sent += BURST
    finally:
        for each in sockets:
            each.close()
    return sent


def main() -> None:
    """Flood one address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--per-s", type=float, default=float("inf"))
    options = parser.parse_args()
    print(flood((options.host, options.port), seconds=options.seconds, per_s=options.per_s))


if __name__ == "__main__":
    main()

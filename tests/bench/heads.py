"""What requests look like: heads of 10 to 12 lines as browsers and API clients send them. wrk.lua builds them too.

As in real traffic most lines repeat and some never do: path, query, request id and trace are each request's own,
sessions come back after 10,000 requests, user agents and languages are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat
from pathlib import Path
from typing import Final

AGENTS: Final = (Path(__file__).parent / "agents.txt").read_text().splitlines()
LANGUAGES: Final = (
    "en-US,en;q=0.9",
    "de-DE,de;q=0.9,en;q=0.8",
    "fr-FR,fr;q=0.9,en;q=0.7",
    "en-GB,en;q=0.8",
    "ja,en;q=0.7",
)
SESSIONS: Final = 10_000


def requests(path: str, *, varied: bool, upload: int, close: bool) -> Iterator[bytes]:
    """Give requests without end for ``/PATH/items/...``, each with ``upload`` bytes of body."""
    start = f"{'POST' if upload else 'GET'} /{path}"
    ending = "Connection: close\r\n" if close else ""
    ending += f"Content-Length: {upload}\r\n" if upload else ""
    body = b"\r\n" + b"b" * upload
    made = (_head(start, number, ending) + body for number in count(1))
    return made if varied else repeat(next(made))


def _head(start: str, number: int, ending: str) -> bytes:
    session = number * 2_654_435_761 % SESSIONS
    lines = [
        f"{start}/items/{number}?page={number % 97}&limit=20 HTTP/1.1\r\nHost: hello\r\n",
        f"User-Agent: {AGENTS[number * 7 % len(AGENTS)]}\r\n",
        "Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\n",
        f"Accept-Language: {LANGUAGES[number % len(LANGUAGES)]}\r\n",
        f"X-Request-Id: 7d0e4c1a-93b2-4f6d-8a55-{number:012x}\r\n",
        f"Traceparent: 00-4bf92f3577b34da6{number:016x}-{number * 31:016x}-01\r\n",
        f"Cookie: theme=dark; session={session * 40_503:08x}{session:08x}\r\n",
        "Cache-Control: no-cache\r\n",
        "Referer: http://shop.example/items\r\n" if number % 3 else "",
        "Sec-Fetch-Mode: cors\r\n" if number % 2 else "",
    ]
    return ("".join(lines) + ending).encode()

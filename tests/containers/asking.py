"""Asks one URL after the other until its standard input ends, then says in one JSON document what came back.

python3 asking.py URL...        {"failed": {"what": count}, "answers": {"text": [count, first at, last at]}}
python3 asking.py --for=TEXT URL...     the same, and not over before TEXT itself was an answer

Each request has a connection of its own, and is never made twice; times are Unix seconds.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
import urllib.error
import urllib.request
from collections import Counter

PAUSE_S = 0.01


def main() -> None:
    """Ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="awaited", metavar="TEXT")
    parser.add_argument("urls", nargs="+", metavar="URL")
    told = parser.parse_args()
    failed: Counter[str] = Counter()
    answers: dict[str, list[float]] = {}
    turn = 0
    print("asking", flush=True)
    ended = False
    while not ended or (told.awaited is not None and told.awaited not in answers):
        ended = bool(select.select([sys.stdin], [], [], PAUSE_S)[0])
        turn += 1
        try:
            with urllib.request.urlopen(told.urls[turn % len(told.urls)], timeout=10) as response:
                text = response.read().decode().strip()
        except OSError as error:
            failed[f"{time.strftime('%X')} {error}"] += 1
            continue
        now = time.time()  # noqa: TID251 - the clock that podman tells a container's start by
        found = answers.setdefault(text, [0, now, now])
        found[0] += 1
        found[2] = now
    print(json.dumps({"failed": failed, "answers": answers}), flush=True)


if __name__ == "__main__":
    main()

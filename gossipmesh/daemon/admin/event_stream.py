"""Server-sent events (HTML Standard, 9.2): what changes, for as long as a client listens.

A stream keeps nothing but the number of the last event that it sent: all of them read one bounded ring, so a slow
reader costs no memory. Who is behind that ring's end is told ``reset``: read everything anew, then follow.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from gossipmesh.daemon.admin.changes import Event
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.watching import Follow

CONTENT_TYPE: Final = "text/event-stream"
KEEP_ALIVE_S: Final = 15.0
"""Between two signs of life: proxies and browsers give up on what says nothing."""
RETRY_MS: Final = 1_000
"""After which a browser connects anew."""
KEEP_ALIVE: Final = b":\n\n"


def frame(event: Event) -> bytes:
    """Give an event as it is on the wire."""
    return f"id: {event.id}\nevent: {event.kind}\ndata: {event.data}\n\n".encode()


def reset(index: int) -> bytes:
    """Give the word that what came before ``index`` cannot be told."""
    return frame(Event(index, "reset", json.dumps({"index": index})))


async def parts_of(news: News, follow: Follow) -> AsyncGenerator[bytes, None]:
    """Give what to send, without an end: each part as soon as there is something, and a comment where there is not."""
    last = news.last if follow.index is None else follow.index
    begin = f"retry: {RETRY_MS}\n\n".encode()
    # Who begins knows nothing yet, and is told where what it reads next stands.
    yield begin + reset(last) if follow.index is None else begin
    while True:
        now, events = news.last, news.after(last, follow.kinds)
        last = now
        if events is None:
            yield reset(now)
        elif events:
            yield _joined(events)
        await news.next_move(last, wait_s=KEEP_ALIVE_S)
        if news.last == last:
            yield KEEP_ALIVE


def _joined(events: Sequence[Event]) -> bytes:
    return b"".join(map(frame, events))

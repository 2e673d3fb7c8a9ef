"""An app as people write them, FastAPI on uvicorn: JSON, uploads, streams, server-sent events, a WebSocket.

python app.py [PORT]         serves on 127.0.0.1, prints its port on the first line; 0, the default, takes a free one

It knows nothing of the mesh but two headers, which say who asks: they come from the caller's certificate chain, and no
caller can set them.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

BLOCK = 65_536

app = FastAPI()
listening: set[asyncio.Queue[str]] = set()
"""One queue for each reader of events."""


@app.get("/")
async def hello(
    x_gossipmesh_node: Annotated[str, Header()] = "a stranger",
    x_gossipmesh_source: Annotated[str, Header()] = "",
) -> dict[str, str]:
    """Say who asks."""
    return {"hello": x_gossipmesh_node, "service": x_gossipmesh_source}


@app.get("/items/{item}")
async def item(item: int, q: str = "", tag: str = "") -> dict[str, object]:
    """Give back path and query; 422 for an item that is not a number, 404 for a negative one."""
    if item < 0:
        raise HTTPException(404, "no such item")
    return {"item": item, "q": q, "tag": tag}


@app.get("/headers")
async def headers(request: Request) -> list[tuple[str, str]]:
    """Give back the headers as they came, duplicates and all."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]


@app.post("/upload")
@app.put("/upload")
async def upload(request: Request) -> dict[str, object]:
    """Say how long the body is and what its SHA-256 is, without keeping it."""
    digest, size = hashlib.sha256(), 0
    async for block in request.stream():
        digest.update(block)
        size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/stream")
async def stream(size: int) -> StreamingResponse:
    """Give so many bytes, whose number nobody is told before."""

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, size, BLOCK):
            yield hashlib.shake_128(start.to_bytes(8, "big")).digest(min(BLOCK, size - start))

    return StreamingResponse(blocks(), media_type="application/octet-stream")


@app.get("/events")
async def events() -> StreamingResponse:
    """Give every text that is sent to ``/notify`` from now on, as server-sent events."""
    queue: asyncio.Queue[str] = asyncio.Queue(100)

    async def lines() -> AsyncIterator[str]:
        listening.add(queue)
        try:
            yield ": ready\n\n"
            while True:
                yield f"data: {await queue.get()}\n\n"
        finally:
            listening.discard(queue)

    return StreamingResponse(lines(), media_type="text/event-stream")


@app.post("/notify")
async def notify(text: str) -> dict[str, int]:
    """Tell all readers of events; say how many there are."""
    for queue in listening:
        queue.put_nowait(text)
    return {"readers": len(listening)}


@app.get("/slow")
async def slow(seconds: float) -> dict[str, float]:
    """Answer late."""
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    """Give back every message, until the other side closes, or says so."""
    wanted = websocket.headers.get("sec-websocket-protocol", "")
    await websocket.accept(subprotocol="echo" if "echo" in wanted.split(", ") else None)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "close":
                await websocket.close(4000, "as you wish")
                return
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass


def main() -> None:
    """Serve until the process ends."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    # asyncio switches Nagle's algorithm off for connections of a socket that says that it is TCP, and for no other.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

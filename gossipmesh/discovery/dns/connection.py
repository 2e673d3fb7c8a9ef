"""One TCP connection of a caller: questions one after the other, answers as they are ready (RFC 7766)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio

IDLE_S: Final = 10.0
"""How long a connection may ask nothing, and a caller take none of its answers."""
MAX_PIPELINED: Final = 32
"""Questions of one connection without an answer yet; more are not read."""
MAX_QUERY: Final = 4_096
"""Bytes of one question; who sends longer ones is hung up on."""
CHUNK: Final = 4_096

Answer = Callable[[bytes, Callable[[bytes], None]], Awaitable[bool]]
"""Hands the answer to a packet to the other argument, now or later, once; False: there will be none."""


class Connection:
    """Serves one caller.

    Resource handling: :meth:`serve` owns the stream and closes it.
    Error handling: what breaks the framing ends the connection.

    Args:
        stream: the connection.
        answer: makes answers.
    """

    def __init__(self, stream: trio.abc.Stream, answer: Answer) -> None:
        self._stream = stream
        self._answer = answer
        self._buffer = bytearray()
        self._give, self._take = trio.open_memory_channel[bytes](math.inf)
        """As long as :data:`MAX_PIPELINED` allows, for who has a turn gives one answer."""
        self._turns = trio.Semaphore(MAX_PIPELINED)
        self._scope = trio.CancelScope()
        self.idle_since = trio.current_time()
        """Since when no question is under way, in trio's seconds; infinity: one is. Half a question is none."""

    def hang_up(self) -> None:
        """End it."""
        self._scope.cancel()

    async def serve(self) -> None:
        """Answer until the caller goes, is idle for too long, or breaks the rules."""
        with self._scope:
            await self._serve()

    async def _serve(self) -> None:
        async with self._stream, self._give, self._take:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, nursery.cancel_scope)
                    await self._read()
                    # Its last questions may still be out.
                    with trio.move_on_after(IDLE_S):
                        for _ in range(MAX_PIPELINED):
                            await self._turns.acquire()
                    nursery.cancel_scope.cancel()
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async def _read(self) -> None:
        while True:
            with trio.move_on_after(IDLE_S):
                if (payload := await self._next()) is None:
                    return
                self.idle_since = math.inf
                await self._turns.acquire()
                if await self._answer(payload, self._deliver):
                    continue
                self._turns.release()
            return

    async def _next(self) -> bytes | None:
        buffer = self._buffer
        while len(buffer) < 2 or len(buffer) < 2 + int.from_bytes(buffer[:2]):
            if len(buffer) >= 2 and int.from_bytes(buffer[:2]) > MAX_QUERY:
                return None
            chunk = await self._stream.receive_some(CHUNK)
            if not chunk:
                return None
            buffer += chunk
        end = 2 + int.from_bytes(buffer[:2])
        payload = bytes(buffer[2:end])
        del buffer[:end]
        return payload

    def _deliver(self, reply: bytes) -> None:
        # The caller may have gone before his answer came.
        with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            self._give.send_nowait(reply)

    async def _write(self, scope: trio.CancelScope) -> None:
        async for reply in self._take:
            with trio.move_on_after(IDLE_S) as patience:
                await self._stream.send_all(len(reply).to_bytes(2) + reply)
            self._turns.release()
            if self._turns.value == MAX_PIPELINED:
                self.idle_since = trio.current_time()
            if patience.cancelled_caught:
                scope.cancel()

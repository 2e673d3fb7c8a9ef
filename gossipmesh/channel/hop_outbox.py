"""What one side of a hop channel has to send, and the order in which it goes.

The law: control frames first, then heads and whole messages as they became ready, then bodies in turns. Nothing that
is sealed can be overtaken, so that a small request that comes now waits for one call's records and no more:

- While several bodies wait, each has a chunk of at most :data:`~gossipmesh.channel.hop_frames.MAX_CHUNK` in its turn.
- A body that waits alone fills what is left of a record, 64 KiB at most: nobody is there whom that delays.
- Every call gives waiting bodies one turn, however many heads there are: no flow of small requests stops them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_stream import ChannelWindow, HopStreamState, Sending
from gossipmesh.channel.secure import Part

_WHOLE = Sending.WHOLE


class Outbox:
    """Everything of one side that waits to be sent.

    Args:
        window: the channel's credit for the other side.
        closed: is told of every stream whose own direction has ended with what was taken.
    """

    __slots__ = ("_closed", "_window", "bodies", "control", "credits", "heads", "resets")

    def __init__(self, window: ChannelWindow, closed: Callable[[HopStreamState], None]) -> None:
        self._window = window
        self._closed = closed
        self.control: dict[int, bytes] = {}
        """Payloads of the channel's own frames, by kind."""
        self.resets: dict[int, HopStreamState] = {}
        self.credits: dict[int, HopStreamState] = {}
        self.heads: dict[int, HopStreamState] = {}
        self.bodies: OrderedDict[int, HopStreamState] = OrderedDict()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to be sent."""
        return bool(
            self.heads or self.bodies or self.control or self.credits or self.resets or self._window.due
        )

    def drop(self, number: int) -> None:
        """Forget what waits of a stream, but for its reset."""
        self.heads.pop(number, None)
        self.bodies.pop(number, None)
        self.credits.pop(number, None)

    def take_parts(self, limit: int) -> list[list[Part]]:
        """Give what is ready as the bodies of records, in parts: about ``limit`` bytes, at most two frames more."""
        packer = frames.RecordPacker(limit)
        if self.control or self._window.due or self.resets or self.credits:
            self._take_control(packer)
        if self.heads:
            self._take_heads(packer)
        if self.bodies:
            self._take_turn(packer)
            while self.bodies and not packer.full:
                self._take_turn(packer)
        return packer.finish()

    def _take_control(self, packer: frames.RecordPacker) -> None:
        control, self.control = self.control, {}
        for kind, payload in control.items():
            packer.add(0, kind, payload)
        if self._window.due:
            packer.add(0, frames.WINDOW, frames.U32.pack(self._window.take_credit()))
        resets, self.resets = self.resets, {}
        for stream in resets.values():
            packer.add(stream.number, frames.RESET, stream.flag)
            self._closed(stream)
        credits, self.credits = self.credits, {}
        for stream in credits.values():
            packer.add(stream.number, frames.WINDOW, frames.U32.pack(stream.take_credit()))

    def _take_heads(self, packer: frames.RecordPacker) -> None:
        waiting, self.heads = self.heads, {}
        add = packer.add
        for number, stream in waiting.items():
            if packer.full:
                self.heads[number] = stream
                continue
            for kind, payload in stream.heads:
                add(number, kind, payload)
            stream.heads.clear()
            stream.unannounced = False
            if stream.sending is _WHOLE:
                stream.whole_size = 0
                self._close(packer, stream)

    def _take_turn(self, packer: frames.RecordPacker) -> None:
        if not self.heads:
            number, stream = self.bodies.popitem(last=False)
        else:
            # The limit left heads behind, and no body goes before its own.
            number = next((each for each in self.bodies if each not in self.heads), 0)
            if not number:
                return
            stream = self.bodies.pop(number)
        waiting = stream.waiting
        if waiting is not None and waiting.size:
            room = packer.chunk_room(waiting.size, alone=not self.bodies)
            packer.add(number, frames.DATA, waiting.take(room))
            if waiting.size:
                self.bodies[number] = stream
                return
        if stream.sending is Sending.ENDING:
            if stream.ending:  # A long message has none.
                packer.add(number, frames.END, stream.ending)
            self._close(packer, stream)

    def _close(self, packer: frames.RecordPacker, stream: HopStreamState) -> None:
        if stream.flag:
            packer.add(stream.number, frames.RESET, stream.flag)
        self._closed(stream)

"""A machine that keeps a record of what goes in and comes out, for a run of the very same calls later.

The record is taken at the boundary: arguments, what the outside answered (root hash, our own accusations as signed)
and the hash of what each call gave. No key passes here.

Law: the recording changes nothing. What it cannot take down ends it, with a reason, and never the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Protocol

from gossipmesh.errors import LocalProtocolError
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.packing import Packing
from gossipmesh.membership.trace import digest, encode_answer, encode_call, encode_keyframe

if TYPE_CHECKING:
    import random

    from gossipmesh.identity.record import MemberRecord
    from gossipmesh.membership.parameters import Parameters

CALLS: Final = (
    "receive",
    "learn_record",
    "learn_accusation",
    "start",
    "update_own",
    "stream_probe_result",
    "note_unreachable",
    "note_another_key",
    "note_mesh_size",
    "next_gossip",
    "accusation_of",
    "forget",
    "handle_timer",
)
"""Every call that may change the machine. A test sees to it that none is missing."""
MAX_RECORDED: Final = 768
"""Members, the dead that are remembered among them. A keyframe is made between two calls. For so many it takes some
20 ms of one core with a quarter of them suspect, so a busy host may stretch it several times before membership takes it
for a stall (100 ms)."""
UNRECORDABLE: Final = (LocalProtocolError, OverflowError, TypeError, ValueError)
"""What packing raises for what cannot be packed: msgpack has errors of its own for a number that is too large."""
_NOTHING: Final = object()


class Sink(Protocol):
    """Where a recording goes."""

    def begin(self, keyframe: bytes) -> None:
        """Begin a segment: what is added from now on runs from this keyframe."""
        ...

    def add(self, entry: bytes) -> bool:
        """Take an entry; tell whether the segment is full, so that a keyframe has to come next."""
        ...

    def stop(self, why: str) -> None:
        """Take no more, for good, since the machine cannot be recorded any longer."""
        ...


class Port:
    """Something that the machine asks of the outside.

    One that takes no arguments gives the same all through a call, and is recorded when it gives another value.
    """

    __slots__ = ("_ask", "_last", "_name", "_recording")

    def __init__(self, name: str, ask: Callable[..., object], recording: _Recording) -> None:
        self._name = name
        self._ask = ask
        self._recording = recording
        self._last: object = _NOTHING

    def __call__(self, *arguments: object) -> Any:
        """Ask, and keep the answer."""
        answer = self._ask(*arguments)
        if arguments or answer != self._last:
            self._last = answer
            self._recording.answered(self._name, answer)
        return answer

    def forget(self) -> None:
        """Record the next answer whatever it is: a segment has to stand alone."""
        self._last = _NOTHING


class _Recording:
    """What is recorded of one machine.

    ``idle``: between two calls. ``stopped``: for ever; a stop may come in the middle of a call, whose end must not undo
    it.
    """

    def __init__(self, sink: Sink, rng: random.Random) -> None:
        self.idle = True
        self.stopped = False
        self.ports: dict[str, Port] = {}
        self._sink = sink
        self._rng = rng
        self._packing = Packing()

    def begin(self, machine: Membership) -> None:
        if self.stopped:
            return
        for port in self.ports.values():
            port.forget()
        try:
            if len(machine.members) > MAX_RECORDED:
                text = f"a mesh of more than {MAX_RECORDED} members is too large to be recorded"
                raise LocalProtocolError("keyframe.size", text)
            self._sink.begin(encode_keyframe(machine, rng=self._rng, ports=self.ports))
        except UNRECORDABLE as error:
            self._stop(error)

    def answered(self, port: str, answer: object) -> None:
        if self.stopped:
            return
        try:
            self._sink.add(encode_answer(self._packing, port, answer))
        except UNRECORDABLE as error:
            self._stop(error)

    def called(
        self, number: int, arguments: tuple[object, ...], keywords: dict[str, object], result: object
    ) -> bool:
        """Record one call; tell whether a keyframe is wanted after it."""
        if self.stopped:
            return False
        try:
            outcome = _raised() if result is _NOTHING else digest(result)
            return self._sink.add(encode_call(self._packing, number, arguments, keywords, outcome))
        except UNRECORDABLE as error:
            self._stop(error)
            return False

    def _stop(self, error: Exception) -> None:
        # A recorder must not end what it watches.
        self.stopped = True
        self._sink.stop(str(error))


def _raised() -> str:
    error = sys.exc_info()[0]
    return "" if error is None else error.__name__


class RecordedMembership(Membership):
    """A :class:`Membership` whose calls are recorded.

    Args:
        parameters: as :class:`Membership` has it.
        own: the same.
        rng: the same; all of the machine's dice.
        sink: gets the recording.
        others: everything else that a machine takes. What can be called is asked of the outside, and recorded.
    """

    # In a slot, so that what the machine itself is made of is in its ``__dict__`` and nothing else.
    __slots__ = ("_recording",)

    def __init__(
        self,
        parameters: Parameters,
        own: MemberRecord,
        *,
        rng: random.Random,
        sink: Sink,
        **others: Any,
    ) -> None:
        recording = self._recording = _Recording(sink, rng)
        recording.ports = {name: Port(name, ask, recording) for name, ask in others.items() if callable(ask)}
        super().__init__(parameters, own, rng=rng, **{**others, **recording.ports})
        recording.begin(self)


def _recorded(number: int, name: str) -> Callable[..., object]:
    perform = getattr(Membership, name)

    @wraps(perform)
    def call(self: RecordedMembership, *arguments: object, **keywords: object) -> object:
        recording = self._recording
        if recording.stopped or not recording.idle:
            return perform(self, *arguments, **keywords)
        recording.idle = False
        result: object = _NOTHING
        full = False
        try:
            result = perform(self, *arguments, **keywords)
        finally:
            recording.idle = True
            full = recording.called(number, arguments, keywords, result)
        if full:
            recording.begin(self)
        return result

    return call


for _number, _name in enumerate(CALLS):
    setattr(RecordedMembership, _name, _recorded(_number, _name))

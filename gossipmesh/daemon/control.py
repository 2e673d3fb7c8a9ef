"""The one task that owns the control plane's machine.

Everything that happens to a node comes here: datagrams, answers, orders, evidence of the data plane. The task takes
what was received, then lets deadlines fire, and performs the outputs; outputs never interleave and need no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import trio
from attrs import define, field

from gossipmesh.daemon.clock import wall_clock
from gossipmesh.membership.machine import STALL_S
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output, Refused
from gossipmesh.transport.parking import Parking
from gossipmesh.transport.udp import Datagram, UdpSocket

MAX_INBOX: Final = 1_024
"""Orders that wait, datagrams apart: those have an inbox of their own, fair per source."""
MAX_ASKING: Final = 256
"""Questions of peers in the inbox at once; more of them wait outside it."""
ANSWERING_S: Final = 0.02
"""After so long of one turn the other questions wait for the next. A member may ask what costs us a hundred signature
checks, and may ask it hundreds of times: in between, probes are answered."""


def clocks() -> tuple[float, float]:
    """Give both: monotonic seconds, and Unix seconds."""
    return trio.current_time(), wall_clock()


Input: TypeAlias = Callable[[float, float], list[Output]]
"""A call on the machine that only lacks the time: ``(now, wall)``."""
Question: TypeAlias = Callable[[float, float], tuple[bytes, list[Output]]]


class Performer(Protocol):
    """Whoever carries outputs out."""

    def received(self, datagram: Datagram) -> None:
        """Count a datagram that came."""
        ...

    def perform(self, output: Output) -> None:
        """Do it, without waiting."""
        ...

    def turned(self) -> None:
        """Take it that all that was there has been handed in, and performed."""
        ...


@define(eq=False)
class _Asked:
    question: Question
    answer: bytes = b""
    done: Parking = field(factory=Parking)
    finished: bool = False


class Control:
    """Runs the machine.

    Resource handling: none; it ends by cancellation.
    Error handling: nothing that came from the network raises here. An exception is a bug and ends the daemon.
    """

    def __init__(self, mesh: Mesh, udp: UdpSocket, performer: Performer) -> None:
        self._mesh = mesh
        self._udp = udp
        udp.knows = mesh.knows_sender
        self._performer = performer
        self._orders: deque[Input] = deque()
        self._questions: deque[_Asked] = deque()
        self._waiting = trio.CancelScope()
        self._asking = trio.Semaphore(MAX_ASKING)

    def post(self, order: Input) -> None:
        """Hand in what happened, without waiting. A full inbox drops it and counts it: evidence comes again."""
        if len(self._orders) >= MAX_INBOX:
            self._performer.perform(Refused("control.inbox-full"))
            return
        self._orders.append(order)
        self._waiting.cancel()

    async def ask(self, question: Question) -> bytes:
        """Hand in a question and wait for its answer; at most ``MAX_ASKING`` are in the inbox at once."""
        async with self._asking:
            asked = _Asked(question)
            self._questions.append(asked)
            self._waiting.cancel()
            while not asked.finished:
                await asked.done.park()
            return asked.answer

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the machine until cancelled."""
        task_status.started()
        self._perform(self._mesh.start(now=trio.current_time(), wall=wall_clock()))
        while True:
            due = self._mesh.deadline
            if not self._orders and not self._questions:
                # This task itself waits for datagrams: under load every task between them and it would cost a probe a
                # turn of the data plane here, and one of whatever else the processor does.
                with trio.CancelScope(deadline=due) as self._waiting:
                    await self._udp.wait()
            else:
                await trio.lowlevel.checkpoint()
            # Measured now: what comes in may move a deadline into the past, which is no stall of ours, or beyond it,
            # which makes a stall no shorter.
            late_s = max(0.0, trio.current_time() - due)
            # First what came in, then the clock: after a stall, the answer to a probe lies in the socket's buffer
            # while its deadline has passed, and a stall of ours must not be taken for a peer's silence.
            self._take_in()
            self._let_deadlines_fire(late_s)
            self._performer.turned()

    def _take_in(self) -> None:
        mesh = self._mesh
        for datagram in self._udp.take_all():
            self._performer.received(datagram)
            self._perform(
                mesh.receive_datagram_untrusted(
                    datagram.payload, datagram.source, now=trio.current_time(), wall=wall_clock()
                )
            )
        for _ in range(len(self._orders)):
            self._perform(self._orders.popleft()(trio.current_time(), wall_clock()))
        until = trio.current_time() + ANSWERING_S
        while self._questions and (now := trio.current_time()) < until:
            asked = self._questions.popleft()
            asked.answer, outputs = asked.question(now, wall_clock())
            asked.finished = True
            asked.done.unpark()
            self._perform(outputs)

    def _let_deadlines_fire(self, late_s: float) -> None:
        now = trio.current_time()
        if now >= self._mesh.deadline or late_s > STALL_S:
            self._perform(self._mesh.handle_timer(now=now, wall=wall_clock(), late_s=late_s))

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            self._performer.perform(output)

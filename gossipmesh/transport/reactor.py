"""The data plane's event loop: an epoll of our own, behind one trio task.

For each wait of a task trio arms a descriptor, switches and disarms it again; that is most of what relaying a small
request costs. Here a connection is registered once and called back. What is slow or rare (dialling, handshakes, names,
the control plane) stays ordinary trio tasks, and this module with :mod:`.link` is all that lies between the two worlds:

- One trio task, :meth:`Reactor.run`, waits until the epoll's own descriptor is readable; then it works for at most
  :data:`TURN_S` and yields, so that the control task answers its probes however busy the proxy is.
- Where one event is soon followed by the next, as with few connections that ask and are answered, a turn waits for it
  in the epoll itself instead of going round through trio: see :mod:`.lingering`.
- Whatever runs here runs in a *turn*: callbacks of ready descriptors, then alarms, then what was deferred to the turn's
  end. Tasks do not call machines of the data plane themselves; they :meth:`~Reactor.defer`.
- An exception in a callback is a bug. It leaves :meth:`Reactor.run` and ends the daemon, as in any task.

The measurements are in docs/performance.md.
"""

from __future__ import annotations

import math
import os
import select
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import perf_counter
from typing import Final

import trio

from gossipmesh.transport.lingering import Lingering
from gossipmesh.transport.parking import Parking

TURN_S: Final = 0.001
"""How long a turn takes on more work before trio's other tasks have theirs."""
MAX_EVENTS: Final = 64
"""Ready descriptors taken from the kernel at once; what a turn does not get to is the next one's first."""
MAX_DROPPED: Final = 1_024
"""Alarms that were dropped before their time and may be queued still, where they are not fewer than the others."""
MAX_RINGS: Final = 256
"""Alarms that go off in one go; the others follow in the next turn."""
LINGER_S: Final = 0.001
"""How long a turn waits for one more event, at most: the least that epoll can count. A trio task may wait for that."""

Callback = Callable[[], None]


def trio_is_idle() -> bool:
    """Tell whether no other task of trio's could run now, nor has a deadline within :data:`LINGER_S`.

    Trio does not count the tasks that it runs in the same pass as the one that asks: they wait if that one does, for
    one turn.
    """
    of_trio = trio.lowlevel.current_statistics()
    return not (
        of_trio.tasks_runnable
        or of_trio.run_sync_soon_queue_size
        or of_trio.seconds_to_next_deadline < LINGER_S
    )


class Alarm:
    """A deadline that may be moved at any time, at the cost of an assignment.

    Deadlines of connections nearly always move back, request by request. So the heap holds the time at which to look
    at the alarm next; found early, it is simply put in again.
    """

    __slots__ = ("_callback", "_queued", "_reactor", "deadline")

    def __init__(self, reactor: Reactor, callback: Callback) -> None:
        self._reactor = reactor
        self._callback: Callback | None = callback
        self._queued = math.inf
        self.deadline = math.inf
        """Monotonic seconds; infinity: not set."""

    def set(self, deadline: float) -> None:
        """Go off at ``deadline``, and at no other time."""
        self.deadline = deadline
        if deadline < self._queued:
            self._queued = deadline
            self._reactor.queue_alarm(deadline, self)

    def clear(self) -> None:
        """Do not go off."""
        self.deadline = math.inf

    def drop(self) -> None:
        """Never go off again; lets go of what would be called."""
        self.deadline = math.inf
        if self._callback is not None:
            self._callback = None
            if self._queued < math.inf:
                self._reactor.alarm_dropped()

    @property
    def dropped(self) -> bool:
        """Whether it never goes off again."""
        return self._callback is None

    def ring(self, queued: float, now: float) -> None:
        """Go off if it is time; for the reactor, when ``queued`` has come."""
        if queued != self._queued:
            return  # It was queued again for an earlier time.
        self._queued = math.inf
        if self.deadline > now:
            if self.deadline < math.inf:
                self.set(self.deadline)
        elif self._callback is not None:
            self.deadline = math.inf
            self._callback()


class Reactor:
    """Calls back whoever watches a descriptor, whoever set an alarm, and whoever deferred something.

    Resource handling: owns its epoll; :meth:`run` closes it when it ends. What is registered belongs to others.
    Error handling: what a callback raises leaves :meth:`run`.

    Args:
        clock: gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._fresh: set[int] = set()
        self._ready: list[tuple[int, int]] = []
        """What the kernel said and was not worked off yet, last first. It would say that again, behind the same one."""
        self._deferred: list[Callback] = []
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._dropped = 0
        self._sequence = 0
        self._next_look = math.inf
        self._keeping_time = Parking()
        self._in_turn = False
        self._lingering = Lingering()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._waker, select.EPOLLIN)
        self._handlers[self._waker] = self._woken
        self._now = 0.0

    @property
    def now(self) -> float:
        """Monotonic seconds: when the present turn began, or now outside of turns."""
        return self._now if self._in_turn else self._clock()

    # --- what callers ask for ----------------------------------------------------------------------------------

    def watch(self, fd: int, handler: Callable[[int], None], events: int) -> None:
        """Call ``handler`` with what happened (``select.EPOLL*``) whenever one of ``events`` is the case."""
        if not self._epoll.closed:
            self._handlers[fd] = handler
            self._fresh.add(fd)
            self._epoll.register(fd, events)

    def rewatch(self, fd: int, events: int) -> None:
        """Watch for other events of a descriptor that is watched."""
        if not self._epoll.closed:
            self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more; before it is closed."""
        if self._handlers.pop(fd, None) is not None and not self._epoll.closed:
            self._epoll.unregister(fd)

    def defer(self, callback: Callback) -> None:
        """Call ``callback`` at the end of this turn, or of one that begins at once. From any task of this thread."""
        if not self._deferred and not self._in_turn and self._waker >= 0:
            os.eventfd_write(self._waker, 1)
        self._deferred.append(callback)

    def alarm(self, callback: Callback) -> Alarm:
        """Give an alarm, not set yet, that calls ``callback`` in a turn."""
        return Alarm(self, callback)

    def queue_alarm(self, when: float, alarm: Alarm) -> None:
        """Look at ``alarm`` at ``when``; for alarms themselves."""
        self._sequence += 1
        heappush(self._alarms, (when, self._sequence, alarm))
        if when < self._next_look:
            self._next_look = when
            self._keeping_time.unpark()

    def alarm_dropped(self) -> None:
        """Note that a queued alarm is of no more use; for alarms themselves."""
        self._dropped += 1
        if self._dropped > MAX_DROPPED and 2 * self._dropped > len(self._alarms):
            # A tunnel's is due in an hour: of tunnels that live for a second, thousands would wait for that.
            self._dropped = 0
            self._alarms = [queued for queued in self._alarms if not queued[2].dropped]
            heapify(self._alarms)

    # --- the task ----------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take turns until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                task_status.started()
                while True:
                    if self._turn():
                        await trio.lowlevel.wait_readable(self._epoll.fileno())
                    else:
                        await trio.lowlevel.checkpoint()
        finally:
            self._close()

    def _turn(self) -> bool:
        """Work for at most :data:`TURN_S`; tell whether nothing is left to do for now."""
        poll, handlers, fresh, ready = self._epoll.poll, self._handlers, self._fresh, self._ready
        self._now = self._clock()
        until = perf_counter() + TURN_S
        lingering = self._lingering
        lingering.begin(self._now)
        self._in_turn = True
        try:
            while True:
                if not ready:
                    fresh.clear()
                    ready += poll(0, MAX_EVENTS)[::-1]
                    if not ready and not self._deferred and not self._linger(until):
                        return True
                idle = not ready
                while ready:
                    fd, happened = ready.pop()
                    # One of the callbacks before may have closed it, and its number may be another one's by now.
                    if (handler := handlers.get(fd)) is not None and fd not in fresh:
                        handler(happened)
                        lingering.saw(fd)
                    if perf_counter() >= until:
                        break
                # What was deferred waits until nothing more is ready: the fewer records leave.
                if idle or perf_counter() >= until:
                    self._run_deferred(until)
                    if perf_counter() >= until:
                        return False
        finally:
            self._in_turn = False

    def _linger(self, until: float) -> bool:
        """Wait for one more event where that is likely to come soon; tell whether it came."""
        if perf_counter() >= until or not self._lingering.is_due() or not trio_is_idle():
            return False
        self._ready += self._epoll.poll(LINGER_S, MAX_EVENTS)[::-1]
        self._now = self._clock()
        self._lingering.came(bool(self._ready))
        return bool(self._ready)

    def _run_deferred(self, until: float) -> None:
        # What these defer in their turn is done as well: a stream that ends may make a channel flush. But a caller
        # that pipelines refused requests would go on like that for a long time.
        while self._deferred:
            deferred, self._deferred = self._deferred, []
            for callback in deferred:
                callback()
            if perf_counter() >= until:
                return

    async def _keep_time(self) -> None:
        while True:
            self._next_look = self._alarms[0][0] if self._alarms else math.inf
            with trio.move_on_at(self._next_look):
                await self._keeping_time.park()
            if self._clock() >= self._next_look:
                self.defer(self._ring)
                self._next_look = -math.inf
                await self._keeping_time.park()

    def _ring(self) -> None:
        now = self._now
        for _ in range(MAX_RINGS):
            if not self._alarms or self._alarms[0][0] > now:
                break
            queued, _, alarm = heappop(self._alarms)
            alarm.ring(queued, now)
        self._keeping_time.unpark()

    def _woken(self, _: int) -> None:
        os.eventfd_read(self._waker)

    def _close(self) -> None:
        # Deferred calls that are left tell owners about links that were lost; they find everything closed anyway.
        self._deferred.clear()
        self._alarms.clear()
        self._epoll.close()
        os.close(self._waker)
        self._waker = -1
        self._handlers.clear()

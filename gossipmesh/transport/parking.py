"""One task's place to wait."""

from __future__ import annotations

import trio


class Parking:
    """Where one task waits until another wakes it, any number of times.

    Less than half of the cost of a trio Event per wait, and it needs no new object for each. Nothing is remembered:
    waking an empty place does nothing, so whoever waits checks its condition first, and again afterwards.
    """

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    async def park(self) -> None:
        """Wait for :meth:`unpark`.

        Raises:
            trio.BusyResourceError: if another task waits here already.
        """
        if self._task is not None:
            raise trio.BusyResourceError("another task waits here already")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def unpark(self) -> None:
        """Wake the task that waits here, if there is one."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _abort(self, _: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

"""The data plane's loop: turns, alarms, and what it owes to trio's other tasks."""

from __future__ import annotations

import gc
import math
import os
import select
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.transport.reactor import MAX_DROPPED, MAX_RINGS, TURN_S, Alarm, Reactor


@asynccontextmanager
async def running() -> AsyncIterator[Reactor]:
    reactor = Reactor()
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        yield reactor
        nursery.cancel_scope.cancel()


async def test_what_is_deferred_by_a_task_is_called_in_a_turn_of_its_own_and_in_order() -> None:
    called: list[str] = []
    done = trio.Event()
    async with running() as reactor:
        reactor.defer(lambda: called.append("first"))
        reactor.defer(lambda: reactor.defer(done.set))
        reactor.defer(lambda: called.append("last"))
        assert called == []
        await done.wait()
    assert called == ["first", "last"]


async def test_a_ready_descriptor_is_told_until_it_is_forgotten() -> None:
    ours, theirs = socket.socketpair()
    received: list[bytes] = []
    told = trio.Event()
    with ours, theirs:
        async with running() as reactor:

            def ready(happened: int) -> None:
                assert happened & select.EPOLLIN
                received.append(ours.recv(1))
                if received[-1] == b"b":
                    reactor.forget(ours.fileno())
                    reactor.forget(ours.fileno())
                    told.set()

            reactor.watch(ours.fileno(), ready, select.EPOLLIN)
            theirs.send(b"abc")
            await told.wait()
            await wait_all_tasks_blocked()
    assert received == [b"a", b"b"]


async def test_a_descriptor_used_anew_is_not_told_what_happened_to_the_one_before() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    silent, other = socket.socketpair()
    told: list[str] = []
    async with running() as reactor:

        def use_the_other_anew(fd: int) -> None:
            told.append("ready")
            for ours, _ in pairs:
                reactor.forget(ours.fileno())
            anew = next(ours.fileno() for ours, _ in pairs if ours.fileno() != fd)
            os.dup2(silent.fileno(), anew)
            reactor.watch(anew, lambda _: ready_anew(anew), select.EPOLLIN)

        def ready_anew(fd: int) -> None:
            told.append("anew")
            reactor.forget(fd)

        for ours, theirs in pairs:
            fd = ours.fileno()
            reactor.watch(fd, lambda _, fd=fd: use_the_other_anew(fd), select.EPOLLIN)
            theirs.send(b"a")
        await wait_all_tasks_blocked()
        assert told == ["ready"]
        other.send(b"b")
        await wait_all_tasks_blocked()
        assert told == ["ready", "anew"]
    for each in (*pairs[0], *pairs[1], silent, other):
        each.close()


async def test_an_alarm_goes_off_at_its_last_deadline_and_once(autojump_clock: MockClock) -> None:
    rung: list[float] = []
    async with running() as reactor:
        alarm = reactor.alarm(lambda: rung.append(reactor.now))
        started = trio.current_time()
        alarm.set(started + 5)
        alarm.set(started + 2)
        alarm.set(started + 9)
        await trio.sleep(20)
        assert [when - started for when in rung] == [9]
        assert alarm.deadline == math.inf
        alarm.set(trio.current_time() + 1)
        alarm.clear()
        await trio.sleep(20)
        assert len(rung) == 1


async def test_an_alarm_that_was_dropped_lets_go_of_whom_it_would_call(autojump_clock: MockClock) -> None:
    async with running() as reactor:
        alarm = reactor.alarm(lambda: pytest.fail("it was dropped"))
        alarm.set(trio.current_time() + 1)
        alarm.drop()
        await trio.sleep(2)


async def test_alarms_that_were_dropped_do_not_pile_up_until_their_time(autojump_clock: MockClock) -> None:
    async with running() as reactor:
        rung: list[int] = []
        for number in range(3 * MAX_DROPPED):
            alarm = reactor.alarm(lambda: rung.append(0))
            alarm.set(3_600.0)
            if number % 100:
                alarm.drop()
        del alarm
        gc.collect()
        assert sum(type(each) is Alarm for each in gc.get_objects()) < 2 * MAX_DROPPED
        await trio.sleep(3_601.0)
        assert len(rung) == -(-3 * MAX_DROPPED // 100)


async def test_alarms_set_earlier_than_those_that_are_waited_for_wake_the_timekeeper(
    autojump_clock: MockClock,
) -> None:
    rung: list[str] = []
    async with running() as reactor:
        late, soon = reactor.alarm(lambda: rung.append("late")), reactor.alarm(lambda: rung.append("soon"))
        late.set(trio.current_time() + 100)
        await wait_all_tasks_blocked()
        soon.set(trio.current_time() + 1)
        await trio.sleep(2)
        assert rung == ["soon"]


async def test_more_alarms_than_one_turn_takes_all_go_off(autojump_clock: MockClock) -> None:
    rung: list[int] = []
    async with running() as reactor:
        for number in range(3 * MAX_RINGS):
            reactor.alarm(lambda number=number: rung.append(number)).set(trio.current_time() + 1)
        await trio.sleep(2)
    assert rung == list(range(3 * MAX_RINGS))


async def test_work_without_end_leaves_trios_other_tasks_their_turns() -> None:
    calls = 0
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with running() as reactor:

            def busy(_: int) -> None:
                nonlocal calls
                calls += 1
                until = time.perf_counter() + TURN_S
                while time.perf_counter() < until:
                    pass

            theirs.send(b"never read, so that it is ready for ever")
            reactor.watch(ours.fileno(), busy, select.EPOLLIN)
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            assert 0 < calls <= 6
            reactor.forget(ours.fileno())


async def test_one_descriptor_that_takes_a_whole_turn_each_time_keeps_no_other_from_its_own() -> None:
    heard: list[str] = []
    ours, theirs = socket.socketpair()
    other, far = socket.socketpair()
    with ours, theirs, other, far:
        async with running() as reactor:

            def busy(_: int) -> None:
                heard.append("busy")
                until = time.perf_counter() + TURN_S
                while time.perf_counter() < until:
                    pass

            def quiet(_: int) -> None:
                heard.append("quiet")

            for sender in (theirs, far):
                sender.send(b"never read, so that it is ready for ever")
            reactor.watch(ours.fileno(), busy, select.EPOLLIN)
            reactor.watch(other.fileno(), quiet, select.EPOLLIN)
            while heard.count("busy") < 10:
                await trio.lowlevel.checkpoint()
            assert heard.count("quiet") >= 9
            reactor.forget(ours.fileno())
            reactor.forget(other.fileno())


async def test_work_that_is_deferred_again_and_again_leaves_them_their_turns_too() -> None:
    calls = 0
    async with running() as reactor:

        def again() -> None:
            nonlocal calls
            calls += 1
            until = time.perf_counter() + TURN_S
            while time.perf_counter() < until:
                pass
            if calls < 100:
                reactor.defer(again)

        reactor.defer(again)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert 0 < calls <= 6
        while calls < 100:
            await trio.lowlevel.checkpoint()


async def test_an_exception_in_a_callback_ends_the_reactor_with_it() -> None:
    def bug() -> None:
        raise RuntimeError("a bug")

    with pytest.RaisesGroup(pytest.RaisesGroup(RuntimeError)):
        async with running() as reactor:
            reactor.defer(bug)
            await trio.sleep_forever()


async def test_a_reactor_that_has_ended_takes_calls_and_does_nothing() -> None:
    async with running() as reactor:
        pass
    alarm = reactor.alarm(lambda: None)
    alarm.set(1.0)
    reactor.defer(lambda: None)
    reactor.watch(0, lambda _: None, select.EPOLLIN)
    reactor.rewatch(0, select.EPOLLIN)
    reactor.forget(0)

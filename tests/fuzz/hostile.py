"""Two daemons against a hostile member of their mesh, at either end, with a flaky app and flaky callers.

The hostile member speaks valid frames in any order: several answers to one call in the same record, answers behind
resets, bodies that are longer or shorter than announced, upgrades nobody asked for. It is a destination for the first
daemon, asked before the second one, and a caller of the second. Apps answer in part, in excess, with junk or by hanging
up, and callers leave when they like. All of that may fail requests. It may neither end a daemon, which is what an
exception that leaves the reactor does, nor leave a request, a tunnel or a connection counted once everybody is gone.

``storm`` is one mesh and its end. Each actor has dice of its own, made from the seed, but in which order trio and the
kernel let them speak is not in our hands: a seed that failed may have to be tried again, which ``--times`` does. Run as
a program, this file raises storms until time is up or one fails; then it tells the seed and what the hostile member
said last.

    hostile.py [--seed N] [--times N] [--seconds S] [--h11]
"""

from __future__ import annotations

import argparse
import importlib.util
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.secure import HOP
from gossipmesh.errors import MeshError
from gossipmesh.model import Address, NodeId, Protocol, Service
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.transport.dial import dial
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream
from hostile_words import APP_ANSWERS, REQUESTS, some_answers, some_call

LIMITS: Final = ProxyLimits(linger_s=0.1, response_timeout_s=2.0)
"""Nobody is waited for longer than a test has time.

A caller that left behind more pipelined bytes than are read is not missed before its answer is, or is late.
"""
SERVICES: Final = (Service("hello", 80), Service("db", 80, Protocol.TCP))
ROUNDS: Final = 40
"""Of one storm, where nobody says otherwise: what a seed means."""
ENDING_S: Final = 10.0
"""How long the daemons may take to be done with everybody who has gone."""
CALLERS: Final = 4


# --- who says it -----------------------------------------------------------------------------------------------------


async def listen(receive: Callable[[], Awaitable[object]]) -> None:
    try:
        while await receive():
            pass
    except (trio.BrokenResourceError, MeshError):
        pass


async def listen_until_quiet(receive: Callable[[], Awaitable[object]]) -> None:
    """Take what comes until nobody has anything to do."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, receive)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


@define
class Cast:
    """All who are not daemons."""

    seed: int
    said: deque[str] = field(factory=lambda: deque(maxlen=12))
    """What the hostile member said last."""
    calls: int = 0
    """How many calls reached the hostile member."""
    _entered: Counter[str] = field(factory=Counter)

    def dice(self, part: str) -> Random:
        """Give the dice of who comes next to play ``part``."""
        self._entered[part] += 1
        return Random(f"{self.seed} {part} {self._entered[part]}")

    async def send(self, stream: SecureStream, said: list[tuple[int, int, bytes]]) -> None:
        """Say all of it in one record."""
        self.said.append(" ".join(f"{number}:{kind}:{payload[:40]!r}" for number, kind, payload in said))
        await stream.send_records(HOP, [b"".join(frames.encode_frame(*each) for each in said)])

    async def answer_calls(self, stream: SecureStream) -> None:
        """Be the destination of a channel."""
        dice = self.dice("destination")
        try:
            while records := await stream.receive_records():
                for record in records:
                    for number, kind, _ in frames.split_frames_untrusted(record.body):
                        if kind in (frames.HEAD, frames.CALL, frames.LONG):
                            self.calls += 1
                            for _ in range(dice.choice([1, 1, 2])):
                                await self.send(stream, some_answers(dice, number))
        except MeshError:
            pass
        finally:
            stream.close()

    async def make_calls(
        self, dice: Random, identity: ChannelIdentity, address: Address, node: NodeId
    ) -> None:
        """Be the caller of a channel."""
        try:
            stream = await dial(identity, (address,), expected=node, timeout_s=ENDING_S)
        except MeshError:
            return
        try:
            streams = iter(range(1, 100))
            for _ in range(dice.randint(1, 4)):
                calls = [some_call(dice, next(streams)) for _ in range(dice.randint(1, 4))]
                await self.send(stream, [frame for each in calls for frame in each])
                if dice.random() < 0.7:
                    await listen_until_quiet(stream.receive_records)
        except MeshError:
            pass
        finally:
            stream.close()

    async def app(self, stream: trio.SocketStream) -> None:
        dice = self.dice("app")
        try:
            while await stream.receive_some():
                await stream.send_all(dice.choice(APP_ANSWERS))
                leaves = dice.random()
                if leaves < 0.1:  # with a reset
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if leaves < 0.25:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def caller(self, dice: Random, connect: Callable[[], Awaitable[trio.SocketStream]]) -> None:
        async with await connect() as stream:
            try:
                for _ in range(dice.randint(1, 3)):
                    await stream.send_all(dice.choice(REQUESTS))
                    if dice.random() < 0.8:
                        await listen_until_quiet(stream.receive_some)
            except trio.BrokenResourceError:
                pass


# --- the storm -------------------------------------------------------------------------------------------------------


async def storm(lab: Any, seed: int, *, rounds: int = ROUNDS) -> Cast:
    """Let all of them loose on two daemons, then see that the daemons are as they were.

    Args:
        lab: what tests/proxy/conftest.py gives, set to the lane to be tried.
        seed: what all dice are thrown from.
        rounds: how often callers and the hostile member come; each round ends when all of them have gone.

    Raises:
        BaseException: whatever left a daemon, with a note that names the seed.
    """
    cast = Cast(seed)
    try:
        await _storm(lab, cast, rounds)
    except BaseException as error:
        lane = "" if lab.FAST_LANE else " --h11"
        error.add_note(
            "\n".join([f"tests/fuzz/hostile.py --seed {seed}{lane}, where was said last:", *cast.said])
        )
        raise
    return cast


async def _storm(lab: Any, cast: Cast, rounds: int) -> None:
    async with lab.mesh() as mesh:
        key, identity = lab.member("hello-0", SERVICES, mesh.token)
        port = await mesh.app(cast.app)
        web = await mesh.daemon("web-1", limits=LIMITS)
        good = await mesh.daemon("hello-1", {"hello": port}, tcp={"db": port}, limits=LIMITS)
        listener = Listener(
            Address("127.0.0.1", 0),
            identity,
            serve_hop=cast.answer_calls,
            serve_sync=lab.no_sync,
            count=print,
        )
        async with trio.open_nursery() as hostile:
            address = await hostile.start(listener.run)
            for service in SERVICES:
                mesh.offer(service, "hello-0", key.id, address)
            for _ in range(rounds):
                async with trio.open_nursery() as nursery:
                    for _ in range(CALLERS):
                        nursery.start_soon(cast.caller, cast.dice("caller"), partial(lab.connect, web))
                    nursery.start_soon(cast.make_calls, cast.dice("peer"), identity, good.mesh, good.id)
            hostile.cancel_scope.cancel()
        with trio.move_on_after(ENDING_S):
            await lab.until(lambda: not any(left(web, good).values()))
        assert not any(left(web, good).values()), left(web, good)


def left(*daemons: Any) -> dict[str, int]:
    """Give what the daemons count still."""
    counts = {}
    for each in daemons:
        counts[f"{each.name}: requests out"] = each.outbound.in_flight
        counts[f"{each.name}: tunnels out"] = each.outbound.tunnels
        counts[f"{each.name}: callers"] = each.outbound.connections
        counts[f"{each.name}: requests in"] = each.inbound.in_flight
        counts[f"{each.name}: tunnels in"] = each.inbound.tunnels
    return counts


def laboratory() -> Any:
    """Give tests/proxy/conftest.py as a module."""
    folder = Path(__file__).parents[1] / "proxy"
    sys.path.insert(0, str(folder))  # What it imports lies beside it.
    spec = importlib.util.spec_from_file_location("lab", folder / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["lab"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description="Raise storms until time is up or one fails.")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the first storm")
    parser.add_argument("--times", type=int, default=1, help="how many storms each seed is given (1)")
    parser.add_argument("--seconds", type=float, default=20.0, help="no storm begins later (20)")
    parser.add_argument("--h11", action="store_true", help="without the fast lane")
    arguments = parser.parse_args()
    lab = laboratory()
    lab.FAST_LANE = not arguments.h11
    until = time.monotonic() + arguments.seconds
    seed, calls = arguments.seed, 0
    while seed == arguments.seed or time.monotonic() < until:
        for _ in range(arguments.times):
            calls += trio.run(partial(storm, lab, seed)).calls
        seed += 1
    lane = "h11" if arguments.h11 else "fast lane"
    print(f"hostile.py, {lane}: seeds {arguments.seed} to {seed - 1}, {calls} calls to the hostile member")


if __name__ == "__main__":
    main()

"""One exchange over TCP between two simulated daemons: what the transport does, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gossipmesh.errors import TrustError
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.outputs import Exchange

if TYPE_CHECKING:
    from gossipmesh.sim.node import SimNode
    from gossipmesh.sim.world import World

CONNECT_TIMEOUT_S: Final = 2.0
EXCHANGE_TIMEOUT_S: Final = 10.0
"""For an exchange that does not say how long its answer is of use."""


class Call:
    """Connects, shows credentials, asks and hands the answer back; at each step it may fail, or be too late."""

    def __init__(self, world: World, caller: SimNode, exchange: Exchange) -> None:
        self._world = world
        self._caller = caller
        self._exchange = exchange
        self._ends_at = world.now + (exchange.timeout_s or EXCHANGE_TIMEOUT_S)
        found = (world.at_address(address) for address in exchange.addresses)
        self._callee = next((node for node in found if node is not None), None)

    def begin(self) -> None:
        """Connect, shake hands and ask: one round trip and a half until the other side has the request."""
        self._after(sum(self._world.network.travel_s() for _ in range(3)), self._arrive)

    def _after(self, delay_s: float, step: Callable[[], None]) -> None:
        if self._world.now + delay_s < self._ends_at:
            self._world.later(delay_s, self._caller, step)
        else:
            rest_s = max(0.0, self._ends_at - self._world.now)
            self._world.later(rest_s, self._caller, lambda: self._fail("no answer in time"))

    def _fail(self, why: str, *, refused: bool = False) -> None:
        outputs = self._caller.running.exchange_failed(
            self._exchange.number, why, refused=refused, now=self._world.now, wall=self._world.wall
        )
        self._world.perform(self._caller, outputs)

    def _arrive(self) -> None:
        world, callee = self._world, self._callee
        back_s = world.network.travel_s()
        if callee is None or not world.network.connects(self._caller.name, callee.name):
            self._after(CONNECT_TIMEOUT_S, lambda: self._fail("no answer"))
        elif callee.mesh is None:
            self._after(back_s, lambda: self._fail("connection refused"))
        elif callee.inbox is not None:
            self._after(EXCHANGE_TIMEOUT_S, lambda: self._fail("no answer"))
        elif self._exchange.target not in (None, callee.mesh.id):
            self._after(back_s, lambda: self._fail("another node is there", refused=True))
        else:
            self._ask(callee, back_s)

    def _ask(self, callee: SimNode, back_s: float) -> None:
        world = self._world
        try:
            asker, peer = world.peer_of(self._caller.running), world.peer_of(callee.running)
        except TrustError as error:
            text = str(error)
            self._after(back_s, lambda: self._fail(text, refused=True))
            return
        answer, outputs = callee.running.answer_untrusted(
            asker, self._exchange.request, now=world.now, wall=world.wall
        )
        self._after(back_s, lambda: self._answered(peer, answer))
        world.perform(callee, outputs)

    def _answered(self, peer: Peer, answer: bytes) -> None:
        outputs = self._caller.running.receive_answer_untrusted(
            self._exchange.number, peer, answer, now=self._world.now, wall=self._world.wall
        )
        self._world.perform(self._caller, outputs)

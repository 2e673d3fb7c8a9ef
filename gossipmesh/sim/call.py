"""One exchange over TCP between two simulated daemons: what the transport does, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gossipmesh.errors import TrustError
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.outputs import Exchange
from gossipmesh.sim.traffic import count_channel

if TYPE_CHECKING:
    from gossipmesh.sim.node import SimNode
    from gossipmesh.sim.shell import Shell

CONNECT_TIMEOUT_S: Final = 2.0
EXCHANGE_TIMEOUT_S: Final = 10.0
"""For an exchange that does not say how long its answer is of use."""
CONNECT_TRIPS: Final = 3
"""Packets one after the other until the other side has the request: half a round trip more than one."""


class Call:
    """Connects, shows credentials, asks and hands the answer back; at each step it may fail, or be too late."""

    __slots__ = ("_callee", "_caller", "_connected", "_done", "_exchange", "_life", "_shell")

    def __init__(self, shell: Shell, caller: SimNode, exchange: Exchange) -> None:
        self._shell = shell
        self._caller = caller
        self._life = caller.life
        self._exchange = exchange
        self._connected = False
        self._done = False
        found = (shell.at_address(address) for address in exchange.addresses)
        self._callee = next((node for node in found if node is not None), None)

    def begin(self) -> None:
        """Connect, shake hands and ask."""
        shell, caller = self._shell, self._caller
        shell.later(self._exchange.timeout_s or EXCHANGE_TIMEOUT_S, caller, self._fail, "no answer in time")
        if caller.held is not None:
            shell.keep_back(caller, self._connect)
        else:
            self._connect()
        shell.later(CONNECT_TIMEOUT_S, caller, self._give_up)

    def _connect(self) -> None:
        network = self._shell.network
        delay_s = sum(network.travel_s() for _ in range(CONNECT_TRIPS))
        self._shell.at(delay_s, self._arrive)

    def _give_up(self) -> None:
        if not self._connected:
            self._fail("no answer")

    def _fail(self, why: str, refused: bool = False, another_key: bool = False) -> None:
        if self._done:
            return
        self._done = True
        shell, caller = self._shell, self._caller
        if self._callee is not None:
            caller.traffic.kept.pop(self._callee.name, None)
        outputs = caller.running.exchange_failed(
            self._exchange.number,
            why,
            refused=refused,
            another_key=another_key,
            now=shell.now,
            wall=shell.wall_of(caller),
        )
        shell.perform(caller, outputs)

    def _arrive(self) -> None:
        """Come to the other host; where nobody is, or no path leads, silence ends it."""
        shell, caller, callee = self._shell, self._caller, self._callee
        if self._done or caller.life != self._life:
            return
        if callee is None or not shell.network.connects(caller.name, callee.name):
            return
        if callee.held is not None:
            shell.keep_back(callee, self._arrive)
        elif callee.mesh is None:
            if not callee.vanished:
                shell.reach(shell.network.travel_s(), caller, self._fail, "connection refused")
        elif callee.inbox is not None:
            # Its kernel accepts; its daemon will answer when it runs again.
            self._connected = True
            shell.later(0.0, callee, self._ask, callee)
        else:
            self._ask(callee)

    def _ask(self, callee: SimNode) -> None:
        shell, caller, back_s = self._shell, self._caller, self._shell.network.travel_s()
        if self._done or caller.life != self._life:
            return
        self._connected = True
        asking, asked = caller.running, callee.running
        if self._exchange.target not in (None, asked.id):
            shell.reach(back_s, caller, self._fail, "another node is there", True, True)
            return
        try:
            # As in a handshake, in which who was called shows itself first.
            peer = shell.peer_of(asked, to=caller, shown=shell.wall_of(callee), wall=shell.wall_of(caller))
            asker = shell.peer_of(asking, to=callee, shown=shell.wall_of(caller), wall=shell.wall_of(callee))
        except TrustError as error:
            shell.reach(back_s, caller, self._fail, str(error), True)
            return
        request = self._exchange.request
        answer, outputs = asked.answer_untrusted(asker, request, now=shell.now, wall=shell.wall_of(callee))
        shown = (_credentials_bytes(asker), _credentials_bytes(peer))
        count_channel(caller.traffic, callee.traffic, callee.name, shown)
        caller.traffic.send(len(request))
        callee.traffic.send(len(answer))
        shell.reach(back_s, caller, self._answered, peer, answer)
        shell.perform(callee, outputs)

    def _answered(self, peer: Peer, answer: bytes) -> None:
        if self._done:
            return
        self._done = True
        shell, caller = self._shell, self._caller
        outputs = caller.running.receive_answer_untrusted(
            self._exchange.number, peer, answer, now=shell.now, wall=shell.wall_of(caller)
        )
        shell.perform(caller, outputs)


def _credentials_bytes(peer: Peer) -> int:
    return len(peer.chain.raw) + len(peer.record.signed.raw)

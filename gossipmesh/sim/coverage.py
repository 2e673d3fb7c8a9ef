"""What a run exercised, counted, so that a run which exercised nothing cannot pass for one that went well."""

from __future__ import annotations

from collections import Counter
from typing import Final

from gossipmesh.mesh.exchanges import Kind
from gossipmesh.mesh.outputs import Exchange, MemberChanged, RoutabilityChanged
from gossipmesh.model import MemberState
from gossipmesh.registry.sync_messages import Kind as SyncKind

OF_DATAGRAMS: Final = {
    "pingrequest": "indirect-probe",
    "nack": "nack",
    "hint": "hint",
    "chainrequest": "chain-request",
}
OF_REQUESTS: Final = {
    int(SyncKind.DIGEST_REQUEST): "sync-round",
    int(SyncKind.EXCHANGE_REQUEST): "sync-exchange",
    int(Kind.PROBE): "stream-probe",
    int(Kind.RENEW): "renewal",
    int(Kind.CARRY): "carried",
    int(Kind.REACH): "reach-asked",
}
OF_REFUSALS: Final = {"datagram.replay": "replay-refused", "datagram.forged": "forgery-refused"}
OF_CHANGES: Final = {
    (None, MemberState.ALIVE): "joined",
    (MemberState.ALIVE, MemberState.SUSPECT): "suspected",
    (MemberState.SUSPECT, MemberState.ALIVE): "refuted",
    (MemberState.SUSPECT, MemberState.DEAD): "died",
    (MemberState.DEAD, MemberState.ALIVE): "came-back",
    (MemberState.LEFT, MemberState.ALIVE): "came-back",
}

NAMES: Final = frozenset(
    {
        *OF_DATAGRAMS.values(),
        *OF_REQUESTS.values(),
        *OF_REFUSALS.values(),
        *OF_CHANGES.values(),
        *("greeting", "reconnect", "left", "back-in-rotation", "out-of-rotation"),
        *("lost", "duplicate", "held", "stalled"),
    }
)
"""All of them: what a scenario may ask to have been exercised."""


class Coverage(Counter[str]):
    """How often each mechanism was at work, by its name."""

    def datagram(self, kind: str) -> None:
        """Count a datagram by what it carries first."""
        name = OF_DATAGRAMS.get(kind)
        if name is not None:
            self[name] += 1

    def exchange(self, exchange: Exchange) -> None:
        """Count an exchange by its request's kind; a greeting of a member that is known is a reconnect."""
        kind = exchange.request[1] if len(exchange.request) > 1 else 0
        if kind == Kind.GREET:
            self["greeting" if exchange.target is None else "reconnect"] += 1
        elif kind in OF_REQUESTS:
            self[OF_REQUESTS[kind]] += 1

    def refusal(self, code: str) -> None:
        """Count a refusal that shows a defence at work."""
        name = OF_REFUSALS.get(code)
        if name is not None:
            self[name] += 1

    def changed(self, change: MemberChanged) -> None:
        """Count a change of belief."""
        name = "left" if change.new is MemberState.LEFT else OF_CHANGES.get((change.old, change.new))
        if name is not None:
            self[name] += 1

    def rotation(self, change: RoutabilityChanged) -> None:
        """Count a living member that went out of rotation or came back."""
        self["back-in-rotation" if change.routable else "out-of-rotation"] += 1

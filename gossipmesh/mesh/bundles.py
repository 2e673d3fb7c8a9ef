"""How this node hears of the mesh's newer roots, and what ends with those that are dropped.

Bundles come in a handshake, or from an operator. Each is verified against the one before it, whoever brings it. What
hangs on a root that the newest bundle no longer lists is worth nothing from then on, and is let go of at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.mesh.outputs import BundlesChanged, Level, Notice, Output, Refused
from gossipmesh.registry.store import Registry


class Bundles:
    """Takes successors of the newest trust bundle."""

    def __init__(self, trust: TrustStore, registry: Registry) -> None:
        self._trust = trust
        self._registry = registry
        self._conflict = False

    def learn_untrusted(self, raws: Iterable[bytes], *, wall: float) -> list[Output]:
        """Take bundles in their order, up to the first that does not follow; what is known already is no news."""
        outputs: list[Output] = []
        news = False
        for raw in raws:
            try:
                news |= self._trust.offer_successor_untrusted(raw)
            except RemoteProtocolError as error:
                outputs.append(Refused(error.code))
                if error.code == "bundle.conflict" and not self._conflict:
                    self._conflict = True
                    text = f"{error}; a root key is in wrong hands, or was copied back from a backup"
                    outputs.append(Notice(Level.WARNING, error.code, text))
                break
        if news:
            gone = tuple(record.id for record in self._registry.expire(wall=wall))
            outputs.append(BundlesChanged(self._trust.n, gone))
            roots = ", ".join(root[:4].hex() for root in self._trust.roots)
            text = f"trust bundle {self._trust.n} is in force: the mesh's roots are {roots}"
            outputs.append(Notice(Level.INFO, "bundle.changed", text))
        return outputs

"""How this node's chain outlives the token that it joined with, and how it renews others' chains.

A chain is also renewed, whatever its age, where it hangs on another root than the mesh's newest: so a mesh moves onto
a new root by itself, from the issuers down, while old and new are both good. Nobody is asked for that before an issuer
hangs on the new root, for a renewed chain hangs where its issuer's does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from gossipmesh import crypto
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.renewal import losses, renew, renew_from_root, renewal_due, renewal_overdue
from gossipmesh.membership.members import Member
from gossipmesh.mesh.exchanges import Exchanges, Kind, Renew, decode_chain_untrusted, encode_plain
from gossipmesh.mesh.outputs import ChainRenewed, Level, Notice, Output, Refused
from gossipmesh.model import NodeId, day, short_id
from gossipmesh.registry.store import Registry

if TYPE_CHECKING:
    import random

RETRY_S: Final = 60.0
"""Between two requests for renewal, give or take a tenth."""
SPREAD_S: Final = 0.25
"""Per member, up to ``RETRY_S``: over so long all spread their requests where they are due in the same moment."""
WARN_GAP_S: Final = 3600.0
MAX_BLAMED: Final = 64
"""Issuers and what is wrong with them, of which a person was told since the last renewal."""


class Renewing:
    """Asks for renewal from half of the chain's life, of any member that may issue, until one grants it."""

    def __init__(
        self,
        trust: TrustStore,
        key: NodeKey,
        root_seed: bytes | None,
        registry: Registry,
        exchanges: Exchanges,
        *,
        rng: random.Random,
        revoked: Callable[[VerifiedChain], bool] = lambda _: False,
    ) -> None:
        self._revoked = revoked
        self._trust = trust
        self._key = key
        self._root_seed = root_seed
        self._registry = registry
        self._exchanges = exchanges
        self._rng = rng
        self._ask_at: float | None = None  # None: not due yet
        self._warn_at = -float("inf")
        self._told = ""
        self._asked: set[NodeId] = set()  # those that were asked since the last renewal, living members only
        self._blamed: dict[tuple[NodeId, str], None] = {}

    @property
    def deadline(self) -> float:
        """When :meth:`handle_timer` has somebody to ask, in monotonic seconds; inf: that is not known yet."""
        return math.inf if self._ask_at is None else self._ask_at

    def keep_root(self, seed: bytes) -> None:
        """Take the secret of a root (32 bytes) that this node keeps from now on, in place of the one before."""
        self._root_seed = seed

    def handle_timer(
        self, chain: VerifiedChain, members: Mapping[NodeId, Member], *, now: float, wall: float
    ) -> tuple[VerifiedChain | None, list[Output]]:
        """Renew our own chain if this node keeps the root key, or ask somebody; give the renewed chain if any."""
        outdated, due = chain.root != self._trust.newest_root, renewal_due(chain, wall)
        if not due and not outdated:
            self._ask_at = None
            return None, []
        seed = self._root_seed
        seed = seed if seed is not None and self._may_sign(seed, newest=outdated) else None
        if seed is None and not due and self._pick_issuer(chain, members, moved=True) is None:
            self._ask_at = None
            return None, []
        if self._ask_at is None:
            # Whoever joined with one token is due in the same second; an issuer should not get them all at once.
            spread_s = RETRY_S if due else min(RETRY_S, SPREAD_S * (1 + len(members)))
            self._ask_at = now + (0.0 if seed else spread_s * self._rng.random())
        if now < self._ask_at:
            return None, []
        self._ask_at = now + RETRY_S * self._rng.uniform(0.9, 1.1)
        if seed is not None:
            return self._adopt(
                renew_from_root(self._trust, seed, chain, wall=wall), chain, self._key.id, wall=wall
            )
        outputs: list[Output] = []
        code, text = _complaint(chain, wall)
        if renewal_overdue(chain, wall) and (now >= self._warn_at or code != self._told):
            self._warn_at, self._told = now + WARN_GAP_S, code
            outputs.append(Notice(Level.WARNING, code, text))
        issuer = self._pick_issuer(chain, members, moved=not due)
        if issuer is not None:
            self._asked.add(issuer.id)
            request = encode_plain(Kind.RENEW, chain.raw)
            exchange = self._exchanges.begin(Renew(), issuer.id, issuer.record.addresses, request, now=now)
            outputs += [] if exchange is None else [exchange]
        return None, outputs

    def _pick_issuer(
        self, chain: VerifiedChain, members: Mapping[NodeId, Member], *, moved: bool
    ) -> Member | None:
        """Pick who to ask: who takes nothing from us, then whoever renewed us before, then who has the shortest chain.

        The chain's length counts since each issuer adds a block.

        Those whose own chain hangs on the newest root come first, or alone where ``moved``: a renewed chain hangs
        where its issuer's does.
        Each is asked once before anybody is asked again: the first choice may be the one that cannot help.
        """
        newest = self._trust.newest_root
        found: list[tuple[bool, bool, bool, bool, int, float, Member]] = []
        for member in members.values():
            theirs = self._registry.chain_of(member.id) if member.living else None
            if theirs is None or (moved and theirs.root != newest):
                continue
            if theirs.grants.allows(Capability.ISSUE):
                found.append(
                    (
                        theirs.root != newest,
                        not theirs.grants.allows_name(chain.name),
                        bool(losses(chain.grants, theirs.grants)),
                        theirs.id not in chain.issuers,
                        len(theirs.raw),
                        self._rng.random(),
                        member,
                    )
                )
        if all(row[-1].id in self._asked for row in found):
            self._asked.clear()
        fresh = [row for row in found if row[-1].id not in self._asked]
        return min(fresh, key=lambda row: row[:-1])[-1] if fresh else None

    def answer_untrusted(self, peer: Peer, request: bytes, chain: VerifiedChain, *, wall: float) -> bytes:
        """Give a renewed chain to a peer, under the key that it proved in its handshake.

        Raises:
            TrustError: as :func:`gossipmesh.identity.renewal.renew`; ``chain.owner`` for another's chain.
            RemoteProtocolError: for a request that is none.
        """
        old = verify_chain_untrusted(decode_chain_untrusted(request, Kind.RENEW), self._trust, wall=wall)
        if self._revoked(old):
            raise TrustError(
                "chain.revoked", f"the chain of {old.name!r} is revoked, and so is every renewal"
            )
        if old.id != peer.id:
            raise TrustError("chain.owner", "a node asked to renew the chain of another")
        if self._root_seed is not None and self._may_sign(self._root_seed):
            fresh = renew_from_root(self._trust, self._root_seed, old, wall=wall)
        else:
            fresh = renew(chain, self._key.seed, old, mesh_id=self._trust.mesh_id, wall=wall)
        return encode_plain(Kind.RENEWED, fresh)

    def receive_answer_untrusted(
        self, issuer: NodeId, answer: bytes, chain: VerifiedChain, *, wall: float
    ) -> tuple[VerifiedChain | None, list[Output]]:
        """Take a renewed chain, if it is for our key and name and lives longer.

        Raises:
            RemoteProtocolError: for anything else; our chain stays.
        """
        return self._adopt(decode_chain_untrusted(answer, Kind.RENEWED), chain, issuer, wall=wall)

    def failed(self, issuer: NodeId | None, why: str, *, refused: bool) -> list[Output]:
        """Take that an issuer that was asked did not renew our chain; it is asked for again from time to time."""
        if issuer is None or not refused:
            return []
        text = f"{self._name(issuer)} did not renew this node's chain: {why}"
        return self._blame(issuer, "renewal.refused", text)

    def _blame(self, issuer: NodeId, code: str, text: str) -> list[Output]:
        """Tell a person once, until a renewal has come: an issuer is asked again every few minutes."""
        if (issuer, code) in self._blamed:
            return []
        self._blamed[issuer, code] = None
        if len(self._blamed) > MAX_BLAMED:
            del self._blamed[next(iter(self._blamed))]
        return [Notice(Level.WARNING, code, text)]

    def _name(self, node: NodeId) -> str:
        record = self._registry.lookup(node)
        return short_id(node) if record is None else f"{record.name} ({short_id(node)})"

    def _may_sign(self, root_seed: bytes, *, newest: bool = False) -> bool:
        """Tell whether the root key that this node keeps is one of the mesh still, or even its newest."""
        public = crypto.signing_public(root_seed)
        return public == self._trust.newest_root if newest else public in self._trust.roots

    def _adopt(
        self, raw: bytes, chain: VerifiedChain, issuer: NodeId, *, wall: float
    ) -> tuple[VerifiedChain | None, list[Output]]:
        fresh = verify_chain_untrusted(raw, self._trust, wall=wall)
        if fresh.id != self._key.id or fresh.name != chain.name:
            raise RemoteProtocolError("renewal.other", "a renewed chain for another key or name")
        if self._revoked(fresh):
            raise TrustError("chain.revoked", "whoever renewed our chain is revoked as an issuer")
        moved = fresh.root == self._trust.newest_root != chain.root
        if fresh.grants.expires_at <= chain.grants.expires_at and not moved:
            return None, []
        lost = losses(chain.grants, fresh.grants)
        if lost and not renewal_overdue(chain, wall):
            # An issuer that may less than we do would take it from us; while there is time, another may be found.
            text = (
                f"{self._name(issuer)} could renew this node's chain only without {'; '.join(lost)}, so its chain "
                "stays as it is for now: have an issuer whose token has all of it"
            )
            return None, [*self._blame(issuer, "renewal.narrower", text), Refused("renewal.narrower")]
        self._ask_at = None
        self._asked.clear()
        self._blamed.clear()
        renewed: list[Output] = [ChainRenewed(fresh.raw, fresh.grants.expires_at)]
        if lost:
            text = (
                f"{self._name(issuer)} renewed this node's chain without {'; '.join(lost)}, since its own chain lacks "
                "it and nobody else renewed it in time: rules that name what is lost do not match this node any "
                "more. To bring it back, stop the node, remove the file `chain` from its state directory and start it "
                "with a new token"
            )
            renewed.append(Notice(Level.WARNING, "chain.narrowed", text))
        return fresh, renewed


def _complaint(chain: VerifiedChain, wall: float) -> tuple[str, str]:
    if chain.grants.expired(wall):
        text = (
            f"this node's chain expired on {day(chain.grants.expires_at)} and nobody renewed it, so nobody takes it "
            "for a member any more: start it with a new token, --token-file FILE"
        )
        return "chain.expired", text
    text = (
        "this node's chain is two thirds through its life and nobody renewed it: "
        "run a member whose token has the capability issue, or start this node with a new token"
    )
    return "chain.expiring", text

"""What is signed for the whole mesh, as one node holds it: trust bundles, revocations, and the policy document.

All three travel alike (see ``pulling``), and all three only ever grow or rise, so that two nodes that have seen the
same hold the same, in whatever order it came.

Laws:

* Nothing changes before all of an object is verified; what is refused leaves no trace but its hash.
* Of policy documents the highest version is in force, of one version the one with the lowest hash. One that the
  injected check does not take is refused whole and remembered, and the last good one stays.
* A document whose signer is revoked falls, whether it came before the revocation or after: else a stolen key's last
  document would stay, or be held by some nodes only. What was in force before it is in force again, as far
  as it is remembered. Hence who revokes a policy's signer applies the policy again first, under another key.
* What hangs on a root that was replaced stays in force (see ``identity.authority``).
* Whoever holds a document in stages holds, or asks for, the one that it returns to (:mod:`.returning`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from attrs import evolve

from gossipmesh import crypto
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.authority import is_current, split_untrusted, verify_authorised_untrusted
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.revocation import verify_revocation_untrusted
from gossipmesh.identity.revoked import Revocations
from gossipmesh.membership.messages import CHARTER_BYTES
from gossipmesh.mesh.charter_changes import CharterChange, guarded, marked, once
from gossipmesh.mesh.charter_messages import MAX_ANSWER, MAX_POLICY, Brought, Holding, fitting
from gossipmesh.mesh.held_policy import HeldPolicy, order_of
from gossipmesh.mesh.outputs import BundlesChanged, Level, Notice, PolicyChanged, Refused, RevocationsChanged
from gossipmesh.mesh.returning import Returning
from gossipmesh.policy.document import POLICY_LABEL, PolicyDocument, decode_document_untrusted

MAX_HISTORY: Final = 32
"""Policy documents that are remembered, the highest versions; at most this many times 34 KiB."""
MAX_PER_ORIGIN: Final = 8
"""... of what was made of one token: a thief's would else push out what holds again once that is revoked."""
MAX_REFUSED: Final = 32
MALFORMED: Final = "policy.malformed"

CheckPolicy = Callable[[str], object]
"""Reads a document's text; raises ConfigError for one that no node should take."""


class Charter:
    """What one node holds.

    Args:
        trust: the mesh's bundles; they grow here.
        check_policy: whether a document's text may be in force.
    """

    def __init__(self, trust: TrustStore, check_policy: CheckPolicy) -> None:
        self._trust = trust
        self._check_policy = check_policy
        self._policies: dict[bytes, HeldPolicy] = {}
        self._refused: dict[bytes, str] = {}
        self._policy: HeldPolicy | None = None
        self._conflict = self._claimed = False
        self._returning = Returning(check_policy)
        self.revocations: Final = Revocations()
        self._digest: bytes | None = None

    # --- what is held ---

    @property
    def policy(self) -> HeldPolicy | None:
        """The document in force; None: none is, and what is decided is the mesh's default."""
        return self._policy

    @property
    def history(self) -> tuple[HeldPolicy, ...]:
        """The documents that are remembered, the lowest version first."""
        return tuple(sorted(self._policies.values(), key=lambda held: held.order))

    def document(self, hash_: bytes) -> PolicyDocument | None:
        """Give the document with this hash, if it is remembered or returned to."""
        held, returned = self._policies.get(hash_), self._returning.document
        if held is not None:
            return held.document
        return returned if returned is not None and returned.hash == hash_ else None

    @property
    def wanted(self) -> bytes:
        """The hash of a document that the newest one returns to, and that is lacking here; empty: none is."""
        return self._returning.wanted

    @property
    def digest(self) -> bytes:
        """What tells two charters apart, 8 bytes; none where nothing but the mesh's first bundle is held."""
        if self._digest is None:
            self._digest = self._compute_digest()
        return self._digest

    @property
    def refused(self) -> tuple[str, ...]:
        """Why policy documents were refused that may not be in force here; the last 32 at most, oldest first."""
        return tuple(self._refused.values())

    def is_revoked(self, chain: VerifiedChain) -> bool:
        """Tell whether the chain's node is revoked now."""
        return self.revocations.find(chain) is not None

    def check_not_revoked(self, chain: VerifiedChain) -> None:
        """Check a chain that a handshake proved.

        Raises:
            TrustError: ``chain.revoked``.
        """
        entry = self.revocations.find(chain)
        if entry is not None:
            raise TrustError("chain.revoked", f"{chain.name} is revoked ({entry})")

    def check_stands(self, chain: VerifiedChain) -> None:
        """Check once more a chain that a handshake proved a while ago.

        Raises:
            TrustError: ``chain.revoked``, or ``chain.root`` where the root that it hangs on was replaced.
        """
        self.check_not_revoked(chain)
        # One that we have not heard of is news on its way to us: the handshake saw the bundle that names it.
        if chain.root not in self._trust.roots and any(chain.root in each.roots for each in self._trust.path):
            raise TrustError("chain.root", f"the root that the chain of {chain.name} hangs on was replaced")

    def kept(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
        """Give what is to be kept on disk: revocations, policy documents, and the body of the one to return to."""
        revocations = tuple(entry.raw for entry in self.revocations.entries)
        return revocations, tuple(held.raw for held in self.history), self._returning.kept

    # --- what comes in ---

    def restore(
        self,
        revocations: Iterable[bytes],
        policies: Iterable[bytes],
        returned: Iterable[bytes] = (),
        *,
        wall: float,
    ) -> list[CharterChange]:
        """Take what the last run kept. Roots that were replaced since count: it was verified while they stood."""
        kept = partial(self.offer_revocation_untrusted, wall=wall, retired=True)
        documents = partial(self.offer_policy_untrusted, wall=wall, retired=True)
        said = [each for raw in revocations for each in guarded(kept, raw)]
        said += [each for raw in policies for each in guarded(documents, raw)]
        said += [each for body in returned for each in guarded(self._take_returned, body)]
        return once(said)

    def take_untrusted(self, brought: Brought, *, wall: float) -> list[CharterChange]:
        """Take what a peer brought, each object by itself: a bad one does not spoil the others."""
        said = self.learn_bundles_untrusted(brought.bundles)
        forked = brought.bundle_n == self._trust.n and brought.bundle_hash != self._trust.latest.hash
        if forked and not self._claimed:
            # Once: whoever says so may lie. What is proved has an alarm of its own.
            self._claimed = True
            text = f"a member says that it has another trust bundle number {brought.bundle_n}: a root is used twice?"
            said.append(Notice(Level.WARNING, "bundle.conflict", text))
        entry = partial(self.offer_revocation_untrusted, wall=wall)
        said += [each for raw in brought.revocations for each in guarded(entry, raw)]
        if brought.policy:
            said += guarded(partial(self.offer_policy_untrusted, wall=wall), brought.policy)
        if brought.returned:
            said += guarded(self._take_returned, brought.returned)
        return once(said)

    def _take_returned(self, body: bytes) -> list[CharterChange]:
        policy = self._policy
        if policy is None or not self.wanted:
            return []
        self._returning.take_untrusted(body)
        return [PolicyChanged(policy.document)]

    def offer_untrusted(self, kind: str, raw: bytes, *, wall: float) -> list[CharterChange]:
        """Take a ``bundle``, a ``revocation`` or a ``policy``; nothing is said of one that is held or outdated.

        Raises:
            RemoteProtocolError: as the three methods below; ``charter.kind`` for another kind.
            ConfigError: why a policy's text may not be in force.
        """
        match kind:
            case "bundle":
                return self.offer_bundle_untrusted(raw)
            case "revocation":
                return self.offer_revocation_untrusted(raw, wall=wall)
            case "policy":
                return self.offer_policy_untrusted(raw, wall=wall)
            case _:
                raise RemoteProtocolError("charter.kind", f"no kind of object is called {kind!a}")

    def offer_bundle_untrusted(self, raw: bytes) -> list[CharterChange]:
        """Take the next trust bundle, if it is one; nothing is said of one that is held.

        Raises:
            RemoteProtocolError: as :meth:`~gossipmesh.identity.bundle.TrustStore.offer_successor_untrusted`.
        """
        if not self._trust.offer_successor_untrusted(raw):
            return []
        self.revocations.recheck(self._trust)
        for key, held in self._policies.items():
            current = is_current(held.authorised, self._trust)
            self._policies[key] = evolve(held, authorised=evolve(held.authorised, current=current))
        roots = ", ".join(root[:4].hex() for root in self._trust.roots)
        text = f"trust bundle {self._trust.n} is in force: the mesh's roots are {roots}"
        return [
            BundlesChanged(self._trust.n),
            Notice(Level.INFO, "bundle.changed", text),
            *self._settle(),
        ]

    def learn_bundles_untrusted(self, raws: Iterable[bytes]) -> list[CharterChange]:
        """Take bundles in their order, up to the first that does not follow; what is known already is no news."""
        said: list[CharterChange] = []
        for raw in raws:
            try:
                said += self.offer_bundle_untrusted(raw)
            except RemoteProtocolError as error:
                said.append(Refused(error.code))
                if error.code == "bundle.conflict" and not self._conflict:
                    self._conflict = True
                    text = f"{error}; a root key is in wrong hands, or was copied back from a backup"
                    said.append(Notice(Level.WARNING, error.code, text))
                break
        return once(said)

    def offer_revocation_untrusted(
        self, raw: bytes, *, wall: float, retired: bool = False
    ) -> list[CharterChange]:
        """Take a revocation; nothing is said of one that is held.

        Raises:
            RemoteProtocolError: as :func:`~gossipmesh.identity.revocation.verify_revocation_untrusted`.
            TrustError: ``revocation.full``.
        """
        if self.revocations.holds(raw):
            return []
        entry = verify_revocation_untrusted(raw, self._trust, wall=wall, retired=retired)
        if not self.revocations.offer(entry):
            return []
        return [RevocationsChanged(self.is_revoked, len(self.revocations), str(entry)), *self._settle()]

    def expire(self, *, wall: float) -> list[CharterChange]:
        """Drop revocations of what has expired by itself."""
        if not self.revocations.expire(wall=wall):
            return []
        return [RevocationsChanged(self.is_revoked, len(self.revocations), ""), *self._settle()]

    def offer_policy_untrusted(
        self, raw: bytes, *, wall: float, retired: bool = False
    ) -> list[CharterChange]:
        """Take a policy document; nothing is said of one that is held or outdated.

        Raises:
            RemoteProtocolError: ``policy.malformed`` and the codes of
                :func:`~gossipmesh.identity.authority.verify_authorised_untrusted`.
            TrustError: ``policy.revoked`` where its signer is; ``policy.refused`` where it was refused before.
            ConfigError: why its text may not be in force.
        """
        body, _, _ = split_untrusted(raw, MAX_POLICY, code=MALFORMED)
        document = decode_document_untrusted(body)
        if (why := self._refused.get(document.hash)) is not None:
            raise TrustError("policy.refused", why)
        known = self._policies.get(document.hash)
        if known is not None and known.authorised.current:
            return []
        authorised = verify_authorised_untrusted(
            raw,
            POLICY_LABEL,
            self._trust,
            Capability.POLICY,
            max_bytes=MAX_POLICY,
            signed_at=lambda _: document.signed_at,
            wall=wall,
            retired=retired,
            code=MALFORMED,
        )
        revocation = self.revocations.find(authorised.signer)
        if revocation is not None:
            raise TrustError("policy.revoked", f"the signer of this policy is revoked ({revocation})")
        if known is not None and not authorised.current:
            return []
        self._check_text(document)
        return self._hold(HeldPolicy(document, authorised))

    def _check_text(self, document: PolicyDocument) -> None:
        try:
            self._check_policy(document.text)
        except ConfigError as error:
            self._refused[document.hash] = f"policy version {document.version} is not valid here: {error}"
            if len(self._refused) > MAX_REFUSED:
                del self._refused[next(iter(self._refused))]
            raise

    def _hold(self, held: HeldPolicy) -> list[CharterChange]:
        document, before = held.document, self._policy
        said: list[CharterChange] = []
        if before and before.document.version == document.version and before.document.hash != document.hash:
            text = (
                f"two different policies are signed as version {document.version}: the lower hash is in force"
            )
            said.append(Notice(Level.WARNING, "policy.conflict", text))
        self._policies[document.hash] = held
        said += self._settle()
        # Only now: what the newest one returns to has been found, and stays.
        origin = held.authorised.signer.origin
        if not held.authorised.signer.is_root:
            self._forget_lowest(MAX_PER_ORIGIN, lambda each: each.authorised.signer.origin == origin)
        self._forget_lowest(MAX_HISTORY, lambda _: True)
        return said

    def _forget_lowest(self, most: int, among: Callable[[HeldPolicy], bool]) -> None:
        some = [held for held in self._policies.values() if among(held)]
        if len(some) > most:
            del self._policies[min(some, key=lambda each: each.order).document.hash]

    def _settle(self) -> list[CharterChange]:
        """Find out anew what is in force."""
        standing = [
            held for held in self._policies.values() if self.revocations.find(held.authorised.signer) is None
        ]
        before, now = self._policy, max(standing, key=lambda held: held.order, default=None)
        self._policy = now
        self._returning.settle(None if now is None else now.document, self.document)
        self._digest = None
        if (before and before.document.hash) == (now and now.document.hash):
            return []
        changed = PolicyChanged(None if now is None else now.document)
        if before is None or (now is not None and now.order > before.order):
            return [changed]
        back = "the mesh's default decision" if now is None else f"version {now.document.version}"
        text = f"the signer of policy version {before.document.version} is revoked: {back} is in force"
        return [changed, Notice(Level.WARNING, "policy.fell", text)]

    def _compute_digest(self) -> bytes:
        policy = self._policy
        if self._trust.n == 0 and policy is None and not len(self.revocations):
            return b""
        parts = [self._trust.latest.hash, self.revocations.digest]
        if policy is not None:
            parts += [policy.document.hash, bytes([policy.authorised.current])]
        return crypto.blake2b(b"".join(parts), CHARTER_BYTES)

    # --- what is told ---

    def holding(self) -> Holding:
        """Give what a request says of us."""
        version, hash_ = self._policy_named()
        current = self._policy is None or self._policy.authorised.current
        keys, refused = self._revocation_keys(), tuple(self._refused)
        return Holding(self._trust.n, version, hash_, current, refused, keys, self.wanted)

    def _policy_named(self) -> tuple[int, bytes]:
        policy = self._policy
        return (0, b"") if policy is None else (policy.document.version, policy.document.hash)

    def _revocation_keys(self) -> frozenset[bytes]:
        return frozenset(marked(entry) for entry in self.revocations.entries)

    def lacks(self, theirs: Holding) -> bool:
        """Tell whether whoever holds that seems to hold something that we lack."""
        policy = self._policy
        ours = (0, b"") if policy is None else policy.order
        news = _order_of(theirs) > ours and theirs.policy_hash not in self._refused
        return theirs.bundle_n > self._trust.n or news or not theirs.revocations <= self._revocation_keys()

    def answer(self, theirs: Holding) -> Brought:
        """Give what they lack, as far as one answer has room."""
        bundles = tuple(bundle.raw for bundle in self._trust.path[theirs.bundle_n + 1 :])
        version, hash_ = self._policy_named()
        policy = self._policy
        lacking = policy is not None and self._is_news(policy, theirs)
        policy_raw = policy.raw if policy is not None and lacking else b""
        wanted = [each.raw for each in self.revocations.entries if marked(each) not in theirs.revocations]
        room = MAX_ANSWER - 256 - sum(len(raw) + 3 for raw in (*bundles, policy_raw))
        # Unasked beside a document that returns to it, so that nobody has to do without for a round trip.
        named = self._returning.hash if lacking else theirs.wanted
        returned = None if named == theirs.policy_hash else self.document(named)
        body = fitting([] if returned is None else [returned.body], room)
        taken = fitting(wanted, room - sum(len(each) + 3 for each in body))
        more, newest = len(taken) < len(wanted), self._trust.latest.hash
        return Brought(
            more, self._trust.n, newest, version, hash_, bundles, policy_raw, taken, b"".join(body)
        )

    def _is_news(self, policy: HeldPolicy, theirs: Holding) -> bool:
        if policy.document.hash in theirs.refused:
            return False
        if policy.document.hash == theirs.policy_hash:
            return policy.authorised.current and not theirs.policy_current
        return policy.order > _order_of(theirs)


def _order_of(theirs: Holding) -> tuple[int, bytes]:
    return order_of(theirs.policy_version, theirs.policy_hash)

"""What a chain allows: stated by each block as restrictions, added up to :class:`Grants`.

Law: adding a restriction only ever narrows. Services and names are lists of globs that must *all* match, groups and
capabilities are intersected, validity is the latest beginning and the earliest end. So a later block that claims
more than an earlier one gains nothing, and no verifier needs to detect it.
"""

from __future__ import annotations

import enum
import fnmatch
import re
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from gossipmesh.identity.signed import SKEW_S
from gossipmesh.model import NodeId

GLOB: Final = re.compile(r"[a-z0-9*-]{1,63}")
MAX_GLOBS: Final = 16
"""Globs in one list."""
MAX_LISTS: Final = 8
"""Lists of one kind in one block; more than one only where a renewal restates several blocks."""
MAX_GROUPS: Final = 16
ANY: Final = ("*",)

MAX_QUOTA: Final = 2**31 - 1
MAX_QUOTAS: Final = 4
"""Quotas that one block restates: more than a token has blocks."""
HOLDER_BYTES: Final = 16

Globs = tuple[str, ...]
"""One list: a name passes if it matches any of these. The empty list lets nothing pass."""


class Capability(enum.Enum):
    """What a chain's holder may do beyond being a member."""

    JOIN = "join"
    """Admit nodes: what makes a token a token."""
    ISSUE = "issue"
    """As a node, sign and renew the chains of other nodes."""
    POLICY = "policy"
    """Sign policy documents."""
    REVOKE = "revoke"
    """Sign revocations."""


def is_glob(text: str) -> bool:
    """Tell whether ``text`` is a glob: a name in which each ``*`` stands for any letters, or none."""
    return GLOB.fullmatch(text) is not None


def matches_glob(name: str, glob: str) -> bool:
    """Tell whether ``name`` matches ``glob``, whole and case-sensitively."""
    # The grammar of globs leaves `*` as the only character that fnmatch treats specially; its translation uses
    # atomic groups between stars, so that a hostile glob cannot make it backtrack without end.
    return fnmatch.fnmatchcase(name, glob)


def matches_all(name: str, lists: Sequence[Globs]) -> bool:
    """Tell whether ``name`` matches a glob of every list."""
    return all(any(matches_glob(name, glob) for glob in globs) for globs in lists)


@frozen
class Quota:
    """How many living nodes may have joined through one delegation: as each member counts them for itself.

    ``holder`` is a hash of the delegation's key, 16 bytes. Only who has the key's secret makes a chain that counts
    against it, so nobody uses up another's quota, which by token id anybody could.
    """

    holder: bytes = field(repr=bytes.hex)
    nodes: int


@frozen
class Caveats:
    """What one minted block states. ``None`` is "no change"; the first block of a chain states everything.

    Args:
        not_before: unix seconds; minting dates it back by five minutes, for nodes whose clock is behind.
        expires_at: unix seconds.
        token_id: 8 bytes, what a revocation names; made afresh at minting where empty.
        services: globs of the services that may be offered.
        names: globs of the node names that may be taken.
        groups: groups that policy rules may name.
        caps: what the holder may do.
        quota: how many living nodes may have joined with it, and with what it is narrowed to; 1 or more.
    """

    not_before: int
    expires_at: int
    token_id: bytes = b""
    services: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    caps: frozenset[Capability] | None = None
    quota: int | None = None


@frozen
class Grants:
    """What remains allowed after every block of a chain.

    ``services`` and ``names`` hold one list per block that restricts them, and a name must match all of them.
    Times are unix seconds.
    """

    services: tuple[Globs, ...]
    names: tuple[Globs, ...]
    groups: frozenset[str]
    caps: frozenset[Capability]
    not_before: int
    expires_at: int

    def allows_service(self, name: str) -> bool:
        """Tell whether the service ``name`` may be offered."""
        return matches_all(name, self.services)

    def allows_name(self, name: str) -> bool:
        """Tell whether a node may be called ``name``."""
        return matches_all(name, self.names)

    def allows(self, capability: Capability) -> bool:
        """Tell whether the holder has ``capability``."""
        return capability in self.caps

    def expired(self, wall: float) -> bool:
        """Tell whether the end of validity has passed, two minutes of clock skew forgiven."""
        return wall > self.expires_at + SKEW_S

    def not_yet_valid(self, wall: float) -> bool:
        """Tell whether validity has not begun, two minutes of clock skew forgiven."""
        return wall < self.not_before - SKEW_S

    def narrowed(self, by: Restrictions) -> Grants:
        """Give these grants with one more block's restrictions added."""
        return Grants(
            services=_added(self.services, by.services),
            names=_added(self.names, by.names),
            groups=self.groups if by.groups is None else self.groups & by.groups,
            caps=self.caps if by.caps is None else self.caps & by.caps,
            not_before=max(self.not_before, by.not_before),
            expires_at=min(self.expires_at, by.expires_at),
        )


@frozen
class Restrictions:
    """What one block adds, as it is on the wire: :class:`Caveats`, or what a renewal restates of several blocks.

    ``token_ids`` and ``issuers`` grant nothing. They keep what a revocation may name attached to a chain, also
    after it was renewed by somebody else, and so does ``quotas`` with what its delegations had stated as ``quota``.
    """

    not_before: int
    expires_at: int
    token_ids: tuple[bytes, ...] = ()
    services: tuple[Globs, ...] = ()
    names: tuple[Globs, ...] = ()
    groups: frozenset[str] | None = None
    caps: frozenset[Capability] | None = None
    issuers: tuple[NodeId, ...] = ()
    quota: int | None = None
    quotas: tuple[Quota, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything is stated, as a chain's first block must."""
        return bool(self.services and self.names) and self.groups is not None and self.caps is not None

    def as_grants(self) -> Grants:
        """Give what a chain's first block grants: exactly what it states, and nothing that it leaves out."""
        return Grants(
            services=_added((), self.services),
            names=_added((), self.names),
            groups=self.groups or frozenset(),
            caps=self.caps or frozenset(),
            not_before=self.not_before,
            expires_at=self.expires_at,
        )


def _added(lists: tuple[Globs, ...], more: tuple[Globs, ...]) -> tuple[Globs, ...]:
    """Add lists to a conjunction, leaving out those that cannot change it: a repeated one, and any with ``*``."""
    return tuple(dict.fromkeys([*lists, *(globs for globs in more if "*" not in globs)]))

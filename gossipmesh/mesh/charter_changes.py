"""What follows when something signed for the whole mesh is taken, or is not."""

from __future__ import annotations

from collections.abc import Callable

from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.revocation import Revocation
from gossipmesh.mesh.outputs import BundlesChanged, Notice, PolicyChanged, Refused, RevocationsChanged

CharterChange = PolicyChanged | RevocationsChanged | BundlesChanged | Notice | Refused


def guarded(offer: Callable[[bytes], list[CharterChange]], raw: bytes) -> list[CharterChange]:
    """Offer one object; what is refused is counted, and spoils nothing else."""
    try:
        return offer(raw)
    except (RemoteProtocolError, ConfigError) as error:
        return [Refused(error.code)]


def once(said: list[CharterChange]) -> list[CharterChange]:
    """Leave only the last change of each kind: what follows of it is a pass over all members."""
    last = {type(each): each for each in said}
    return [each for each in said if isinstance(each, Notice | Refused) or each is last[type(each)]]


def marked(entry: Revocation) -> bytes:
    """Give what tells two nodes' entries apart: which one it is, and whether its proof hangs on a present root."""
    return entry.key + bytes([entry.authorised.current])

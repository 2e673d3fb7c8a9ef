"""How many members each token has: what its own quotas allow, and what bounds everybody.

Who says that it leaves gives its places back at once: containers leave, and come back under new keys. Membership
bounds how many of those that left are remembered, whatever token they had.
"""

from __future__ import annotations

from collections import Counter

from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.record import MemberRecord
from gossipmesh.model import Serving


def token_of(chain: VerifiedChain) -> bytes:
    """Give the token that a chain counts against: its first block's, 8 bytes (none where a root admitted the node).

    Only that one was named by a root. Counting later blocks' ids as well would bound nothing more, and would let
    the holder of any token use up another's quota by naming its id.
    """
    return chain.token_ids[0] if chain.token_ids else b""


class Places:
    """Counts the living ids of tokens and of quotas; as many entries as members have at most."""

    def __init__(self) -> None:
        self._per_token: Counter[bytes] = Counter()
        self._per_quota: Counter[bytes] = Counter()

    def of_token(self, chain: VerifiedChain) -> int:
        """Give how many places are taken of the token that a chain begins with."""
        return self._per_token[token_of(chain)]

    def within_quotas(self, chain: VerifiedChain) -> bool:
        """Tell whether every quota that a chain states has room for one more."""
        return all(self._per_quota[quota.holder] < quota.nodes for quota in chain.quotas)

    def take(self, record: MemberRecord, chain: VerifiedChain) -> bool:
        """Count a record that is held now; False for one that leaves, which takes no place."""
        if record.serving is Serving.LEAVING:
            return False
        self._per_token[token_of(chain)] += 1
        self._per_quota.update(quota.holder for quota in chain.quotas)
        return True

    def give_back(self, record: MemberRecord, chain: VerifiedChain) -> None:
        """Count a record no longer that :meth:`take` was told of."""
        if record.serving is Serving.LEAVING:
            return
        for counter, keys in (
            (self._per_token, [token_of(chain)]),
            (self._per_quota, [quota.holder for quota in chain.quotas]),
        ):
            for key in keys:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]

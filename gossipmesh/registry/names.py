"""Which id shows under which name. Names are labels, ids are identity.

Every node serves under its id at once, whatever it is called; a name is for people and for paths that they type. So
two nodes that claim one name do no harm: the one that holds it keeps it as long as it lives, and the other shows as
``web-1~ab12``. The name moves when its holder is no longer live; what counts as live is the caller's to say (it left,
it failed a directed probe, its address now proves another key).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gossipmesh.identity.record import MemberRecord
from gossipmesh.model import ID_BYTES, NodeId

SUFFIX_DIGITS: Final = 4
MARK: Final = "~"
"""Between a name and a suffix. It may not occur in a name, so no suffixed name can be claimed."""

NOBODY: Final[Mapping[str, NodeId]] = MappingProxyType({})


def display_names(
    records: Iterable[MemberRecord],
    is_live: Callable[[NodeId], bool],
    *,
    holders: Mapping[str, NodeId] = NOBODY,
) -> dict[NodeId, str]:
    """Give each record's id the name to show it under; no two ids get the same.

    Args:
        records: those held, at most one per id, in any order.
        is_live: whether a name's holder may keep it.
        holders: who showed under which plain name before (:func:`holders_of` the last answer). No signed field tells
            who came first, since every refresh is signed anew; without a memory the earlier signature counts as the
            older holder.
    """
    claimants: defaultdict[str, list[MemberRecord]] = defaultdict(list)
    for record in records:
        claimants[record.name].append(record)
    shown: dict[NodeId, str] = {}
    for name, claiming in claimants.items():
        held_by = holders.get(name)
        first = min(claiming, key=lambda r: (not is_live(r.id), r.id != held_by, r.issued_at, r.id))
        others = [record.id for record in claiming if record.id != first.id]
        shown[first.id] = name
        digits = _suffix_digits(others)
        shown.update((other, f"{name}{MARK}{other.hex()[:digits]}") for other in others)
    return shown


def _suffix_digits(ids: list[NodeId]) -> int:
    """Give how many hex digits tell ``ids`` apart: four, unless somebody looked for a key that shares them."""
    for digits in range(SUFFIX_DIGITS, 2 * ID_BYTES, SUFFIX_DIGITS):
        if len({node.hex()[:digits] for node in ids}) == len(ids):
            return digits
    return 2 * ID_BYTES


def holders_of(shown: Mapping[NodeId, str]) -> dict[str, NodeId]:
    """Give who holds each plain name, to hand to the next :func:`display_names`."""
    return {name: node for node, name in shown.items() if MARK not in name}

"""Whom a node remembers from one start to the next: the way back into its mesh when no seed answers.

The living are remembered with their newest chain and record, verified again at the next start. The dead are kept
too, as they last were: an outage, and a restart at the end of it, must not make a node forget everybody. Records older
than a day prove nothing any more, but their addresses are still worth a try.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.record import decode_record_untrusted
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.registry.sync import ChainLearned, Learned, RecordLearned

MAX_REMEMBERED: Final = 256
"""Members; the living go first."""


@frozen
class _Pair:
    chain: bytes
    record: bytes
    addresses: tuple[Address, ...]


class Remembered:
    """The members of the last run, and then those of this one.

    Args:
        raws: chains and records in turn, as the state directory kept them; what is no record is left out.
    """

    def __init__(self, raws: Sequence[bytes]) -> None:
        self._pairs: dict[NodeId, _Pair] = {}
        self._put(raws)

    def _put(self, raws: Sequence[bytes]) -> None:
        for chain, raw in zip(raws[::2], raws[1::2], strict=False):
            try:
                record = decode_record_untrusted(raw)
            except RemoteProtocolError:
                continue  # Written by another release: it only helps to find the mesh again.
            # Put last, so that whoever has not been seen for longest is in front.
            self._pairs.pop(record.id, None)
            self._pairs[record.id] = _Pair(chain, raw, record.addresses)

    @property
    def learned(self) -> tuple[Learned, ...]:
        """What the control plane may verify at its start."""
        learned: list[Learned] = []
        for pair in self._pairs.values():
            learned += [ChainLearned(pair.chain), RecordLearned(pair.record)]
        return tuple(learned)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where they all were."""
        return tuple(dict.fromkeys(address for pair in self._pairs.values() for address in pair.addresses))

    def update(self, mesh: Mesh) -> tuple[bytes, ...]:
        """Take in what ``mesh`` knows now, and give what to keep on disk: the last known come first."""
        self._put(mesh.known())
        for node in self._gone_for_good(mesh):
            self._pairs.pop(node, None)
        while len(self._pairs) > MAX_REMEMBERED:
            del self._pairs[next(iter(self._pairs))]
        return tuple(_flat(reversed(self._pairs.values())))

    @staticmethod
    def _gone_for_good(mesh: Mesh) -> list[NodeId]:
        return [member.id for member in mesh.members.values() if member.state is MemberState.LEFT]


def _flat(pairs: Iterable[_Pair]) -> Iterable[bytes]:
    for pair in pairs:
        yield pair.chain
        yield pair.record

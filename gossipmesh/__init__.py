"""A peer-to-peer service mesh without a control plane.

Traffic goes one way: bytes -> values -> decision -> effects. Pure packages decide, trio shells carry it out.

- values: ``errors``, ``model``, ``wire`` (msgpack with limits), ``crypto`` (each primitive once)
- pure, no IO, clock or dice: ``identity``, ``channel``, ``membership``, ``registry``, ``policy``, ``routing``, and
  ``mesh``, one node's control plane over them
- shells, everything that awaits: ``transport``, ``discovery``, ``proxy``, ``daemon``, ``cli``
- ``sim``: the same pure machines in a seeded world with virtual time

Imports go down only: cli > sim > daemon > config > proxy, discovery > transport > mesh > membership | registry |
policy | routing > identity, channel > wire, crypto, model, errors. ARCHITECTURE.md says why.
"""

from __future__ import annotations

__version__ = "0.2.0.dev0"

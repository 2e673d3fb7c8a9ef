"""A peer-to-peer service mesh without a control plane.

Traffic goes one way: bytes -> values -> decision -> effects. Pure packages decide, trio shells carry it out.

- values: ``errors``, ``model``, ``unchanging`` (the base of those that every request makes), ``wire`` (msgpack with
  limits), ``crypto`` (each primitive once)
- pure, no IO, clock or dice: ``identity``, ``channel``, ``membership``, ``registry``, ``policy``, ``routing``, and
  ``mesh``, one node's control plane over them
- shells, everything that awaits: ``transport``, ``discovery``, ``proxy``, ``daemon``, ``cli``
- ``sim``: the same pure machines in a seeded world with virtual time

Imports go down only: cli > sim > daemon > config > proxy, discovery > transport > mesh > membership | registry |
policy | routing > identity, channel > wire, crypto, model, unchanging, errors. ARCHITECTURE.md says why.
"""

from __future__ import annotations

from importlib.util import find_spec

__version__ = "0.2.0.dev0"


def is_compiled() -> bool:
    """Tell whether this is the build whose hot modules are machine code; docs/compiled.md says how it is made."""
    hot = find_spec("gossipmesh.wire")
    return hot is not None and not str(hot.origin).endswith(".py")


def release() -> str:
    """Give name, version and build, for people: ``gossipmesh 1.2.3, compiled``."""
    return f"gossipmesh {__version__}" + (", compiled" if is_compiled() else "")

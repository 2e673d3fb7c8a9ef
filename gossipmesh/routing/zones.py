"""Which share of the requests stays in the caller's zone, and where the others go."""

from __future__ import annotations

from collections.abc import Mapping


def zone_shares(local: str, *, capacity: Mapping[str, float], callers: Mapping[str, int]) -> dict[str, float]:
    """Give the share of its requests that a caller sends to each zone; what is given adds up to 1.

    The rule is Envoy's zone aware routing. If every caller sends as much as any other, a zone can take all of its own
    callers' requests while its share of the capacity is no less than its share of the callers. Where it is less, the
    zone takes what fits, and the rest goes to the zones that have more than their own callers need, in proportion to
    what they have left: so each endpoint gets as much as if there were no zones.

    Args:
        local: the caller's zone, or the empty string where it has none: then zones make no difference.
        capacity: what the eligible endpoints of each zone weigh together; some are above zero.
        callers: how many nodes send requests, by zone.
    """
    whole = sum(capacity.values())
    parts = {zone: weight / whole for zone, weight in capacity.items() if weight > 0}
    nodes = sum(callers.values())
    if not local or local not in parts or nodes <= 0:
        return parts
    wanted = callers.get(local, 0) / nodes
    if parts[local] >= wanted or len(parts) == 1:
        return {local: 1.0}
    stays = parts[local] / wanted
    spare = {
        zone: max(0.0, part - callers.get(zone, 0) / nodes) for zone, part in parts.items() if zone != local
    }
    left = sum(spare.values())
    if left <= 0.0:
        return parts
    shares = {zone: (1.0 - stays) * part / left for zone, part in spare.items() if part > 0}
    return {local: stays, **shares}

"""The numbers of the membership protocol, by profile."""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen


@frozen
class Parameters:
    """What a mesh agrees on about time and effort. All times in seconds.

    Every node of a mesh should run the same profile: a node with shorter periods than its peers takes their
    normal silence for trouble.
    """

    probe_period_s: float = 1.0
    """One direct probe per period. Detection time and idle load are proportional to it."""
    probe_timeout_min_s: float = 0.05
    """Never judge a peer faster than this, however short its round trips were."""
    probe_timeout_max_s: float = 0.5
    """Where the adaptive timeout starts; below half of the period."""
    indirect_probes: int = 3
    """How many members are asked to probe for us when a direct probe is not answered."""
    nack_share: float = 0.8
    """A helper that got no answer says so after this share of the probe timeout."""
    stream_probe: bool = True
    """Probe over TCP beside the indirect probes, for paths that drop UDP."""
    suspicion_alpha: float = 4.0
    """Least suspicion time = alpha * max(1, log10 N) * period (SWIM 4.2; Lifeguard 4.2)."""
    suspicion_max_factor: float = 6.0
    """Suspicion starts at this multiple of the least and falls with each further verified accuser."""
    suspicion_accusers: int = 3
    """Verified accusers, after the first one, that bring suspicion to its least: min(this, N-2), 15 at most."""
    gossip_period_s: float = 0.2
    """News goes out this often between probes; nothing is sent when there is no news."""
    gossip_targets: int = 3
    """Members a gossip tick sends to."""
    transmit_factor: int = 4
    """Each piece of news is sent transmit_factor * ceil(log10(N+1)) times."""
    transmit_least: int = 6
    """... and at least this often: with four sends each, a mesh of five missed news in 2 of 80 simulated restarts."""
    sync_period_s: float = 10.0
    """Unconditional anti-entropy with one random member, whatever N is."""
    sync_unequal_after_s: float = 2.0
    """Reconcile when a peer's root hash has differed from ours for this long."""
    sync_least_gap_s: float = 5.0
    """... but at most this often."""
    reconnect_min_s: float = 15.0
    """Try one random dead member and one seed, for ever, at a random time from this ..."""
    reconnect_max_s: float = 30.0
    """... to this; partitions heal by themselves."""
    keep_dead_s: float = 24 * 3600.0
    """How long a dead member is remembered, and tried again."""
    keep_left_s: float = 3600.0
    """How long a member that left is remembered."""
    max_dead: int = 4_096
    """Dead members remembered at most; the oldest go first."""


LAN: Final = Parameters()
PROFILES: Final[dict[str, Parameters]] = {
    "local": evolve(
        LAN,
        probe_period_s=0.5,
        probe_timeout_max_s=0.2,
        gossip_period_s=0.1,
        sync_period_s=5.0,
        sync_unequal_after_s=1.0,
        sync_least_gap_s=2.0,
        reconnect_min_s=2.0,
        reconnect_max_s=5.0,
    ),
    "lan": LAN,
    "wan": evolve(
        LAN,
        probe_period_s=5.0,
        probe_timeout_max_s=3.0,
        gossip_period_s=0.5,
        gossip_targets=4,
        sync_period_s=30.0,
        reconnect_min_s=30.0,
        reconnect_max_s=60.0,
    ),
}

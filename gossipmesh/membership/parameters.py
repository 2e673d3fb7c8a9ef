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
    probe_least_s: float = 0.4
    """A probe fails no sooner than this after its ping, but for a refused connection: TCP beside it needs the time."""
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
    awareness_max: int = 8
    """How far a node may doubt itself: its probe period and timeout grow up to 1 + this times (Lifeguard's LHM,
    section IV-A). 0 switches self-doubt off."""
    buddy: bool = True
    """Whoever talks to a suspect tells it so, that it may refute sooner (Lifeguard, section IV-C)."""
    own_evidence: bool = True
    """A death needs a failed probe of our own. Off, the time alone decides, as in plain SWIM: for comparisons in the
    simulator only, since any liar could then bury anybody."""
    routing_accusers: int = 2
    """So many verified accusers, of different tokens where there are several, take a member out of rotation until we
    reach it ourselves. Never fewer than 2 in earnest, however small the mesh; 1 is for the test that shows why."""
    suspicion_accusers: int = 3
    """Verified accusers, after the first one, that bring suspicion to its least: min(this, N-2), 15 at most."""
    refute_gap_s: float = 10.0
    """A node signs its record again for accusers at most this often, so that a liar cannot make it flood the mesh."""
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


def without_lifeguard(parameters: Parameters) -> Parameters:
    """Give plain SWIM with the same periods, for comparisons.

    No self-doubt, no buddies, one suspicion time for all, and no evidence is asked for at its end. Accusations are
    refuted at once: with time alone to decide, a member that had to wait for its next word would die of the wait.
    """
    return evolve(
        parameters,
        awareness_max=0,
        buddy=False,
        own_evidence=False,
        suspicion_max_factor=1.0,
        suspicion_accusers=0,
        refute_gap_s=0.0,
    )


LAN: Final = Parameters()
PROFILES: Final[dict[str, Parameters]] = {
    "local": evolve(
        LAN,
        probe_period_s=0.5,
        probe_timeout_max_s=0.2,
        probe_least_s=0.2,
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
        probe_least_s=2.0,
        gossip_period_s=0.5,
        gossip_targets=4,
        sync_period_s=30.0,
        reconnect_min_s=30.0,
        reconnect_max_s=60.0,
    ),
}

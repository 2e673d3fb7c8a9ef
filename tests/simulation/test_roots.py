"""A mesh that lives for thirty lives of its chains, and one whose root is replaced under it."""

from __future__ import annotations

from attrs import evolve

from gossipmesh import crypto
from gossipmesh.identity.bundle import successor
from gossipmesh.identity.chain import Capability, Caveats, join_chain
from gossipmesh.identity.token import Token, new_token
from gossipmesh.membership.parameters import LAN
from gossipmesh.model import MemberState, Service
from gossipmesh.sim.world import World

HOUR = 3600.0
DAY = 24 * HOUR
SLOWEST = evolve(
    LAN,
    probe_period_s=600.0,
    probe_timeout_max_s=3.0,
    gossip_period_s=60.0,
    sync_period_s=1_200.0,
    sync_unequal_after_s=60.0,
    sync_least_gap_s=60.0,
    reconnect_min_s=300.0,
    reconnect_max_s=600.0,
)
"""Long periods, for runs of weeks."""
LIFE = 1.5 * HOUR
ISSUING = (Capability.JOIN, Capability.ISSUE)


def hardened(seed: int, *, nodes: int = 3, life_s: float = LIFE) -> World:
    """Give two issuers with a token of a year, and nodes with one that soon ends."""
    world = World(seed, profile=SLOWEST, ttl_s=int(life_s))
    issuing = world.new_token(ttl_s=365 * int(DAY), caps=ISSUING)
    world.add("issuer-1", token=issuing)
    world.add("issuer-2", token=issuing, seeds=["issuer-1"])
    for number in range(nodes):
        world.add(f"n{number}", seeds=["issuer-1", "issuer-2"])
    world.run_until(world.complete, within=3_000)
    return world


def test_a_mesh_outlives_its_token_thirty_times_while_its_issuers_are_restarted() -> None:
    world = hardened(1, nodes=1)
    for life in range(30):
        # One issuer is down for half of each life, and so the other one has to renew them all.
        issuer = f"issuer-{life % 2 + 1}"
        world.crash(issuer)
        world.run(LIFE / 2)
        world.start(issuer)
        world.run(LIFE / 2)
    node = world.nodes["n0"]
    chain = node.running.chain
    assert world.wall < chain.grants.expires_at <= world.wall + LIFE + 600
    assert chain.grants.expires_at - chain.grants.not_before <= LIFE + 600
    assert not chain.grants.allows(Capability.ISSUE)
    assert node.told("chain.expiring") == 0
    assert len(chain.token_ids) <= 2
    world.run_until(world.complete, within=3_000)


def test_with_every_issuer_gone_a_node_is_warned_then_out_and_a_new_token_brings_it_back() -> None:
    world = hardened(2, nodes=1)
    for name in ("issuer-1", "issuer-2"):
        world.crash(name)
    world.run(0.75 * LIFE)
    node = world.nodes["n0"]
    assert node.told("chain.expiring") >= 1
    assert node.told("chain.expired") == 0
    world.run(0.5 * LIFE)
    assert node.told("chain.expired") >= 1
    world.start("issuer-1")
    world.run(LIFE)
    # An issuer that comes back does not renew what has expired: that would be no expiry.
    assert node.running.chain.grants.expired(world.wall)
    world.crash("n0")
    node.chain_raw = join_chain(world.new_token(ttl_s=int(LIFE)), node.key.seed, "n0")
    world.start("n0")
    world.run_until(lambda: world.believes("issuer-1", "n0") is MemberState.ALIVE, within=3_000)


def rotated_token(world: World, new_root: bytes, token: Token) -> Token:
    """Replace the mesh's root on the operator's disk, and give an issuer's token that tells of it."""
    first = token.bundles[0]
    both = successor(first, [*first.roots, crypto.signing_public(new_root)], world.root_seed)
    caveats = Caveats(int(world.wall) - 300, int(world.wall + 365 * DAY), caps=frozenset(ISSUING))
    return new_token(first, new_root, caveats, bytes_of, successors=[both])


def bytes_of(size: int) -> bytes:
    return b"\x2a" * size


def test_a_mesh_moves_onto_a_new_root_by_itself_and_a_sleeper_catches_up_in_the_handshake() -> None:
    world = hardened(3, life_s=10 * DAY)
    new_root = b"\x17" * 32
    token = rotated_token(world, new_root, world.token)
    newest = crypto.signing_public(new_root)
    world.crash("n2")
    # The operator starts one issuer with the new token: it keeps its key, and brings the bundle.
    world.crash("issuer-1")
    issuer = world.nodes["issuer-1"]
    issuer.chain_raw = join_chain(token, issuer.key.seed, "issuer-1")
    issuer.trust = token.trust()
    world.start("issuer-1")

    def moved(*names: str) -> bool:
        return all(world.nodes[name].running.chain.root == newest for name in names)

    world.run_until(lambda: moved("issuer-1", "issuer-2", "n0", "n1"), within=6 * HOUR)
    assert {world.nodes[name].running.trust.n for name in ("issuer-2", "n0", "n1")} == {1}
    # n2 slept through all of it. Its chain is good while both roots are listed; nobody else's is, in its eyes.
    world.start("n2")
    sleeper = world.nodes["n2"]
    assert sleeper.running.trust.n == 0
    world.run_until(lambda: moved("n2"), within=6 * HOUR)
    world.run_until(world.complete, within=HOUR)

    # And the old root goes, without anybody being lost.
    latest = issuer.running.trust.latest
    only = successor(latest, [newest], new_root, mesh_id=world.trust.mesh_id)
    world.perform(issuer, issuer.running.learn_bundles_untrusted([only.raw], now=world.now, wall=world.wall))
    world.run_until(lambda: all(node.running.trust.n == 2 for node in world.up), within=6 * HOUR)
    world.run(HOUR)
    assert world.complete()
    assert {len(node.running.registry) for node in world.up} == {5}


def test_what_still_hangs_on_a_root_that_is_dropped_is_out() -> None:
    world = hardened(4, life_s=10 * DAY)
    new_root = b"\x18" * 32
    token = rotated_token(world, new_root, world.token)
    both = token.bundles[1]
    only = successor(both, [crypto.signing_public(new_root)], new_root, mesh_id=world.trust.mesh_id)
    issuer = world.nodes["issuer-1"]
    world.crash("issuer-1")
    issuer.chain_raw = join_chain(token, issuer.key.seed, "issuer-1")
    issuer.trust = token.trust()
    world.start("issuer-1")
    world.perform(issuer, issuer.running.learn_bundles_untrusted([only.raw], now=world.now, wall=world.wall))
    assert set(issuer.running.registry.records) == {issuer.key.id}
    node = world.nodes["n0"]
    world.run(2 * HOUR)
    # They hear of it, and their chains prove nothing to anybody, themselves included.
    assert node.running.trust.n == 2
    assert node.key.id not in issuer.running.registry.records


def test_whoever_is_shut_out_with_its_root_is_a_member_of_nobody_and_hears_no_more_news() -> None:
    world = World(5)
    new_root = b"\x19" * 32
    newest = crypto.signing_public(new_root)
    first = world.token.bundles[0]
    both = successor(first, [*first.roots, newest], world.root_seed)
    only = successor(both, [newest], new_root, mesh_id=world.trust.mesh_id)
    caveats = Caveats(int(world.wall) - 300, int(world.wall + 365 * DAY), caps=frozenset([Capability.JOIN]))
    token = new_token(first, new_root, caveats, bytes_of, successors=[both])
    for name in ("a", "b"):
        world.add(name, token=token, seeds=["a"], start=False).trust = token.trust()
        world.start(name)
    world.add("c", seeds=["a"])
    world.run_until(world.complete, within=20)
    a, c = world.nodes["a"], world.nodes["c"]
    # It does not hear of what shuts it out but from those who do it.
    outputs = a.running.learn_bundles_untrusted([only.raw], now=world.now, wall=world.wall)
    world.perform(a, outputs)
    assert c.key.id not in a.running.members
    world.run_until(lambda: c.key.id not in world.nodes["b"].running.members, within=5)
    for node in (a, world.nodes["b"]):
        last = [change for _, change in node.changes if change.id == c.key.id][-1]
        assert (last.new, last.why) == (MemberState.DEAD, "the root that its chain hangs on was dropped")
    world.run_until(lambda: c.running.trust.n == 2, within=5)
    assert c.told("chain.root") == 1
    before = a.running.own.version
    a.running.set_services([Service("news", 8080)], now=world.now, wall=world.wall)
    world.run(30)
    assert a.running.own.version > before
    held = c.running.registry.lookup(a.key.id)
    assert held is None or held.version <= before
    assert a.running.agreement == 1
    assert all(c.key.id not in world.nodes[name].running.members for name in "ab")

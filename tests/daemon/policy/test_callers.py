"""Who a peer is to the policy."""

from __future__ import annotations

import os

import pytest

from gossipmesh import crypto
from gossipmesh.daemon.disk.root import make_root
from gossipmesh.daemon.policy.callers import Caller
from gossipmesh.identity.chain import VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.model import Address, Service

WALL = 1_800_000_000
ROOT = make_root(os.urandom, default_allow=True)
KEY = NodeKey.generate(os.urandom)


def chain(*globs: str, groups: tuple[str, ...] = ()) -> VerifiedChain:
    caveats = Caveats(WALL - 60, WALL + 3_600, services=globs, groups=groups)
    raw = join_chain(ROOT.mint(caveats, os.urandom), KEY.seed, "web-1")
    return verify_chain_untrusted(raw, ROOT.trust, wall=WALL)


def record(of: VerifiedChain, *services: str) -> MemberRecord:
    return sign_record(
        seed=KEY.seed,
        mesh_id=ROOT.trust.mesh_id,
        boot=1,
        incarnation=1,
        name="web-1",
        addresses=[Address("127.0.0.1", 7946)],
        dh_key=crypto.dh_public(bytes(range(32))),
        dh_generation=0,
        chain_hash=of.hash,
        issued_at=WALL,
        services=[Service(name, 80) for name in services],
    )


def test_it_speaks_as_what_its_record_declares_within_its_chain() -> None:
    shown = chain("w*", groups=("ops",))
    caller = Caller(record(shown, "web", "evil"), shown)
    web = caller.speaking_as("web")
    assert web is not None
    assert (web.node, web.services, web.groups) == (KEY.id, frozenset({"web"}), frozenset({"ops"}))
    assert caller.speaking_as("web") is web
    assert caller.speaking_as("evil") is None
    nobody = caller.speaking_as("")
    assert nobody is not None
    assert (nobody.service, nobody.services) == ("", web.services)


@pytest.mark.parametrize("known", [True, False])
def test_a_renewed_chain_counts_as_soon_as_the_record_names_it(known: bool) -> None:
    shown, renewed = chain("*", groups=("ops",)), chain("web")
    caller = Caller(record(renewed, "web", "cron"), shown, renewed if known else None)
    source = caller.speaking_as("")
    assert source is not None
    expected = (
        (frozenset({"web"}), frozenset()) if known else (frozenset({"web", "cron"}), frozenset({"ops"}))
    )
    assert (source.services, source.groups) == expected


def test_an_older_chain_that_is_still_known_changes_nothing() -> None:
    shown, former = chain("*"), chain("web")
    caller = Caller(record(shown, "web", "cron"), shown, former)
    assert caller.speaking_as("cron") is not None

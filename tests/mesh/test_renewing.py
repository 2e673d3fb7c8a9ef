"""Chains outlive tokens: who is asked, who may answer, and what is taken."""

from __future__ import annotations

import random
from collections.abc import Iterable
from types import MappingProxyType

import pytest
from attrs import evolve

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import Capability, Caveats, VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.identity.renewal import renew
from gossipmesh.identity.token import new_token
from gossipmesh.membership.members import Member
from gossipmesh.mesh.exchanges import Exchanges, Kind, decode_chain_untrusted, encode_plain, encode_refusal
from gossipmesh.mesh.outputs import ChainRenewed, Exchange, Level, Notice, Refused
from gossipmesh.mesh.renewing import RETRY_S, SPREAD_S, WARN_GAP_S, Renewing
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.registry.store import Registry

WALL = 1_800_000_000
DAY = 86_400
HALF, LATE = WALL + DAY // 2 + 60, WALL + DAY * 0.7
ROOT = NodeKey.from_seed(b"r" * 32)
TRUST = TrustStore(new_bundle([ROOT.id], default_allow=True))
NODE, ISSUER, SECOND = (NodeKey.from_seed(letter * 32) for letter in (b"n", b"i", b"s"))


def chain(
    key: NodeKey,
    name: str,
    *,
    days: int = 1,
    caps: Iterable[Capability] = (Capability.JOIN,),
    services: tuple[str, ...] = ("*",),
    groups: tuple[str, ...] = (),
) -> VerifiedChain:
    caveats = Caveats(
        WALL - 300, WALL + days * DAY, b"t" * 8, caps=frozenset(caps), services=services, groups=groups
    )
    token = new_token(TRUST.path[0], ROOT.seed, caveats, random.Random(key.id[0]).randbytes)
    return verify_chain_untrusted(join_chain(token, key.seed, name), TRUST, wall=WALL)


def issuer_chain(key: NodeKey = ISSUER, **limits: tuple[str, ...]) -> VerifiedChain:
    return chain(key, "issuer", days=365, caps=(Capability.JOIN, Capability.ISSUE), **limits)


def record_of(key: NodeKey, of: VerifiedChain) -> MemberRecord:
    return sign_record(
        seed=key.seed,
        mesh_id=TRUST.mesh_id,
        boot=1,
        incarnation=0,
        name=of.name,
        addresses=[Address(f"192.0.2.{key.id[0]}", 7946)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=of.hash,
        issued_at=WALL,
    )


class Asker:
    """A node that knows some issuers."""

    def __init__(
        self,
        *issuers: tuple[NodeKey, VerifiedChain],
        root_seed: bytes | None = None,
        trust: TrustStore = TRUST,
    ) -> None:
        registry, self.members = Registry(trust), dict[NodeId, Member]()
        for key, of in issuers:
            record = record_of(key, of)
            registry.offer_chain_untrusted(of.raw, wall=WALL)
            registry.offer_record_untrusted(record.signed.raw, source=key.id, wall=WALL)
            self.members[key.id] = Member(key.id, record, MemberState.ALIVE, 0.0)
        self.exchanges = Exchanges()
        self.chain = chain(NODE, "n1")
        self.machine = Renewing(trust, NODE, root_seed, registry, self.exchanges, rng=random.Random(1))

    def at(self, now: float, wall: float) -> tuple[VerifiedChain | None, list[object]]:
        renewed, outputs = self.machine.handle_timer(
            self.chain, MappingProxyType(self.members), now=now, wall=wall
        )
        return renewed, list(outputs)

    def asked(self, wall: float, minutes: int) -> list[tuple[float, Exchange]]:
        """Let minutes pass, in which every request fails; give the requests."""
        found = []
        for step in range(minutes * 6):
            for output in self.at(step * 10.0, wall)[1]:
                if isinstance(output, Exchange):
                    found.append((step * 10.0, output))
                    self.exchanges.end(output.number)
        return found


def peer(key: NodeKey, of: VerifiedChain) -> Peer:
    return Peer(key.id, of, record_of(key, of), 0)


def answerer(root_seed: bytes | None = None) -> Renewing:
    return Renewing(TRUST, ISSUER, root_seed, Registry(TRUST), Exchanges(), rng=random.Random(2))


# Asking.


def test_before_half_of_a_life_nobody_is_asked() -> None:
    assert Asker((ISSUER, issuer_chain())).asked(WALL + DAY * 0.4, 10) == []


def test_from_half_of_a_life_an_issuer_is_asked_about_once_a_minute() -> None:
    asker = Asker((ISSUER, issuer_chain()))
    asked = asker.asked(HALF, 20)
    assert {exchange.target for _, exchange in asked} == {ISSUER.id}
    assert decode_chain_untrusted(asked[0][1].request, Kind.RENEW) == asker.chain.raw
    # Those who joined together are due together: the first request comes at a random moment of a minute.
    assert asked[0][0] <= RETRY_S
    assert 17 <= len(asked) <= 22


def test_who_may_not_issue_is_not_asked() -> None:
    assert Asker((SECOND, chain(SECOND, "second", days=365))).asked(HALF, 10) == []


def test_an_issuer_that_cannot_help_does_not_keep_us_from_asking_another() -> None:
    asker = Asker((ISSUER, issuer_chain()), (SECOND, issuer_chain(SECOND, groups=("a" * 60, "b" * 60))))
    targets = [exchange.target for _, exchange in asker.asked(HALF, 4)]
    assert targets[:4] == [ISSUER.id, SECOND.id, ISSUER.id, SECOND.id]


def test_the_dead_are_not_asked() -> None:
    asker = Asker((ISSUER, issuer_chain()))
    asker.members[ISSUER.id] = evolve(asker.members[ISSUER.id], state=MemberState.DEAD)
    assert asker.asked(HALF, 5) == []


def test_two_thirds_through_a_person_is_told_once_an_hour() -> None:
    asker = Asker()
    told = []
    for now in range(0, int(2.5 * WARN_GAP_S), 30):
        told += [o.code for o in asker.at(now, LATE)[1] if isinstance(o, Notice)]
    assert told == ["chain.expiring"] * 3


def test_a_node_with_the_root_key_renews_itself() -> None:
    asker = Asker(root_seed=ROOT.seed)
    asker.at(0.0, HALF)
    renewed, outputs = asker.at(RETRY_S, HALF)
    assert renewed is not None
    assert (renewed.id, renewed.name, renewed.grants.caps) == (NODE.id, "n1", asker.chain.grants.caps)
    assert renewed.grants.expires_at > asker.chain.grants.expires_at
    assert outputs == [ChainRenewed(renewed.raw, renewed.grants.expires_at)]


# Answering.


def test_an_issuer_renews_the_chain_of_who_asks() -> None:
    old = chain(NODE, "n1")
    answer = answerer().answer_untrusted(
        peer(NODE, old), encode_plain(Kind.RENEW, old.raw), issuer_chain(), wall=HALF
    )
    renewed, outputs = Asker().machine.receive_answer_untrusted(ISSUER.id, answer, old, wall=HALF)
    assert renewed is not None
    assert renewed.grants.expires_at > old.grants.expires_at
    assert [type(output) for output in outputs] == [ChainRenewed]


def test_a_root_key_renews_others_too() -> None:
    old = chain(NODE, "n1")
    request = encode_plain(Kind.RENEW, old.raw)
    answer = answerer(ROOT.seed).answer_untrusted(
        peer(NODE, old), request, chain(ISSUER, "issuer"), wall=HALF
    )
    assert decode_chain_untrusted(answer, Kind.RENEWED)


@pytest.mark.parametrize(
    ("asker", "own", "code"),
    [
        (SECOND, issuer_chain(), "chain.owner"),
        (NODE, chain(ISSUER, "issuer"), "chain.capability"),
    ],
)
def test_what_may_not_be_granted_is_refused(asker: NodeKey, own: VerifiedChain, code: str) -> None:
    old = chain(NODE, "n1")
    request = encode_plain(Kind.RENEW, old.raw)
    with pytest.raises(RemoteProtocolError) as caught:
        answerer().answer_untrusted(peer(asker, chain(asker, "x")), request, own, wall=HALF)
    assert caught.value.code == code


# Taking.


def take(asker: Asker, raw: bytes, wall: float) -> tuple[VerifiedChain | None, list[object]]:
    renewed, outputs = asker.machine.receive_answer_untrusted(
        ISSUER.id, encode_plain(Kind.RENEWED, raw), asker.chain, wall=wall
    )
    return renewed, list(outputs)


def renewed_by(issuer: VerifiedChain, old: VerifiedChain, wall: float = HALF) -> bytes:
    return renew(issuer, ISSUER.seed, old, mesh_id=TRUST.mesh_id, wall=wall)


def test_a_chain_for_another_key_or_name_is_not_taken() -> None:
    asker = Asker()
    for other in (chain(SECOND, "n1", days=9), chain(NODE, "n2", days=9)):
        with pytest.raises(RemoteProtocolError) as caught:
            take(asker, other.raw, HALF)
        assert caught.value.code == "renewal.other"


def test_a_chain_that_lives_no_longer_changes_nothing() -> None:
    asker = Asker()
    assert take(asker, asker.chain.raw, HALF) == (None, [])


def test_a_narrower_chain_is_taken_only_when_time_runs_out_and_what_is_lost_is_said_by_name() -> None:
    issuer = issuer_chain(services=("web",), groups=("ops",))
    asker = Asker((ISSUER, issuer))
    asker.chain = chain(NODE, "n1", groups=("data", "ops"))
    narrow = renewed_by(issuer, asker.chain)
    renewed, outputs = take(asker, narrow, HALF)
    assert renewed is None
    notice, counted = outputs
    assert counted == Refused("renewal.narrower")
    assert isinstance(notice, Notice)
    assert (notice.level, notice.code) == (Level.WARNING, "renewal.narrower")
    assert notice.text.startswith("issuer (")
    assert "only without group data; services but web," in notice.text
    # It goes on being asked, and a person is told once.
    assert take(asker, narrow, HALF) == (None, [counted])
    renewed, (_, notice) = take(asker, narrow, LATE)
    assert renewed is not None
    assert not renewed.grants.allows_service("db")
    assert isinstance(notice, Notice)
    assert (notice.level, notice.code) == (Level.WARNING, "chain.narrowed")
    assert "without group data; services but web," in notice.text


def test_an_issuer_that_takes_nothing_from_us_is_asked_first_whatever_its_chain_weighs() -> None:
    heavy = issuer_chain(SECOND, groups=("data", "x" * 60))
    asker = Asker((ISSUER, issuer_chain()), (SECOND, heavy))
    asker.chain = chain(NODE, "n1", groups=("data",))
    assert next(exchange.target for _, exchange in asker.asked(HALF, 2)) == SECOND.id


def test_who_refuses_to_renew_us_is_named_with_the_reason_once_until_somebody_has_renewed_us() -> None:
    asker = Asker((ISSUER, issuer_chain()))
    why = "the peer refused: 'chain.name'"
    (notice,) = asker.machine.failed(ISSUER.id, why, refused=True)
    assert isinstance(notice, Notice)
    assert (notice.level, notice.code) == (Level.WARNING, "renewal.refused")
    assert notice.text.startswith("issuer (")
    assert notice.text.endswith(why)
    assert asker.machine.failed(ISSUER.id, why, refused=True) == []
    # One that is not there is no refusal.
    assert asker.machine.failed(SECOND.id, "no answer", refused=False) == []
    assert take(asker, renewed_by(issuer_chain(), asker.chain), HALF)[0] is not None
    assert len(asker.machine.failed(ISSUER.id, why, refused=True)) == 1


@pytest.mark.parametrize("answer", [b"", b"junk", encode_refusal("chain.capability"), b"\x92\x16\xc4\x01x"])
def test_any_other_answer_is_an_error_and_leaves_everything(answer: bytes) -> None:
    asker = Asker()
    with pytest.raises(RemoteProtocolError):
        asker.machine.receive_answer_untrusted(ISSUER.id, answer, asker.chain, wall=HALF)
    assert asker.asked(HALF, 3) == []


# Onto a new root.

NEW_ROOT = NodeKey.from_seed(b"R" * 32)


def with_both_roots() -> TrustStore:
    first = TRUST.path[0]
    return TrustStore(first, [successor(first, [ROOT.id, NEW_ROOT.id], ROOT.seed).raw])


def on_new_root(trust: TrustStore, key: NodeKey, name: str, *caps: Capability) -> VerifiedChain:
    caveats = Caveats(WALL - 300, WALL + 365 * DAY, b"t" * 8, caps=frozenset((Capability.JOIN, *caps)))
    token = new_token(trust.path[0], NEW_ROOT.seed, caveats, bytes_of, successors=trust.path[1:])
    return verify_chain_untrusted(join_chain(token, key.seed, name), trust, wall=WALL)


def bytes_of(size: int) -> bytes:
    return b"*" * size


def test_a_fresh_chain_on_an_older_root_is_renewed_by_an_issuer_on_the_newest_one() -> None:
    trust = with_both_roots()
    moved = on_new_root(trust, SECOND, "second", Capability.ISSUE)
    asker = Asker((ISSUER, issuer_chain()), (SECOND, moved), trust=trust)
    asked = asker.asked(WALL + 60, 4)
    # The one who moved comes first, and then the other too, in case.
    assert asked[0][1].target == SECOND.id
    fresh = renew(moved, SECOND.seed, asker.chain, mesh_id=trust.mesh_id, wall=WALL + 60)
    renewed, outputs = asker.machine.receive_answer_untrusted(
        SECOND.id, encode_plain(Kind.RENEWED, fresh), asker.chain, wall=WALL + 60
    )
    assert renewed is not None
    assert renewed.root == NEW_ROOT.id
    assert [type(output) for output in outputs] == [ChainRenewed]
    asker.chain = renewed
    assert asker.asked(WALL + 60, 4) == []


def test_a_renewal_that_stays_on_the_older_root_and_ends_no_later_changes_nothing() -> None:
    trust = with_both_roots()
    asker = Asker((ISSUER, issuer_chain()), trust=trust)
    fresh = renew(issuer_chain(), ISSUER.seed, asker.chain, mesh_id=trust.mesh_id, wall=WALL - 300)
    assert asker.machine.receive_answer_untrusted(
        SECOND.id, encode_plain(Kind.RENEWED, fresh), asker.chain, wall=WALL - 300
    ) == (None, [])


def test_a_root_key_that_was_replaced_renews_nothing_and_stops_nobody() -> None:
    trust = with_both_roots()
    trust.offer_successor_untrusted(
        successor(trust.latest, [NEW_ROOT.id], NEW_ROOT.seed, mesh_id=trust.mesh_id).raw
    )
    moved = on_new_root(trust, SECOND, "second", Capability.ISSUE)
    asker = Asker((SECOND, moved), trust=trust, root_seed=ROOT.seed)
    assert [exchange.target for _, exchange in asker.asked(HALF, 2)][:1] == [SECOND.id]


def test_a_node_that_keeps_the_newest_root_moves_by_itself_and_at_once() -> None:
    trust = with_both_roots()
    asker = Asker(trust=trust, root_seed=ROOT.seed)
    assert asker.at(0.0, WALL + 60) == (None, [])
    asker.machine.keep_root(NEW_ROOT.seed)
    renewed, _ = asker.at(1.0, WALL + 60)
    assert renewed is not None
    assert renewed.root == NEW_ROOT.id


def test_nobody_is_asked_for_a_chain_on_the_new_root_before_an_issuer_hangs_on_it() -> None:
    trust = with_both_roots()
    early = Asker((ISSUER, issuer_chain()), trust=trust)
    assert early.asked(WALL + 60, 2) == []
    moved = on_new_root(trust, SECOND, "second", Capability.ISSUE)
    asker = Asker((ISSUER, issuer_chain()), (SECOND, moved), trust=trust)
    asked = asker.asked(WALL + 60, 2)
    assert {exchange.target for _, exchange in asked} == {SECOND.id}
    # In a mesh of three that is at the next look, ten seconds later.
    assert asked[0][0] == 10.0 > SPREAD_S * 3


def test_a_chain_that_has_expired_is_said_at_once_whatever_was_said_before() -> None:
    asker = Asker()
    asker.at(0.0, LATE)
    told = [output.code for output in asker.at(RETRY_S, LATE)[1] if isinstance(output, Notice)]
    told += [
        output.code for output in asker.at(3 * RETRY_S, WALL + DAY + 121)[1] if isinstance(output, Notice)
    ]
    assert told == ["chain.expiring", "chain.expired"]

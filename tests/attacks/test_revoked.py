"""A stolen key that was revoked: every way back in, each of which leads in as long as nobody has revoked it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pytest

import members
from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.accusation import sign_accusation
from gossipmesh.identity.authority import Authority, check_authority
from gossipmesh.identity.chain import VerifiedChain, chain_hash, join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.grants import Capability, Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.identity.renewal import renew
from gossipmesh.identity.revocation import RevocationKind, sign_revocation
from gossipmesh.identity.token import new_token
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import AccusationNews, ChainNews, RecordNews
from gossipmesh.mesh import exchanges
from gossipmesh.mesh.exchanges import Kind
from gossipmesh.model import MemberState, NodeId, Serving
from gossipmesh.registry import sync_messages

WALL: Final = int(members.WALL)
BY_ROOT: Final = Authority(members.ROOT.seed)
STOLEN: Final = members.KEYS["mallory"]
ISSUER: Final = NodeKey.from_seed(b"i" * 32)
FOR_ALL: Final = Caveats(
    WALL - 300, WALL + 86_400, b"issuing-", caps=frozenset({Capability.ISSUE, Capability.JOIN})
)


def revoke(stage: members.Stage, kind: RevocationKind, target: bytes) -> None:
    raw = sign_revocation(
        kind,
        target,
        BY_ROOT,
        members.TRUST.mesh_id,
        reason="stolen",
        revoked_at=WALL,
        expires_at=WALL + 86_400,
    )
    assert stage.alice.offer_untrusted("revocation", raw, now=stage.now, wall=WALL)[0] == "taken"


def issuer() -> VerifiedChain:
    token = new_token(members.TRUST.path[0], members.ROOT.seed, FOR_ALL, random.Random(3).randbytes)
    return verify_chain_untrusted(join_chain(token, ISSUER.seed, "issuer"), members.TRUST, wall=WALL)


def renewed() -> VerifiedChain:
    """Give Mallory's chain as an issuer renews it: other bytes, another signature, the same key."""
    raw = renew(issuer(), ISSUER.seed, members.chain("mallory"), mesh_id=members.TRUST.mesh_id, wall=WALL)
    return verify_chain_untrusted(raw, members.TRUST, wall=WALL)


def record(chain: VerifiedChain, incarnation: int, serving: Serving = Serving.SERVING) -> MemberRecord:
    return sign_record(
        seed=STOLEN.seed,
        mesh_id=members.TRUST.mesh_id,
        boot=1,
        incarnation=incarnation,
        name="mallory",
        addresses=[members.ADDRESSES["mallory"]],
        dh_key=b"d" * 32,
        dh_generation=1,
        chain_hash=chain_hash(chain.raw),
        serving=serving,
        issued_at=WALL,
    )


# --- each way back in; each says whether it led in ---


def asks(stage: members.Stage, request: bytes, chain: VerifiedChain | None = None) -> bool:
    peer = stage.peer if chain is None else Peer(STOLEN.id, chain, record(chain, 9), 0)
    answer, _ = stage.alice.answer_untrusted(peer, request, now=stage.now, wall=WALL)
    refused = wire.unpack_untrusted(answer, code="t")
    assert isinstance(refused, list)
    return refused[:2] != [24, b"chain.revoked"]


def by_greeting(stage: members.Stage) -> bool:
    greeting = exchanges.Greeting(stage.mallory.chain.raw, stage.mallory.own.signed.raw, b"")
    return asks(stage, exchanges.encode_greeting(Kind.GREET, greeting))


def by_sync(stage: members.Stage) -> bool:
    return asks(stage, sync_messages.encode(sync_messages.DigestRequest(bytes(16))))


def by_renewal(stage: members.Stage) -> bool:
    return asks(stage, exchanges.encode_plain(Kind.RENEW, stage.mallory.chain.raw))


def by_a_renewed_chain(stage: members.Stage) -> bool:
    return shakes(stage, renewed()) and asks(
        stage, sync_messages.encode(sync_messages.DigestRequest(bytes(16))), renewed()
    )


def by_a_handshake(stage: members.Stage) -> bool:
    return shakes(stage, members.chain("mallory"))


def shakes(stage: members.Stage, chain: VerifiedChain) -> bool:
    try:
        stage.alice.charter.check_stands(chain)
    except TrustError as error:
        assert error.code == "chain.revoked"
        return False
    return True


def is_member(stage: members.Stage) -> bool:
    member = stage.alice.members.get(STOLEN.id)
    return member is not None and member.living


def shown_by_carol(stage: members.Stage, *parcels: sync_messages.Parcel) -> bool:
    """Let an honest member, who has not heard of it yet, pass on what Mallory signed."""
    carol = Peer(stage.carol.id, stage.carol.chain, stage.carol.own, 0)
    request = sync_messages.encode(sync_messages.ExchangeRequest((), parcels))
    stage.alice.answer_untrusted(carol, request, now=stage.now, wall=WALL)
    return is_member(stage)


def by_a_newer_record(stage: members.Stage) -> bool:
    chain = members.chain("mallory")
    return shown_by_carol(stage, sync_messages.Parcel(chain.raw, record(chain, 7).signed.raw))


def by_a_record_under_a_renewed_chain(stage: members.Stage) -> bool:
    chain = renewed()
    return shown_by_carol(stage, sync_messages.Parcel(chain.raw, record(chain, 8).signed.raw))


def by_an_older_record(stage: members.Stage) -> bool:
    return shown_by_carol(stage, sync_messages.Parcel(stage.mallory.chain.raw, stage.mallory.own.signed.raw))


def by_a_farewell_and_a_return(stage: members.Stage) -> bool:
    chain = members.chain("mallory")
    rows = [record(chain, 5, Serving.LEAVING), record(chain, 6)]
    return all([shown_by_carol(stage, sync_messages.Parcel(chain.raw, each.signed.raw)) for each in rows][1:])


def by_gossip(stage: members.Stage) -> bool:
    chain = members.chain("mallory")
    stage._seal(encode_messages([ChainNews(chain.raw), RecordNews(record(chain, 4).signed.raw)]))
    return is_member(stage)


def by_an_accusation(stage: members.Stage) -> bool:
    """Let her take Carol down with her: her word is passed on by the one whom it hurts."""
    word = sign_accusation(
        seed=STOLEN.seed,
        mesh_id=members.TRUST.mesh_id,
        subject=stage.carol.id,
        boot=stage.carol.own.version[0],
        incarnation=stage.carol.own.version[1],
        issued_at=WALL,
    )
    stage.carol._secrecy.learn(stage.alice.own)
    said = encode_messages([AccusationNews(word.signed.raw)])
    stage._hear(stage.carol._secrecy.seal(stage.alice.id, said), members.ADDRESSES["carol"])
    return stage.alice.members[stage.carol.id].state is MemberState.SUSPECT


WAYS: Final[list[Callable[[members.Stage], bool]]] = [
    by_a_handshake,
    by_greeting,
    by_sync,
    by_renewal,
    by_a_renewed_chain,
    by_a_newer_record,
    by_a_record_under_a_renewed_chain,
    by_an_older_record,
    by_a_farewell_and_a_return,
    by_gossip,
    by_an_accusation,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_key_that_is_revoked_has_no_way_back_in(way: Callable[[members.Stage], bool]) -> None:
    stage = members.Stage()
    revoke(stage, RevocationKind.NODE, STOLEN.id)
    assert not way(stage)
    assert STOLEN.id not in stage.alice.members
    assert stage.carol.id in stage.alice.members


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_without_the_revocation_each_of_these_ways_leads_in(way: Callable[[members.Stage], bool]) -> None:
    assert way(members.Stage())


def test_whoever_an_issuer_made_or_renewed_goes_with_it_and_nobody_else() -> None:
    stage = members.Stage()
    revoke(stage, RevocationKind.ISSUER, ISSUER.id)
    assert not shakes(stage, renewed())
    # Her own chain is not the issuer's work, and neither is the issuer's.
    assert shakes(stage, members.chain("mallory"))
    assert shakes(stage, issuer())


def test_a_token_that_is_revoked_admits_no_new_keys_however_it_was_narrowed() -> None:
    stage = members.Stage()
    revoke(stage, RevocationKind.TOKEN, b"issuing-")
    assert not shakes(stage, issuer())
    assert not shakes(stage, renewed())
    assert shakes(stage, members.chain("carol"))


# --- who may say it ---


def narrow(**caveats: Any) -> Authority:
    said = Caveats(WALL - 300, WALL + 86_400, b"revoking", caps=frozenset({Capability.REVOKE}), **caveats)
    token = new_token(members.TRUST.path[0], members.ROOT.seed, said, random.Random(4).randbytes)
    return Authority.of_token(token)


def revoked_by(authority: Authority, kind: RevocationKind, target: bytes, whom: VerifiedChain) -> bool:
    stage = members.Stage()
    raw = sign_revocation(
        kind, target, authority, members.TRUST.mesh_id, reason="", revoked_at=WALL, expires_at=WALL + 9_999
    )
    assert stage.alice.offer_untrusted("revocation", raw, now=0.0, wall=WALL)[0] == "taken"
    return stage.alice.charter.revocations.find(whom) is not None


@pytest.mark.parametrize(
    ("caveats", "reaches"),
    [
        ({}, True),
        ({"names": ("*",), "services": ("*",)}, True),
        ({"names": ("mall*",), "services": ("*",)}, True),
        ({"names": ("db-*",)}, False),
        ({"services": ("web*",)}, True),
        ({"services": ("db",)}, False),
        ({"names": ("mall*",), "services": ("db",)}, False),
    ],
)
@pytest.mark.parametrize("kind", [RevocationKind.NODE, RevocationKind.TOKEN])
def test_a_holder_inside_caveats_revokes_nobody_beyond_them(
    caveats: dict[str, tuple[str, ...]], reaches: bool, kind: RevocationKind
) -> None:
    """Lists that hold ``*`` are none: whoever has the whole width reaches nodes and tokens of any."""
    whom = members.chain("mallory")
    target = whom.id if kind is RevocationKind.NODE else b"token-id"
    assert revoked_by(narrow(**caveats), kind, target, whom) is reaches
    assert revoked_by(BY_ROOT, kind, target, whom)


def test_a_token_that_signs_is_reached_though_its_own_names_are_few() -> None:
    said = Caveats(
        WALL - 300, WALL + 86_400, b"signing-", caps=frozenset({Capability.POLICY}), names=("x-*",)
    )
    token = new_token(members.TRUST.path[0], members.ROOT.seed, said, random.Random(5).randbytes)
    stage = members.Stage()
    raw = sign_revocation(
        RevocationKind.TOKEN,
        b"signing-",
        narrow(names=("*",)),
        members.TRUST.mesh_id,
        reason="",
        revoked_at=WALL,
        expires_at=WALL + 9_999,
    )
    assert stage.alice.offer_untrusted("revocation", raw, now=0.0, wall=WALL)[0] == "taken"
    signer = check_authority(Authority.of_token(token), members.TRUST, Capability.POLICY, wall=WALL)
    assert stage.alice.charter.revocations.find(signer) is not None


FORGED: Final[dict[str, tuple[str, Authority, dict[str, int]]]] = {
    "by nobody": ("authority.root", Authority(b"e" * 32), {}),
    "by a member": ("authority.capability", members.mallory(), {}),
    "of tomorrow": ("authority.future", BY_ROOT, {"revoked_at": WALL + 86_400}),
    "long over": ("revocation.expired", BY_ROOT, {"expires_at": WALL - 86_400}),
    "from before its signer's time": ("authority.expired", narrow(), {"revoked_at": WALL - 86_400}),
    "from after its signer's time": ("authority.expired", narrow(), {"revoked_at": WALL + 2 * 86_400}),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_revocation_that_nobody_entitled_signed_revokes_nobody(what: str) -> None:
    code, authority, said = FORGED[what]
    stage = members.Stage()
    times = {"revoked_at": WALL, "expires_at": WALL + 9 * 86_400} | said
    late = WALL + 2 * 86_400 if times["revoked_at"] > WALL + 86_400 else WALL
    raw = sign_revocation(
        RevocationKind.NODE, stage.carol.id, authority, members.TRUST.mesh_id, reason="", **times
    )
    with pytest.raises(RemoteProtocolError) as caught:
        stage.alice.charter.offer_revocation_untrusted(raw, wall=late)
    assert caught.value.code == code
    assert stage.alice.charter.digest == b""
    # The same of another mesh is nobody's here, though its root is ours.
    foreign = sign_revocation(
        RevocationKind.NODE,
        NodeId(stage.carol.id),
        BY_ROOT,
        bytes(32),
        reason="",
        revoked_at=WALL,
        expires_at=WALL + 9,
    )
    with pytest.raises(RemoteProtocolError):
        stage.alice.charter.offer_revocation_untrusted(foreign, wall=WALL)

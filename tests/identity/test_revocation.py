"""Revocations: what an entry may say, who may say it, and whom it hits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.authority import Authority
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Capability, Caveats, VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.renewal import renew
from gossipmesh.identity.revocation import (
    MAX_REASON,
    MAX_SPARED,
    Revocation,
    RevocationKind,
    sign_revocation,
    verify_revocation_untrusted,
)
from gossipmesh.identity.token import Token, narrow, new_token
from gossipmesh.model import NodeId

START, END = 1_000_000, 2_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TRUST = TrustStore(BUNDLE)
ENTROPY = random.Random(7).randbytes
BY_ROOT = Authority(ROOT.seed)
REVOKE = frozenset({Capability.JOIN, Capability.REVOKE})


def token(token_id: bytes = b"12345678", **caveats: object) -> Token:
    caveats.setdefault("caps", frozenset({Capability.JOIN, Capability.ISSUE}))
    return new_token(BUNDLE, ROOT.seed, Caveats(START, END, token_id=token_id, **caveats), ENTROPY)  # type: ignore[arg-type]


def chain(made: Token, name: str) -> VerifiedChain:
    key = NodeKey.from_seed(name.encode().ljust(32, b"-"))
    return verify_chain_untrusted(join_chain(made, key.seed, name), TRUST, wall=START)


def revoke(
    kind: RevocationKind, target: bytes, authority: Authority = BY_ROOT, at: int = START, **said: object
) -> Revocation:
    said.setdefault("reason", "stolen")
    raw = sign_revocation(
        kind,
        target,
        authority,
        TRUST.mesh_id,
        revoked_at=at,
        expires_at=END,
        **said,  # type: ignore[arg-type]
    )
    return verify_revocation_untrusted(raw, TRUST, wall=START)


WEB = chain(token(), "web-1")
DB = chain(token(b"87654321"), "db-1")


def test_a_nodes_entry_hits_its_key_and_a_tokens_every_chain_that_carries_it() -> None:
    node = revoke(RevocationKind.NODE, WEB.id)
    assert (node.names(WEB), node.names(DB)) == (True, False)
    assert str(node) == f"node {WEB.id.hex()[:16]} by root: stolen"
    of_token = revoke(RevocationKind.TOKEN, b"12345678")
    assert of_token.names(chain(narrow(token(), Caveats(START, END), ENTROPY), "web-2"))
    assert (of_token.names(WEB), of_token.names(DB)) == (True, False)


def test_spared_ids_keep_their_place_though_their_token_goes() -> None:
    entry = revoke(RevocationKind.TOKEN, b"12345678", spared=[WEB.id])
    assert not entry.names(WEB)
    assert entry.names(chain(token(), "web-2"))


def test_no_renewal_escapes_an_entry() -> None:
    issuer = chain(token(b"issuers-"), "issuer")
    seed = b"issuer".ljust(32, b"-")
    renewed = verify_chain_untrusted(
        renew(issuer, seed, WEB, mesh_id=TRUST.mesh_id, wall=START), TRUST, wall=START
    )
    assert revoke(RevocationKind.TOKEN, b"12345678").names(renewed)
    assert revoke(RevocationKind.NODE, WEB.id).names(renewed)
    of_issuer = revoke(RevocationKind.ISSUER, issuer.id)
    assert (of_issuer.names(renewed), of_issuer.names(WEB), of_issuer.names(issuer)) == (True, False, False)


def test_who_has_the_capability_inside_caveats_revokes_whom_he_could_have_admitted() -> None:
    named = Authority.of_token(token(b"revoker-", caps=REVOKE, names=("web-*",)))
    assert revoke(RevocationKind.NODE, WEB.id, named).names(WEB)
    assert not revoke(RevocationKind.NODE, DB.id, named).names(DB)
    served = Authority.of_token(token(b"revoker-", caps=REVOKE, services=("web",)))
    assert not revoke(RevocationKind.NODE, WEB.id, served).names(WEB)
    inside = chain(token(services=("web",)), "web-3")
    assert revoke(RevocationKind.NODE, inside.id, served).names(inside)


def test_a_holder_inside_names_cannot_revoke_a_token_that_signs_and_nobody_a_root() -> None:
    signer = revoke(RevocationKind.NODE, WEB.id, Authority.of_token(token(b"signers-", caps=REVOKE))).signer
    free = Authority.of_token(token(b"revoker-", caps=REVOKE))
    named = Authority.of_token(token(b"revoker-", caps=REVOKE, names=("web-*",)))
    assert revoke(RevocationKind.TOKEN, b"signers-", free).names(signer)
    assert not revoke(RevocationKind.TOKEN, b"signers-", named).names(signer)
    assert not revoke(RevocationKind.NODE, ROOT.id).names(revoke(RevocationKind.NODE, WEB.id).signer)


def test_without_the_capability_nobody_revokes_and_only_roots_void() -> None:
    def code(**how: object) -> str:
        with pytest.raises(RemoteProtocolError) as caught:
            revoke(RevocationKind.NODE, WEB.id, **how)  # type: ignore[arg-type]
        return caught.value.code

    assert code(authority=Authority.of_token(token())) == "authority.capability"
    assert code(authority=Authority.of_token(token(caps=REVOKE)), voids=True) == "revocation.voids"
    assert code(at=START + 121) == "authority.future"
    assert revoke(RevocationKind.NODE, WEB.id, voids=True).voids


def test_an_entry_ends_when_its_target_would_have() -> None:
    entry = revoke(RevocationKind.NODE, WEB.id)
    assert not entry.expired(END + 120)
    assert entry.expired(END + 121)
    with pytest.raises(RemoteProtocolError) as caught:
        verify_revocation_untrusted(entry.raw, TRUST, wall=END + 121)
    assert caught.value.code == "revocation.expired"


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        (RevocationKind.NODE, b"12345678", {}),
        (RevocationKind.TOKEN, WEB.id, {}),
        (RevocationKind.NODE, WEB.id, {"reason": "x" * (MAX_REASON + 1)}),
        (RevocationKind.NODE, WEB.id, {"reason": "a\nline"}),
        (RevocationKind.NODE, WEB.id, {"reason": "\u202e"}),
        (RevocationKind.NODE, WEB.id, {"spared": [DB.id]}),
        (RevocationKind.TOKEN, b"12345678", {"spared": [DB.id, DB.id]}),
        (
            RevocationKind.TOKEN,
            b"12345678",
            {"spared": [NodeId(bytes([n] * 32)) for n in range(MAX_SPARED + 1)]},
        ),
    ],
)
def test_what_every_node_would_refuse_is_not_signed(
    kind: RevocationKind, target: bytes, said: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="a revocation cannot say this"):
        revoke(kind, target, **said)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_one_class_of_error(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        verify_revocation_untrusted(raw, TRUST, wall=START)


def test_every_cut_and_flipped_bit_is_refused() -> None:
    raw = revoke(
        RevocationKind.TOKEN, b"12345678", Authority.of_token(token(caps=REVOKE)), spared=[WEB.id]
    ).raw
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << place % 8
        for bad in (raw[:place], bytes(flipped)):
            with pytest.raises(RemoteProtocolError):
                verify_revocation_untrusted(bad, TRUST, wall=START)

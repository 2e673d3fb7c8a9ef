"""Policies and bundles that should not be: forged, of the past, too large, of a thief, of a root that was replaced."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from gossipmesh.channel.knock import payload_of
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import SecureChannel
from gossipmesh.config.policy_text import read_policy
from gossipmesh.crypto import KEY
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.bundle import BUNDLE_LABEL, TrustStore, new_bundle, successor
from gossipmesh.identity.chain import join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import decode_hello_untrusted, encode_hello
from gossipmesh.identity.grants import Capability, Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.revocation import RevocationKind, sign_revocation
from gossipmesh.identity.signed import seal
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.charter import MAX_HISTORY, Charter
from gossipmesh.mesh.outputs import Notice, PolicyChanged
from gossipmesh.policy.document import MAX_TEXT, POLICY_LABEL, new_document

WALL: Final = 1_700_000_000
ROOT, NEXT, NODE = (NodeKey.from_seed(letter * 32) for letter in (b"r", b"n", b"m"))
BUNDLE: Final = new_bundle([ROOT.id], default_allow=True)
BOTH: Final = successor(BUNDLE, [ROOT.id, NEXT.id], ROOT.seed)
ALONE: Final = successor(BOTH, [NEXT.id], NEXT.seed, mesh_id=BUNDLE.hash)
BY_ROOT, BY_NEXT = Authority(ROOT.seed), Authority(NEXT.seed)
ALLOW, DENY = 'default = "allow"\n', 'default = "deny"\n'


def token(root: NodeKey = ROOT, token_id: bytes = b"signing-", **said: Any) -> Any:
    caveats = {"caps": frozenset({Capability.POLICY, Capability.JOIN})} | said
    return new_token(
        BUNDLE, root.seed, Caveats(WALL - 300, WALL + 86_400, token_id, **caveats), random.Random(6).randbytes
    )


BY_TOKEN: Final = Authority.of_token(token())


def policy(
    version: int, text: str = ALLOW, by: Authority = BY_ROOT, *, mesh: bytes = BUNDLE.hash, at: int = WALL
) -> bytes:
    return sign_as_authority(POLICY_LABEL, new_document(version, text, signed_at=at).body, by, mesh)


def revocation(by: Authority = BY_ROOT) -> bytes:
    return sign_revocation(
        RevocationKind.TOKEN, b"signing-", by, BUNDLE.hash, reason="", revoked_at=WALL, expires_at=WALL + 9
    )


def charter(*bundles: bytes) -> Charter:
    return Charter(TrustStore(BUNDLE, bundles), read_policy)


def in_force(held: Charter) -> tuple[int, str]:
    return (0, "") if held.policy is None else (held.policy.document.version, held.policy.document.text)


def refusal(held: Charter, kind: str, raw: bytes, *, wall: int = WALL) -> str:
    before = held.digest, held.kept()
    with pytest.raises((RemoteProtocolError, ConfigError)) as caught:
        held.offer_untrusted(kind, raw, wall=wall)
    assert (held.digest, held.kept()) == before
    return caught.value.code


def oversized() -> bytes:
    """Give a document of one byte too much; no honest tool makes one."""
    body = new_document(2, "#" * MAX_TEXT, signed_at=WALL).body
    return sign_as_authority(POLICY_LABEL, body.replace(b"#" * 9, b"#" * 10), BY_ROOT, BUNDLE.hash)


BAD: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "of a stranger": ("authority.root", lambda: policy(2, by=Authority(b"e" * 32))),
    "of another mesh": ("authority.root", lambda: policy(2, mesh=bytes(32))),
    "of a token that only admits": (
        "authority.capability",
        lambda: policy(2, by=Authority.of_token(token(caps=frozenset({Capability.JOIN})))),
    ),
    "of a node with another's row": (
        "authority.signature",
        lambda: policy(2, by=Authority(NODE.seed, BY_TOKEN.chain)),
    ),
    "of before its signer's time": ("authority.expired", lambda: policy(2, by=BY_TOKEN, at=WALL - 86_400)),
    "of tomorrow": ("authority.future", lambda: policy(2, at=WALL + 86_400)),
    "of one byte too much": ("policy.malformed", oversized),
    "that is half a policy": ("config.file", lambda: policy(2, DENY + "[[rule]\n")),
    "that has an unknown key": ("config.unknown-key", lambda: policy(2, DENY + "defualt = 1\n")),
}


@pytest.mark.parametrize("what", BAD)
def test_a_policy_that_is_not_right_changes_nothing_at_all(what: str) -> None:
    code, make = BAD[what]
    held = charter()
    held.offer_untrusted("policy", policy(1, DENY), wall=WALL)
    assert refusal(held, "policy", make()) == code
    assert in_force(held) == (1, DENY)
    # The control: the same by whom it should be signed is in force at once.
    held.offer_untrusted("policy", policy(2), wall=WALL)
    assert in_force(held) == (2, ALLOW)


def test_a_version_that_goes_back_or_is_replayed_after_a_restart_changes_nothing() -> None:
    first, second, third = (
        policy(number, text) for number, text in ((1, ALLOW), (2, DENY), (3, DENY + "#\n"))
    )
    held = charter()
    for raw in (first, second, third):
        held.offer_untrusted("policy", raw, wall=WALL)
    restarted = charter()
    restarted.restore(*held.kept(), wall=WALL)
    for node in (held, restarted):
        for raw in (first, second):
            assert node.offer_untrusted("policy", raw, wall=WALL) == []
            assert in_force(node)[0] == 3
    # The control: one that has lost its disk believes the first that it is shown, until it is shown the newest.
    forgetful = charter()
    forgetful.offer_untrusted("policy", first, wall=WALL)
    assert in_force(forgetful) == (1, ALLOW)
    assert forgetful.lacks(held.holding())


def test_a_second_document_of_one_version_wins_nothing_by_coming_later() -> None:
    raws = sorted((policy(5, f"{DENY}# {n}\n") for n in range(4)), key=_hash)
    for order in (raws, raws[::-1], raws[2:] + raws[:2]):
        held = charter()
        said = [each for raw in order for each in held.offer_untrusted("policy", raw, wall=WALL)]
        assert held.policy is not None
        assert held.policy.raw == raws[0]
        assert [each.code for each in said if isinstance(each, Notice)] == ["policy.conflict"] * 3


def _hash(raw: bytes) -> bytes:
    held = charter()
    held.offer_untrusted("policy", raw, wall=WALL)
    assert held.policy is not None
    return held.policy.document.hash


def thief(held: Charter) -> None:
    """Let whoever has the token sign as many documents as are remembered, each above all others."""
    for number in range(MAX_HISTORY + 3):
        held.offer_untrusted("policy", policy(1_000 + number, by=BY_TOKEN), wall=WALL)
    assert in_force(held)[0] == 1_000 + MAX_HISTORY + 2


def test_what_a_thief_of_a_policy_token_signed_falls_with_it_and_what_was_before_is_in_force_again() -> None:
    held = charter()
    held.offer_untrusted("policy", policy(1, DENY), wall=WALL)
    thief(held)
    said = held.offer_untrusted("revocation", revocation(), wall=WALL)
    assert any(isinstance(each, PolicyChanged) for each in said)
    assert in_force(held) == (1, DENY)
    assert refusal(held, "policy", policy(9_999, by=BY_TOKEN)) == "policy.revoked"
    # ... nor what it dated back to before it was revoked, or narrowed its token for.
    assert refusal(held, "policy", policy(9_999, by=BY_TOKEN, at=WALL - 200)) == "policy.revoked"


def test_without_a_share_for_each_token_the_thief_would_push_out_what_was_before() -> None:
    """A root has no share but all the room: so whoever takes all of it pushes out whatever is lower."""
    held = charter()
    held.offer_untrusted("policy", policy(1, DENY, by=BY_TOKEN), wall=WALL)
    for number in range(MAX_HISTORY):
        held.offer_untrusted("policy", policy(1_000 + number), wall=WALL)
    assert 1 not in [each.document.version for each in held.history]


def test_what_is_remembered_does_not_depend_on_the_order_it_came_in() -> None:
    raws = [policy(number, by=BY_TOKEN) for number in range(1, 13)]
    raws += [policy(number, DENY) for number in range(5, 45)]
    kept = set()
    for seed in range(5):
        held = charter()
        for raw in random.Random(seed).sample(raws, len(raws)):
            held.offer_untrusted("policy", raw, wall=WALL)
        kept.add(held.kept()[1])
    assert len(kept) == 1


# --- roots and bundles ---


def test_a_root_that_was_replaced_signs_nothing_any_more() -> None:
    held = charter(BOTH.raw, ALONE.raw)
    old_token = token(ROOT)
    assert refusal(held, "policy", policy(1)) == "authority.root"
    assert refusal(held, "policy", policy(1, by=Authority.of_token(old_token))) == "chain.root"
    assert refusal(held, "revocation", revocation()) == "authority.root"
    again = successor(BOTH, [ROOT.id], ROOT.seed, mesh_id=BUNDLE.hash)
    assert refusal(held, "bundle", again.raw) == "bundle.conflict"
    follows = successor(ALONE, [NEXT.id, ROOT.id], NEXT.seed, mesh_id=BUNDLE.hash)
    forged = sign_like(follows, ROOT)
    assert refusal(held, "bundle", forged) == "bundle.signature"
    chain = join_chain(old_token, NODE.seed, "web-1")
    with pytest.raises(TrustError) as caught:
        verify_chain_untrusted(chain, TrustStore(BUNDLE, [BOTH.raw, ALONE.raw]), wall=WALL)
    assert caught.value.code == "chain.root"


def sign_like(bundle: Any, key: NodeKey) -> bytes:
    return seal(BUNDLE_LABEL, BUNDLE.hash, bundle.signed.body, key.seed).raw


def test_while_it_stood_all_of_that_was_taken() -> None:
    held = charter(BOTH.raw)
    chain = verify_chain_untrusted(join_chain(token(ROOT), NODE.seed, "web-1"), TrustStore(BUNDLE), wall=WALL)
    held.check_stands(chain)
    for kind, raw in (("policy", policy(1)), ("policy", policy(2, by=BY_TOKEN)), ("bundle", ALONE.raw)):
        assert held.offer_untrusted(kind, raw, wall=WALL)
    # What it proved to us in a handshake before it fell is looked at again, and proves nothing any more.
    with pytest.raises(TrustError) as caught:
        held.check_stands(chain)
    assert caught.value.code == "chain.root"
    assert in_force(held)[0] == 2


def test_a_fork_of_the_bundles_is_an_alarm_and_moves_nobody() -> None:
    mine = successor(BUNDLE, [ROOT.id, NODE.id], ROOT.seed)
    ours, theirs = charter(BOTH.raw), charter(mine.raw)
    for _ in range(3):
        said = ours.take_untrusted(theirs.answer(ours.holding()), wall=WALL)
    assert refusal(ours, "bundle", mine.raw) == "bundle.conflict"
    assert ours.holding().bundle_n == 1
    assert ours.offer_untrusted("policy", policy(1, by=BY_NEXT), wall=WALL)
    assert [type(each) for each in said] == []


def hello_of(believed: dict[str, int], *, change: bool) -> str:
    """Let somebody in the middle say another bundle number than Alice did, with the right mac; give what follows."""
    heard: list[int] = []

    def show(hello: bytes) -> bytes:
        heard.append(decode_hello_untrusted(hello))
        return b"credentials"

    alice, bob = (
        SecureChannel(
            role,
            mesh_id=BUNDLE.hash,
            static_private=bytes([number]) * KEY,
            ephemeral_private=bytes([number + 2]) * KEY,
            credentials=credentials,
            authenticate=lambda shown, _: shown,
            hello=hello,
        )
        for number, role, credentials, hello in (
            (1, Role.INITIATOR, b"credentials", encode_hello(0)),
            (2, Role.RESPONDER, show, b""),
        )
    )
    sent = alice.bytes_to_send()
    if change:
        ephemeral = sent[2 : 2 + KEY]
        forged = ephemeral + payload_of(encode_hello(9), ephemeral, BUNDLE.hash)
        sent = len(forged).to_bytes(2, "big") + forged
    bob.receive_bytes_untrusted(sent)
    believed["bob"] = heard[0]
    try:
        alice.receive_bytes_untrusted(bob.bytes_to_send())
    except RemoteProtocolError as error:
        return error.code
    return "done"


def test_whoever_changes_the_bundle_number_of_a_knock_ends_the_handshake() -> None:
    """Told that Alice knows the newest roots, Bob would not show them, and she would go on with the old ones."""
    believed: dict[str, int] = {}
    assert hello_of(believed, change=True) == "channel.handshake"
    assert believed == {"bob": 9}
    assert hello_of(believed, change=False) == "done"
    assert believed == {"bob": 0}

"""What is signed for the whole mesh, as one node holds it: what is taken, what is in force, and what is told."""

from __future__ import annotations

import random

import pytest

from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.authority import Authority, sign_as_authority, split_untrusted
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import Capability, Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.revocation import RevocationKind, sign_revocation
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.charter import MAX_HISTORY, Charter
from gossipmesh.mesh.outputs import BundlesChanged, Notice, PolicyChanged, RevocationsChanged
from gossipmesh.policy.document import POLICY_LABEL, new_document

WALL = 1_000_000
ROOT, ROOT2 = NodeKey.from_seed(b"r" * 32), NodeKey.from_seed(b"s" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
BY_ROOT = Authority(ROOT.seed)
TOKEN = new_token(
    BUNDLE,
    ROOT.seed,
    Caveats(WALL, 2 * WALL, token_id=b"12345678", caps=frozenset({Capability.POLICY})),
    random.Random(7).randbytes,
)
BY_TOKEN = Authority.of_token(TOKEN)


def check(text: str) -> None:
    if text == "bad":
        raise ConfigError("config.value", "policy:1: this is bad")


def charter(*bundles: bytes) -> Charter:
    return Charter(TrustStore(BUNDLE, bundles), check)


def policy(version: int, text: str = "", authority: Authority = BY_ROOT) -> bytes:
    return sign_as_authority(
        POLICY_LABEL, new_document(version, text, signed_at=WALL).body, authority, BUNDLE.hash
    )


def revocation(
    target: bytes = b"12345678", authority: Authority = BY_ROOT, expires_at: int = 2 * WALL
) -> bytes:
    kind = RevocationKind.TOKEN if len(target) == 8 else RevocationKind.NODE
    return sign_revocation(
        kind, target, authority, BUNDLE.hash, reason="", revoked_at=WALL, expires_at=expires_at
    )


def version(held: Charter) -> int:
    return 0 if held.policy is None else held.policy.document.version


def test_a_fresh_charter_has_no_digest_and_lacks_nothing_of_another_fresh_one() -> None:
    one, other = charter(), charter()
    assert one.digest == b""
    assert not one.lacks(other.holding())
    assert one.kept() == ((), (), ())


def test_versions_rise_and_never_fall_in_any_order() -> None:
    one, other = charter(), charter()
    raws = [policy(1), policy(3), policy(2)]
    for raw in raws:
        one.offer_policy_untrusted(raw, wall=WALL)
    for raw in reversed(raws):
        other.offer_policy_untrusted(raw, wall=WALL)
    assert (version(one), version(other)) == (3, 3)
    assert one.digest == other.digest
    assert one.offer_policy_untrusted(raws[1], wall=WALL) == []


def test_of_one_version_the_lower_hash_is_in_force_with_an_alarm_in_any_order() -> None:
    raws = [policy(4, "one"), policy(4, "other")]
    found = []
    for order in (raws, raws[::-1]):
        held = charter()
        said = [each for raw in order for each in held.offer_policy_untrusted(raw, wall=WALL)]
        assert [each.code for each in said if isinstance(each, Notice)] == ["policy.conflict"]
        assert held.policy is not None
        found.append(held.policy.document.hash)
    assert found[0] == found[1] == min(new_document(4, t, signed_at=WALL).hash for t in ("one", "other"))


def test_a_document_that_is_not_valid_is_refused_whole_and_remembered_and_the_last_good_one_stays() -> None:
    held = charter()
    held.offer_policy_untrusted(policy(1, "good"), wall=WALL)
    digest = held.digest
    with pytest.raises(ConfigError, match="policy:1: this is bad"):
        held.offer_policy_untrusted(policy(2, "bad"), wall=WALL)
    with pytest.raises(TrustError, match="version 2 is not valid here: policy:1: this is bad"):
        held.offer_policy_untrusted(policy(2, "bad"), wall=WALL)
    assert (version(held), held.digest) == (1, digest)
    assert held.refused == ("policy version 2 is not valid here: policy:1: this is bad",)
    # So it is asked for no more, and sent no more to whoever refused it.
    other = Charter(TrustStore(BUNDLE), lambda _: None)
    other.offer_policy_untrusted(policy(2, "bad"), wall=WALL)
    assert not held.lacks(other.holding())
    assert other.answer(held.holding()).policy == b""


def test_what_nobody_entitled_signed_changes_nothing() -> None:
    held = charter()
    for raw in (policy(1, authority=Authority(ROOT2.seed)), b"", b"junk", policy(1)[:-1]):
        with pytest.raises(RemoteProtocolError):
            held.offer_policy_untrusted(raw, wall=WALL)
    with pytest.raises(RemoteProtocolError):
        held.offer_revocation_untrusted(revocation(authority=BY_TOKEN), wall=WALL)
    with pytest.raises(RemoteProtocolError, match="no kind"):
        held.offer_untrusted("nonsense", b"", wall=WALL)
    assert held.digest == b""


def test_a_policy_falls_with_its_signer_whatever_came_first() -> None:
    good, bad, word = policy(1), policy(9, authority=BY_TOKEN), revocation()
    one, other = charter(), charter()
    for raw in (good, bad):
        one.offer_untrusted("policy", raw, wall=WALL)
    assert version(one) == 9
    said = one.offer_untrusted("revocation", word, wall=WALL)
    assert [type(each) for each in said] == [RevocationsChanged, PolicyChanged, Notice]
    other.offer_untrusted("revocation", word, wall=WALL)
    other.offer_untrusted("policy", good, wall=WALL)
    with pytest.raises(TrustError) as caught:
        other.offer_untrusted("policy", bad, wall=WALL)
    assert caught.value.code == "policy.revoked"
    assert version(one) == version(other) == 1
    assert one.digest == other.digest


def test_where_nothing_is_left_the_default_of_the_mesh_is_in_force() -> None:
    held = charter()
    held.offer_untrusted("policy", policy(9, authority=BY_TOKEN), wall=WALL)
    said = held.offer_untrusted("revocation", revocation(), wall=WALL)
    assert PolicyChanged(None) in said
    assert version(held) == 0


def test_an_answer_brings_what_the_asker_lacks_and_nothing_else() -> None:
    full, empty = charter(), charter()
    full.offer_untrusted("policy", policy(2), wall=WALL)
    full.offer_untrusted("revocation", revocation(), wall=WALL)
    assert empty.lacks(full.holding())
    brought = full.answer(empty.holding())
    said = empty.take_untrusted(brought, wall=WALL)
    assert {type(each) for each in said} == {PolicyChanged, RevocationsChanged}
    assert empty.digest == full.digest
    again = full.answer(empty.holding())
    assert (again.bundles, again.policy, again.revocations, again.more) == ((), b"", (), False)
    assert not empty.lacks(full.holding())


def test_many_revocations_come_in_pages_and_one_bad_object_spoils_nothing() -> None:
    full, empty = charter(), charter()
    for n in range(900):
        full.offer_untrusted("revocation", revocation(n.to_bytes(32, "big")), wall=WALL)
    pages = 0
    while (brought := full.answer(empty.holding())).revocations:
        pages += 1
        spoilt = (b"junk", *brought.revocations)
        said = empty.take_untrusted(
            type(brought)(False, 0, BUNDLE.hash, 0, b"", (b"junk",), b"junk", spoilt), wall=WALL
        )
        # However many came, they are enforced once.
        assert sum(isinstance(each, RevocationsChanged) for each in said) == 1
    assert pages > 1
    assert empty.digest == full.digest


def test_what_has_expired_by_itself_is_dropped() -> None:
    held = charter()
    held.offer_untrusted("revocation", revocation(expires_at=WALL + 10), wall=WALL)
    assert held.expire(wall=WALL + 130) == []
    assert len(held.expire(wall=WALL + 131)) == 1
    assert held.digest == b""


def test_only_so_many_documents_are_remembered_the_highest_ones() -> None:
    held = charter()
    for number in range(1, MAX_HISTORY + 5):
        held.offer_untrusted("policy", policy(number), wall=WALL)
    assert [each.document.version for each in held.history] == list(range(5, MAX_HISTORY + 5))


def test_what_was_kept_is_in_force_at_the_next_start_though_its_root_was_replaced_since() -> None:
    both = successor(BUNDLE, [ROOT.id, ROOT2.id], ROOT.seed)
    new = successor(both, [ROOT2.id], ROOT2.seed, mesh_id=BUNDLE.hash)
    held = charter()
    held.offer_untrusted("policy", policy(2), wall=WALL)
    held.offer_untrusted("revocation", revocation(), wall=WALL)
    assert any(
        isinstance(each, BundlesChanged) for each in held.offer_untrusted("bundle", both.raw, wall=WALL)
    )
    during = held.digest
    held.offer_untrusted("bundle", new.raw, wall=WALL)
    assert (version(held), len(held.revocations)) == (2, 1)
    assert held.digest != during

    restored = charter(both.raw, new.raw)
    said = restored.restore(*held.kept(), wall=WALL)
    assert [type(each) for each in said] == [RevocationsChanged, PolicyChanged]
    assert restored.digest == held.digest

    # A newcomer cannot check it, until it is signed again with a root that stands.
    late = charter(both.raw, new.raw)
    late.take_untrusted(held.answer(late.holding()), wall=WALL)
    assert (version(late), len(late.revocations)) == (0, 0)
    body, _, _ = split_untrusted(policy(2), len(policy(2)))
    again = sign_as_authority(POLICY_LABEL, body, Authority(ROOT2.seed), BUNDLE.hash)
    held.offer_untrusted("policy", again, wall=WALL)
    assert restored.lacks(held.holding()) or held.answer(restored.holding()).policy
    late.take_untrusted(held.answer(late.holding()), wall=WALL)
    assert version(late) == 2


def test_two_bundles_of_one_number_raise_an_alarm_and_ours_stays() -> None:
    one = successor(BUNDLE, [ROOT.id, ROOT2.id], ROOT.seed)
    other = successor(BUNDLE, [ROOT2.id], ROOT.seed)
    ours, theirs = charter(one.raw), charter(other.raw)
    said = ours.take_untrusted(theirs.answer(ours.holding()), wall=WALL)
    assert [each.code for each in said if isinstance(each, Notice)] == ["bundle.conflict"]
    assert ours.holding().bundle_n == 1

"""The document that the newest one returns to: who holds it, how it comes, and how long it stays."""

from __future__ import annotations

import pytest

from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.keys import NodeKey
from gossipmesh.mesh.charter import MAX_HISTORY, Charter
from gossipmesh.mesh.outputs import PolicyChanged
from gossipmesh.mesh.returning import Returning
from gossipmesh.policy.document import MAX_TEXT, POLICY_LABEL, PolicyDocument, Stage, new_document

WALL = 1_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)


def check(text: str) -> None:
    if text == "bad":
        raise ConfigError("config.value", "policy:1: this is bad")


def document(version: int, text: str = "", *, back: PolicyDocument | None = None) -> PolicyDocument:
    if back is None:
        return new_document(version, text, signed_at=WALL)
    return new_document(version, text, signed_at=WALL, stages=[Stage(500, 60)], return_to=back.hash)


def charter(*documents: PolicyDocument) -> Charter:
    held = Charter(TrustStore(BUNDLE), check)
    for each in documents:
        raw = sign_as_authority(POLICY_LABEL, each.body, Authority(ROOT.seed), BUNDLE.hash)
        held.offer_policy_untrusted(raw, wall=WALL)
    return held


def test_a_newcomer_gets_it_in_the_answer_that_brings_the_newest() -> None:
    base = document(1, "base")
    full, late = charter(base, document(2, back=base)), charter()
    said = late.take_untrusted(full.answer(late.holding()), wall=WALL)
    assert [type(each) for each in said] == [PolicyChanged]
    assert late.wanted == b""
    assert late.document(base.hash) == base
    # It is no policy of its own: where the newest one falls, so does this.
    assert [each.document.version for each in late.history] == [2]


def test_who_is_at_the_one_that_is_returned_to_gets_no_second_copy() -> None:
    base = document(1, "base")
    full = charter(base, document(2, back=base))
    assert full.answer(charter(base).holding()).returned == b""


def test_where_both_have_no_room_in_one_answer_it_is_asked_for() -> None:
    base = document(1, "b" * MAX_TEXT)
    full, late = charter(base, document(2, "n" * MAX_TEXT, back=base)), charter()
    late.take_untrusted(full.answer(late.holding()), wall=WALL)
    assert late.wanted == base.hash
    assert late.document(base.hash) is None
    said = late.take_untrusted(full.answer(late.holding()), wall=WALL)
    assert isinstance(said[0], PolicyChanged)
    assert (late.wanted, late.document(base.hash)) == (b"", base)
    # And no more than once.
    assert full.answer(late.holding()).returned == b""


def test_it_outlives_its_place_in_the_history_and_a_restart() -> None:
    base = document(1, "base")
    held = charter(base)
    for version in range(2, MAX_HISTORY + 10):
        held.offer_policy_untrusted(
            sign_as_authority(
                POLICY_LABEL, document(version, back=base).body, Authority(ROOT.seed), BUNDLE.hash
            ),
            wall=WALL,
        )
    assert base.version not in {each.document.version for each in held.history}
    again = Charter(TrustStore(BUNDLE), check)
    again.restore(*held.kept(), wall=WALL)
    assert again.document(base.hash) == held.document(base.hash) == base
    # The next document that returns elsewhere lets go of it.
    held.offer_policy_untrusted(
        sign_as_authority(POLICY_LABEL, document(99).body, Authority(ROOT.seed), BUNDLE.hash), wall=WALL
    )
    assert held.document(base.hash) is None


def test_nothing_but_the_very_document_is_taken() -> None:
    base = document(1, "base")
    returning = Returning(check)
    with pytest.raises(RemoteProtocolError, match="asked for"):
        returning.take_untrusted(base.body)
    returning.settle(document(2, back=base), lambda _: None)
    for other in (document(1, "other").body, base.body[:-1], b""):
        with pytest.raises(RemoteProtocolError) as caught:
            returning.take_untrusted(other)
        assert caught.value.code == "policy.unwanted"
    assert returning.wanted == base.hash
    returning.take_untrusted(base.body)
    assert (returning.wanted, returning.kept) == (b"", (base.body,))
    returning.settle(None, lambda _: None)
    assert (returning.document, returning.kept) == (None, ())


def test_one_that_this_release_cannot_follow_is_asked_for_once() -> None:
    base = document(1, "bad")
    returning = Returning(check)
    returning.settle(document(2, back=base), lambda _: None)
    with pytest.raises(ConfigError):
        returning.take_untrusted(base.body)
    assert (returning.wanted, returning.document) == (b"", None)

"""What ``policy apply`` takes for a stage, and what the next document returns to."""

from __future__ import annotations

import click
import pytest

from gossipmesh.cli.applying import in_force, read_stage, read_stages, signed_by
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.identity.authority import Signer
from gossipmesh.identity.grants import Grants
from gossipmesh.policy.document import NO_DOCUMENT, Stage, new_document

GRANTS = Grants((), (), frozenset(), frozenset(), 0, 1)


@pytest.mark.parametrize(
    ("text", "share", "hold_s"), [("10%,5m", 100, 300), ("0.5%,1s", 5, 1), ("100%,7d", 1_000, 604_800)]
)
def test_a_stage_is_a_share_and_a_time(text: str, share: int, hold_s: int) -> None:
    stage = read_stage(text)
    assert (stage.share, stage.hold_s) == (share, hold_s)


@pytest.mark.parametrize(
    "text", ["", "10", "10%", "10,5m", "%,5m", "nan%,5m", "0%,5m", "101%,5m", "10%,0s", "10%,8d", "x%,5m"]
)
def test_what_is_no_stage_says_what_would_be_one(text: str) -> None:
    with pytest.raises(ConfigError, match="stage"):
        read_stage(text)


@pytest.mark.parametrize("text", ["10%,5", "10%,soon"])
def test_what_is_no_time_says_so(text: str) -> None:
    with pytest.raises(click.BadParameter):
        read_stage(text)


@pytest.mark.parametrize("texts", [["50%,2s", "20%,2s"], ["10%,1s", "10%,1s"], ["100%,1s", "100%,2s"]])
def test_stages_that_do_not_rise_say_that_they_have_to(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match="shares have to rise"):
        read_stages(texts)


def test_a_policy_has_the_same_signer_if_the_same_revocations_take_it() -> None:
    root, token = Signer(b"r" * 32), Signer(b"t" * 32, grants=GRANTS, token_ids=(b"\x01" * 8, b"\x02" * 8))
    by_root: dict[str, object] = {"signer": "root", "signer_names": []}
    by_token: dict[str, object] = {"signer": "token " + "02" * 8, "signer_names": ["01" * 8, "02" * 8]}
    assert signed_by(by_root, root)
    assert signed_by(by_token, token)
    assert not signed_by(by_token, root)
    assert not signed_by(by_root, token)
    assert not signed_by(by_token | {"signer_names": ["01" * 8]}, token)


FIRST = new_document(1, "first", signed_at=1)
STAGED = new_document(2, "staged", signed_at=2, stages=[Stage(100, 60)], return_to=FIRST.hash)


def test_the_next_policy_returns_to_what_holds_everywhere_and_never_to_what_was_returned() -> None:
    assert in_force(None, "", force=False) == NO_DOCUMENT
    assert in_force(FIRST, "done", force=False) == FIRST.hash
    assert in_force(STAGED, "done", force=False) == STAGED.hash
    assert in_force(STAGED, "returned", force=False) == FIRST.hash


@pytest.mark.parametrize("verdict", ["watching", "passed", "failed", ""])
def test_while_one_is_rolled_out_the_next_has_to_be_forced_and_returns_to_the_one_before(
    verdict: str,
) -> None:
    with pytest.raises(MeshError, match="version 2 is being rolled out") as caught:
        in_force(STAGED, verdict, force=False)
    assert "--force" in str(caught.value)
    assert in_force(STAGED, verdict, force=True) == FIRST.hash

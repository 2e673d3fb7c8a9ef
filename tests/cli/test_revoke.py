"""Which key a TARGET stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gossipmesh.cli.minting import YEAR_S
from gossipmesh.cli.revoke import Target, _check_own_stays, _targets, falls, falls_with
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.identity.revocation import FOR_EVER, RevocationKind
from gossipmesh.model import NodeId

WALL = 1_000_000.0
SOON = int(WALL) + 60


def member(name: str, id_: str, *token_ids: str, caps: tuple[str, ...] = ("join",)) -> dict[str, Any]:
    return {
        "name": name,
        "id": id_ * 32,
        "token_ids": list(token_ids),
        "issuers": [],
        "capabilities": list(caps),
        "expires_at": SOON,
    }


KNOWN = [
    member("web-1", "ab", "11" * 8, "22" * 8),
    member("web-2", "cd", "11" * 8, caps=("join", "policy")),
    member("root-made", "ce"),
]


def target(text: str, *, of_token: bool = False, issuer: bool = False) -> list[Target]:
    return _targets(text, KNOWN, of_token=of_token, issuer=issuer, wall=WALL)


def test_a_node_is_named_by_its_name_or_the_beginning_of_its_id() -> None:
    web = Target(RevocationKind.NODE, b"\xab" * 32, int(WALL + YEAR_S), "web-1", "22" * 8)
    assert target("web-1") == target("abab") == target("ab" * 32) == [web]


def test_a_node_that_signs_for_the_mesh_is_revoked_for_ever() -> None:
    assert target("web-2")[0].expires_at == FOR_EVER


def test_the_token_that_a_node_joined_with_is_the_last_of_its_chain() -> None:
    expected = Target(RevocationKind.TOKEN, b"\x22" * 8, FOR_EVER, "web-1")
    assert target("web-1", of_token=True) == [expected]
    assert target("33" * 8) == [Target(RevocationKind.TOKEN, b"\x33" * 8, FOR_EVER, "")]
    with pytest.raises(MeshError, match="joined with no token"):
        target("root-made", of_token=True)


def test_an_issuer_goes_with_all_that_it_issued() -> None:
    assert [each.kind for each in target("web-1", issuer=True)] == [
        RevocationKind.NODE,
        RevocationKind.ISSUER,
    ]


def test_one_that_is_gone_is_named_by_its_whole_id() -> None:
    assert target("ef" * 32) == [Target(RevocationKind.NODE, b"\xef" * 32, FOR_EVER, "")]


@pytest.mark.parametrize("text", ["nobody", "ef" * 31, "EF" * 32, "", "c", "ab\x1b"])
def test_what_names_nobody_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="no member is called"):
        target(text)


def test_a_beginning_of_several_ids_is_not_enough() -> None:
    twins = [member("one", "abcd"[:2]), member("other", "ab")]
    with pytest.raises(ConfigError, match="2 members' ids begin with abab"):
        _targets("abab", twins, of_token=False, issuer=False, wall=WALL)


def test_the_policy_in_force_falls_with_whoever_signed_it_and_with_nobody_else() -> None:
    by_node = {"signer_id": "cd" * 32, "signer_names": ["cd" * 32, "11" * 8, "ab" * 32]}
    by_root: dict[str, Any] = {"signer_id": "", "signer_names": []}
    for found in (target("web-2"), target("web-2", of_token=True), target("web-1", issuer=True)):
        assert falls_with(by_node, found, [])
        assert not falls_with(by_root, found, [])
    assert not falls_with(by_node, target("33" * 8), [])
    # Who is spared keeps what it signed when its token goes, and not when it goes itself.
    spared = [NodeId(b"\xcd" * 32)]
    assert not falls_with(by_node, target("web-2", of_token=True), spared)
    assert falls_with(by_node, target("web-2"), spared)


def names_of(targets: list[Target], *spared: str) -> list[str]:
    ids = [NodeId(bytes.fromhex(each) * 32) for each in spared]
    return [member["name"] for member in KNOWN if falls(member, targets, ids)]


def test_who_falls_with_a_revocation() -> None:
    assert names_of(target("web-1")) == ["web-1"]
    assert names_of(target("web-1"), "ab") == ["web-1"]
    assert names_of(target("11" * 8)) == ["web-1", "web-2"]
    assert names_of(target("11" * 8), "ab") == ["web-2"]
    assert names_of(target("33" * 8)) == []
    renewed = member("renewed", "fa") | {"issuers": ["cd" * 32]}
    assert falls(renewed, target("web-2", issuer=True), [])
    assert not falls(renewed, target("web-2"), [])


def test_nobody_revokes_the_node_that_is_asked_without_saying_so(tmp_path: Path) -> None:
    _check_own_stays("cd" * 32, KNOWN[:1], tmp_path)
    with pytest.raises(MeshError, match="takes web-1 too, this host's own node") as caught:
        _check_own_stays("ab" * 32, KNOWN[:1], tmp_path)
    assert "root key" not in str(caught.value)
    (tmp_path / "root.key").touch()
    with pytest.raises(MeshError, match="keeps the root key"):
        _check_own_stays("ab" * 32, KNOWN[:1], tmp_path)

"""Which key a TARGET stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from adminlab import NOTHING, asking
from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.main import cli
from gossipmesh.cli.minting import YEAR_S
from gossipmesh.cli.revoke import (
    Target,
    _check_own_stays,
    _offer,
    _targets,
    falls,
    falls_with,
    is_revoked,
)
from gossipmesh.daemon.admin.news import News
from gossipmesh.errors import ConfigError, MeshError, UnreachableError
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
    _check_own_stays("cd" * 32, KNOWN[:1], target("web-1"), tmp_path)
    with pytest.raises(MeshError, match="takes web-1 too, this host's own node") as caught:
        _check_own_stays("ab" * 32, KNOWN[:1], target("web-1"), tmp_path)
    assert "root key" not in str(caught.value)
    # What is said to be of use is: a node that is named itself cannot be spared.
    assert "--spare" not in str(caught.value)
    with pytest.raises(MeshError, match="spare it with --spare web-1"):
        _check_own_stays("ab" * 32, KNOWN[:1], target("11" * 8), tmp_path)
    (tmp_path / "root.key").touch()
    with pytest.raises(MeshError, match="keeps the root key"):
        _check_own_stays("ab" * 32, KNOWN[:1], target("web-1"), tmp_path)


def entry(
    kind: str, key: str, signer: str = "root", *spared: str, voids: bool = False, voided: bool = False
) -> dict[str, Any]:
    said = {"kind": kind, "target": key, "signer": signer, "spared": list(spared), "voids": voids}
    return said | {"voided": voided, "revoked_at": 0, "reason": "stolen"}


def test_what_is_revoked_already_is_known_by_what_an_entry_says_and_who_says_it() -> None:
    (web,), (token,) = target("web-1"), target("11" * 8)
    by_root, by_token = entry("node", "ab" * 32), entry("node", "ab" * 32, "token " + "22" * 8)

    def revoked(
        each: Target, *entries: dict[str, Any], by: str = "root", spared: str = "", voids: bool = False
    ) -> bool:
        kept = [NodeId(bytes.fromhex(spared))] if spared else []
        return is_revoked(each, entries, kept, voids=voids, by=by)

    assert revoked(web, by_root)
    assert revoked(web, by_root, by="token " + "22" * 8)
    assert revoked(web, by_token, by="token " + "22" * 8)
    # A root's word reaches further than a token's, and a voided one reaches nobody.
    assert not revoked(web, by_token)
    assert not revoked(web, by_token | {"voided": True}, by="token " + "22" * 8)
    assert not revoked(web, entry("issuer", "ab" * 32))
    assert not revoked(web, by_root, voids=True)
    assert revoked(token, entry("token", "11" * 8, "root", "cd" * 32), spared="cd" * 32)
    assert not revoked(token, entry("token", "11" * 8), spared="cd" * 32)


def test_the_beginning_of_an_id_that_is_revoked_gives_the_whole_of_it() -> None:
    with pytest.raises(ConfigError, match=f"node {'ef' * 32} is revoked already") as caught:
        _targets("efef", KNOWN, [entry("node", "ef" * 32)], of_token=False, issuer=False, wall=WALL)
    assert caught.value.code == "revoke.gone"


class Node:
    """A daemon with web-1 as its own node: once it has taken a revocation, nobody is to ask it anything."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = list(entries)
        self.taken: list[bytes] = []
        self.news = News(lambda: NOTHING, first=1, rng=Random(1))

    def identities(self) -> dict[str, Any]:
        self._answer()
        return {"identities": KNOWN}

    def revocations(self) -> dict[str, Any]:
        self._answer()
        return {"revocations": self.entries}

    def status(self) -> dict[str, Any]:
        self._answer()
        return {"id": "ab" * 32, "mesh": "", "bundle": 0}

    def members(self) -> dict[str, Any]:
        self._answer()
        rows = [("web-1", False), ("web-2", False), ("root-made", True)]
        return {
            "members": [{"name": name, "state": "alive", "enforces": enforces} for name, enforces in rows]
        }

    def policy(self, version: int | None) -> dict[str, Any]:
        self._answer()
        return {"policy": None}

    def _answer(self) -> None:
        assert not self.taken, "a daemon that ended was asked"

    async def offer(self, kind: str, raw: bytes) -> str:
        await trio.lowlevel.checkpoint()
        self.taken.append(raw)
        return "taken"


@asynccontextmanager
async def daemon(node: Node, state: Path) -> AsyncIterator[Callable[..., Awaitable[Result]]]:
    root = state / "root"
    CliRunner().invoke(cli, ["init", str(root)])
    async with asking(node, state, "revoke") as ask:
        yield partial(ask, "--root", str(root))


async def test_nobody_asks_a_node_that_ended_by_its_own_revocation(tmp_path: Path) -> None:
    node = Node()
    async with daemon(node, tmp_path) as ask:
        done = await ask("web-1", "--force")
    assert (done.exit_code, done.stdout) == (0, f"revoked node {'ab' * 32} (web-1)\n")
    assert f"A copy of its token {'22' * 8} would let it in again" in done.stderr
    assert "at another member's host" in done.stderr
    # Who is gone is not one to be upgraded.
    assert "enforces no revocations: web-2;" in done.stderr
    assert len(node.taken) == 1


async def test_what_would_end_this_hosts_node_is_handed_in_last(tmp_path: Path) -> None:
    node = Node()
    async with daemon(node, tmp_path) as ask:
        done = await ask("web-1", "--issuer", "--force")
    assert done.exit_code == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["issuer", "node"]


async def test_who_is_spared_is_named_and_nobody_is_said_to_be_unknown(tmp_path: Path) -> None:
    async with daemon(Node(), tmp_path) as ask:
        done = await ask("22" * 8, "--spare", "web-1")
    assert done.exit_code == 0, done.stderr
    assert "nobody is out: web-1 spared\n" in done.stderr


async def test_what_is_revoked_already_is_not_signed_again_unless_forced(tmp_path: Path) -> None:
    node = Node(entry("node", "cd" * 32))
    async with daemon(node, tmp_path) as ask:
        done = await ask("cd" * 32)
        assert (done.exit_code, done.stdout) == (0, f"already revoked node {'cd' * 32} (web-2)\n")
        assert node.taken == []
        assert (await ask("cd" * 32, "--force")).stdout.startswith("revoked node")
    assert len(node.taken) == 1


async def test_an_entry_that_voids_and_one_that_is_voided_are_marked(tmp_path: Path) -> None:
    stolen = entry("node", "cd" * 32, "token " + "22" * 8, voided=True)
    async with asking(Node(stolen, entry("token", "22" * 8, voids=True)), tmp_path, "revocations") as ask:
        rows = [line.split() for line in (await ask()).stdout.splitlines()]
    assert rows[0] == ["KIND", "TARGET", "BY", "SINCE", "VOID", "REASON"]
    assert [row[-2] for row in rows[1:]] == ["voided", "voids"]


def test_an_answer_that_was_lost_is_not_told_as_the_end_of_the_own_node(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="it is not known whether the revocation was taken"):
        _offer(AdminClient(tmp_path), b"", own_falls=False)
    with pytest.raises(MeshError, match="this host's own node is revoked by that and has ended"):
        _offer(AdminClient(tmp_path), b"", own_falls=True)

"""``gossipmesh revoke`` and ``gossipmesh revocations``: who is a member, or a mint, no longer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from attrs import frozen

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.minting import YEAR_S
from gossipmesh.cli.mixed import old_members, warn_of
from gossipmesh.cli.options import SomePath, wall_now, with_json, with_state
from gossipmesh.cli.render import put, show_table
from gossipmesh.cli.root import ROOT, check_told
from gossipmesh.daemon.disk.root import ROOT_KEY, load_authority
from gossipmesh.errors import ConfigError, MeshError, UnreachableError
from gossipmesh.identity.authority import check_authority
from gossipmesh.identity.block import TOKEN_ID_BYTES
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.revocation import FOR_EVER, MAX_REASON, RevocationKind, sign_revocation
from gossipmesh.model import ID_BYTES, NodeId, day

LEAST_PREFIX: Final = 4
"""Hex digits of an id that stand for the whole of it, if only one member's begins with them."""
MAX_NAMED: Final = 16
"""Names of members in one line."""
SIGNERS: Final = frozenset({Capability.POLICY.value, Capability.REVOKE.value, Capability.ISSUE.value})
_HEX: Final = re.compile(r"[0-9a-f]+")


@frozen
class Target:
    """What is revoked. ``token`` is the id of the token that a node joined with, where TARGET is a node."""

    kind: RevocationKind
    key: bytes
    expires_at: int
    name: str
    token: str = ""

    @property
    def is_mint(self) -> bool:
        """Whether it takes all that was made by it, but for those who are spared."""
        return self.kind is not RevocationKind.NODE


@click.command(short_help="Revoke a node, a token or an issuer, mesh-wide.")
@click.argument("target", metavar="TARGET")
@click.option(
    "--root",
    "place",
    required=True,
    type=SomePath(path_type=Path),
    metavar="DIR",
    help="What `gossipmesh init` made, or a file with a token that has the capability revoke.",
)
@click.option("--token", "of_token", is_flag=True, help="Revoke the token that node TARGET joined with.")
@click.option("--issuer", is_flag=True, help="Revoke node TARGET, and every chain that it issued or renewed.")
@click.option("--reason", default="", metavar="TEXT", help=f"Why; at most {MAX_REASON} printable characters.")
@click.option(
    "--spare", multiple=True, metavar="NODE", help="A node that keeps its place although its token goes."
)
@click.option(
    "--void", is_flag=True, help="Take the effect from whatever TARGET revoked itself; a root's word only."
)
@click.option(
    "--force",
    is_flag=True,
    help="Although TARGET signed the policy in force, which falls with it, this host's own node ends, or it is revoked "
    "already (the new root signs again what the old one had).",
)
@with_state
def revoke(
    *,
    target: str,
    place: Path,
    of_token: bool,
    issuer: bool,
    reason: str,
    spare: tuple[str, ...],
    void: bool,
    force: bool,
    state: Path,
) -> None:
    """Revoke TARGET: a node by its name or the beginning of its id, or a token by its id (16 hex digits).

    The mesh ends every channel with it within seconds, and takes it in no more. A token's revocation takes all nodes
    that joined with it, but for those that --spare names.
    """
    _check_usage(target, spare, of_token=of_token, issuer=issuer)
    client, wall = AdminClient(state), wall_now()
    authority, trust = load_authority(place)
    if void and authority.chain:
        raise ConfigError("revoke.void", "only a root can void what another signed: name the root's DIR")
    signer = check_authority(authority, trust, Capability.REVOKE, wall=wall)
    known: list[dict[str, Any]] = client.document("/v1/identities")["identities"]
    entries: list[dict[str, Any]] = client.document("/v1/revocations")["revocations"]
    targets = _targets(target, known, entries, of_token=of_token, issuer=issuer, wall=wall)
    spared = [NodeId(bytes.fromhex(_node(text, known)["id"])) for text in spare]
    status = client.document("/v1/status")
    check_told(status, trust, place)
    own: str = status["id"]
    taken = [member for member in known if falls(member, targets, spared)]
    if not force:
        _check_own_stays(own, taken, targets, state)
        _check_policy_stays(client, targets, spared)
    # All that is asked is asked before: where this host's own node falls, nobody answers afterwards.
    old = [name for name in old_members(client) if name not in {member["name"] for member in taken}]
    own_falls = any(member["id"] == own for member in taken)
    for each in sorted(targets, key=lambda each: own_falls and each.key.hex() == own and not each.is_mint):
        named = f"{each.kind.word} {each.key.hex()}" + (f" ({each.name})" if each.name else "")
        if not force and is_revoked(each, entries, spared, voids=void, by=str(signer)):
            put(f"already revoked {named}")
            continue
        raw = sign_revocation(
            each.kind,
            each.key,
            authority,
            trust.mesh_id,
            reason=reason,
            revoked_at=int(wall),
            expires_at=each.expires_at,
            spared=sorted(spared) if each.is_mint else (),
            voids=void,
        )
        put(f"{_offer(client, raw, own_falls=own_falls)} {named}")
    _say_taken(targets, taken, [member["name"] for member in known if falls(member, targets, [])])
    warn_of(old, "revocations")
    gone = {each["target"] for each in entries if each["kind"] == RevocationKind.TOKEN.word}
    if targets[0].token and not of_token and targets[0].token not in gone:
        _say_copies(targets[0].token, place, state if own_falls else None)


def _check_usage(target: str, spare: Sequence[str], *, of_token: bool, issuer: bool) -> None:
    if of_token and issuer:
        raise click.UsageError("name --token or --issuer, not both.")
    if spare and not (of_token or issuer or _is_token_id(target)):
        raise click.UsageError(
            "--spare goes with a token or --issuer: a node's revocation takes that node only."
        )


def _offer(client: AdminClient, raw: bytes, *, own_falls: bool) -> str:
    """Hand a signed entry in, and give the word for what came of it.

    Raises:
        UnreachableError: ``revoke.unknown``: nobody said whether it was taken.
        MeshError: ``revoke.own``: nor did anybody where this host's own node ends by it; and with why it is refused.
    """
    try:
        return "already revoked" if client.offer("revocation", raw) == "stale" else "revoked"
    except UnreachableError as error:
        if not own_falls:
            text = f"{error}; it is not known whether the revocation was taken: see `gossipmesh revocations`"
            raise UnreachableError("revoke.unknown", text) from None
        # It answered a moment ago. The entry hits the very node that was to spread it, which ended at once.
        text = "this host's own node is revoked by that and has ended; it told the members that it knew"
        hint = "see `gossipmesh revocations` at another one, and revoke there what is not listed"
        raise MeshError("revoke.own", f"{text}: {hint}") from None


def _say_copies(token: str, place: Path, ended: Path | None) -> None:
    """Say that a revoked node's token lets in whoever has it, and where to go if the own daemon has ``ended``."""
    spell = f"gossipmesh revoke {token} --root {place}"
    where = "" if ended is None else f" at another member's host, for the node at {ended} has ended"
    click.echo(
        f"A copy of its token {token} would let it in again under another key; revoke that too{where}, "
        f"sparing whom you name: {spell} [--spare NODE]...",
        err=True,
    )


def is_revoked(
    target: Target, entries: Sequence[Mapping[str, Any]], spared: Sequence[NodeId], *, voids: bool, by: str
) -> bool:
    """Tell whether an entry of ``/v1/revocations`` says this already, by a root or by the very signer ``by``.

    Another's entry may reach less far than this signer's would, or lose its effect.
    """
    kept = {node.hex() for node in spared} if target.is_mint else set()
    return any(
        (each["kind"], each["target"]) == (target.kind.word, target.key.hex())
        and (set(each["spared"]), each["voids"]) == (kept, voids)
        and each["signer"] in (ROOT, by)
        and not each["voided"]
        for each in entries
    )


def falls(member: Mapping[str, Any], targets: Sequence[Target], spared: Sequence[NodeId]) -> bool:
    """Tell whether a member, as ``/v1/identities`` shows it, is one no longer when these are revoked."""
    named = {each.key.hex() for each in targets if not each.is_mint}
    through = {each.key.hex() for each in targets if each.is_mint}
    kept = member["id"] in {node.hex() for node in spared}
    return member["id"] in named or (
        not kept and not through.isdisjoint((*member["token_ids"], *member["issuers"]))
    )


def _check_own_stays(
    own: str, taken: Sequence[Mapping[str, Any]], targets: Sequence[Target], state: Path
) -> None:
    """Check that the node that is asked to tell the others is not itself among those who are ``taken``.

    Raises:
        MeshError: ``revoke.own``: it is, and would end at once.
    """
    for member in taken:
        if member["id"] == own:
            text = f"that takes {member['name']} too, this host's own node, which would end at once"
            if (state / ROOT_KEY).exists():
                text += f", and {state} keeps the root key of the mesh: copy it away first"
            # Nobody is spared what names the node itself.
            named = any(each.key.hex() == own and not each.is_mint for each in targets)
            spare = "" if named else f"spare it with --spare {member['name']}, "
            hint = f"revoke it at another member's host, {spare}or --force"
            raise MeshError("revoke.own", f"{text}; {hint}")


def _say_taken(targets: Sequence[Target], taken: Sequence[Mapping[str, Any]], through: Sequence[str]) -> None:
    """Say whom a token's or an issuer's revocation hits, of those who are there ``through`` it: it names no node."""
    if not any(each.is_mint for each in targets):
        return
    if taken:
        names = ", ".join(sorted(member["name"] for member in taken)[:MAX_NAMED])
        more = f" and {len(taken) - MAX_NAMED} more" if len(taken) > MAX_NAMED else ""
        click.echo(f"out of the mesh: {names}{more}", err=True)
    elif through:
        click.echo(f"nobody is out: {', '.join(sorted(through)[:MAX_NAMED])} spared", err=True)
    else:
        click.echo("no member that this node knows joined by it; from now on nobody can", err=True)


def _check_policy_stays(client: AdminClient, targets: Sequence[Target], spared: Sequence[NodeId]) -> None:
    """Check that none of those who are to be revoked signed the policy in force.

    Raises:
        MeshError: ``revoke.policy``: one did, and what was in force before it, or the default, would be again.
    """
    policy: dict[str, Any] | None = client.document("/v1/policy")["policy"]
    if policy is not None and falls_with(policy, targets, spared):
        again = f"sign it again under another key first: gossipmesh policy rollback {policy['version']} --root DIR"
        text = f"policy version {policy['version']} was signed by {policy['signer']} and would fall with it; {again}"
        raise MeshError("revoke.policy", f"{text}, or --force")


def falls_with(policy: Mapping[str, Any], targets: Sequence[Target], spared: Sequence[NodeId]) -> bool:
    """Tell whether a policy document, as ``/v1/policy`` shows it, falls when these are revoked: one of them signed."""
    kept = policy["signer_id"] in {node.hex() for node in spared}
    return any(each.key.hex() in policy["signer_names"] and not (each.is_mint and kept) for each in targets)


@click.command(short_help="Who is revoked, and why.")
@with_state
@with_json
def revocations(state: Path, as_json: bool) -> None:
    """Show who is revoked in this mesh, by whom, and why.

    VOID: an entry voids what its target signed, or is voided, and has no effect.
    """
    document = AdminClient(state).document("/v1/revocations")
    if as_json:
        put(json.dumps(document))
        return
    entries = document["revocations"]
    rows = [
        (
            each["kind"],
            each["target"][:16],
            each["signer"],
            day(each["revoked_at"]),
            "voids" if each["voids"] else "voided" if each["voided"] else "",
            each["reason"],
        )
        for each in entries
    ]
    show_table(("KIND", "TARGET", "BY", "SINCE", "VOID", "REASON"), rows)


def _is_token_id(text: str) -> bool:
    return len(text) == 2 * TOKEN_ID_BYTES and _HEX.fullmatch(text) is not None


def _targets(
    text: str,
    known: Sequence[dict[str, Any]],
    entries: Sequence[Mapping[str, Any]] = (),
    *,
    of_token: bool,
    issuer: bool,
    wall: float,
) -> list[Target]:
    found = _matching(text, known)
    if not found and _is_token_id(text) and not issuer:
        return [Target(RevocationKind.TOKEN, bytes.fromhex(text), FOR_EVER, "")]
    if not found and len(text) == 2 * ID_BYTES and _HEX.fullmatch(text) and not of_token:
        # Gone from here, perhaps for a while only; what its chain allows is not known.
        node = Target(RevocationKind.NODE, bytes.fromhex(text), FOR_EVER, "")
    else:
        if not found:
            _check_not_gone(text, entries)
        member = _node(text, known)
        token = member["token_ids"][-1] if member["token_ids"] else ""
        if of_token:
            if not token:
                raise MeshError("revoke.token", f"{member['name']} joined with no token: a root let it in")
            return [Target(RevocationKind.TOKEN, bytes.fromhex(token), FOR_EVER, member["name"])]
        signs = SIGNERS.intersection(member["capabilities"])
        expires_at = FOR_EVER if signs else max(member["expires_at"], int(wall + YEAR_S))
        node = Target(RevocationKind.NODE, bytes.fromhex(member["id"]), expires_at, member["name"], token)
    if not issuer:
        return [node]
    return [node, Target(RevocationKind.ISSUER, node.key, FOR_EVER, f"all that {node.name or text} issued")]


def _check_not_gone(text: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Check that ``text`` is not the beginning of the id of a node that is revoked already; names are not kept of them.

    Raises:
        ConfigError: ``revoke.gone``: it is.
    """
    for each in entries:
        if len(text) >= LEAST_PREFIX and each["kind"] == "node" and each["target"].startswith(text):
            hint = "see `gossipmesh revocations`; to revoke it otherwise, name it by its whole id"
            raise ConfigError("revoke.gone", f"node {each['target']} is revoked already; {hint}")


def _matching(text: str, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    named = [member for member in known if member["name"] == text]
    if named or len(text) < LEAST_PREFIX:
        return named
    return [member for member in known if member["id"].startswith(text)]


def _node(text: str, known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = _matching(text, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            "revoke.ambiguous", f"{len(found)} members' ids begin with {text}: write more of it"
        )
    hint = (
        "see `gossipmesh members`, and `gossipmesh revocations` for who is revoked already; one that is gone is named "
        "by its whole id, a token by its 16 hex digits"
    )
    raise ConfigError("revoke.unknown", f"no member is called {text!a}, and no member's id begins so; {hint}")

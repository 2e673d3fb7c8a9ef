"""Checks of who says that this node is a member, and of whom it should not trust."""

from __future__ import annotations

from collections import Counter
from typing import Final

from gossipmesh.daemon.checkup.facts import Check, Clone, Facts, State, counted, named
from gossipmesh.mesh.exchanges import NO_ROOM
from gossipmesh.model import day

ID_DIGITS: Final = 8


def chain(facts: Facts) -> Check:
    """Check how long this node's proof of membership is good, and who would renew it."""
    until = day(facts.chain_expires_at)
    renewed, doubtful = _renewed_by(facts)
    hint = (
        "have a member that may renew: give one a token made with `gossipmesh token new --root DIR --can issue`; "
        "or give this node a new token: --token-file FILE"
    )
    if facts.wall >= facts.chain_expires_at:
        found = f"this node's chain expired on {until}: nobody takes it for a member"
        return Check("chain", State.FAIL, found, hint)
    if facts.root not in facts.roots:
        found = "this node's chain hangs on a root that the mesh has dropped: nobody takes it for a member"
        return Check("chain", State.FAIL, found, "give this node a token of the new root: --token-file FILE")
    if facts.chain_overdue:
        found = (
            f"two thirds of the chain's life are over and it was not renewed: good until {until}; {renewed}"
        )
        return Check("chain", State.WARN, found, hint)
    if doubtful:
        return Check("chain", State.WARN, f"good until {until}; {renewed}", doubtful)
    late = [each.name for each in facts.members if each.living and each.chain_overdue]
    if late:
        found = f"two thirds of these members' chains' lives are over: {named(late)}"
        return Check("chain", State.WARN, found, f"run `gossipmesh check` there; and {hint}")
    return Check("chain", State.OK, f"good until {until}; {renewed}")


def _renewed_by(facts: Facts) -> tuple[str, str]:
    """Say who may renew this node's chain, and what to do where that is not as it should be."""
    living = [each for each in facts.members if each.living]
    whole = [each.name for each in living if each.issuer and not each.loses]
    less = [each for each in living if each.issuer and each.loses]
    others = [each.name for each in living if each.issues_others]
    if facts.keeps_root:
        return "this node keeps the mesh's root key and renews it itself", ""
    if whole:
        return f"{named(whole)} may renew it", ""
    if less:
        found = "; ".join(f"{each.name} may renew it only without {', '.join(each.loses)}" for each in less)
        hint = (
            "give a member that may issue a new token with every group and capability that it is to renew, and no "
            "list of names or services; what is lost is lost at two thirds of the chain's life"
        )
        return found, hint
    if others:
        found = f"{named(others)} may not renew it: no --name of its token allows a node called {facts.name}"
        return (
            found,
            "give a member that may issue a new token without --name, or with one that fits all nodes",
        )
    return "no member that is alive may renew it", ""


def roots(facts: Facts) -> Check:
    """Check on which of the mesh's roots chains hang."""
    newest = facts.roots[-1]
    hanging = Counter([facts.root, *(each.root for each in facts.members if each.living and each.root)])
    details = tuple(
        {"root": root, "members": str(hanging[root]), "newest": "yes" if root == newest else "no"}
        for root in facts.roots
    )
    bundle = f"trust bundle {facts.bundle}, {counted(len(facts.roots), 'root')}"
    if facts.root not in facts.roots:
        found = f"{bundle}: this node's chain hangs on {facts.root[:ID_DIGITS]}, which the mesh does not trust any more"
        hint = "give this node a token of the new root: --token-file FILE"
        return Check("roots", State.FAIL, found, hint, details)
    older = [each.name for each in facts.members if each.living and each.root not in ("", newest)]
    if facts.root != newest:
        older.insert(0, facts.name)
    if older:
        found = f"{bundle}: not on the newest one yet: {named(older)}"
        hint = (
            "do not drop the old root yet: chains move by themselves where a member with `issue` is on the new one; "
            "the others need a new token"
        )
        return Check("roots", State.WARN, found, hint, details)
    return Check("roots", State.OK, f"{bundle}; all chains hang on {newest[:ID_DIGITS]}", details=details)


def clones(facts: Facts) -> Check:
    """Check that no key is in use twice; the details are the proof."""
    details = tuple(
        {"node": each.name, "id": each.id, "ours": each.ours.hex(), "theirs": each.theirs.hex()}
        for each in facts.clones
    )
    own = [each for each in facts.clones if each.own]
    if own or any(each.code == "own.clone" for each in facts.warned):
        found = "this node's own key is in use twice: by a copy of its state directory, or by a thief"
        hint = (
            "stop the copy; or revoke this node (`gossipmesh revoke NODE --root DIR`), empty its state directory "
            "and join it again with a token"
        )
        return Check("clones", State.FAIL, found, hint, details)
    if facts.clones:
        found = f"keys in use twice: {named(dict.fromkeys(map(_clone, facts.clones)))}"
        hint = (
            "stop the copy, or revoke the node: gossipmesh revoke NODE --root DIR. --json shows both records"
        )
        return Check("clones", State.FAIL, found, hint, details)
    return Check("clones", State.OK, "no key is in use twice")


def _clone(each: Clone) -> str:
    return f"{each.name} ({each.id[:ID_DIGITS]})"


def revocations(facts: Facts) -> Check:
    """Check whom the mesh has shut out; this node should not be among them."""
    details = (
        *({"revocation": each} for each in facts.revocations),
        *({"voided": each} for each in facts.voided),
    )
    if facts.revoked:
        hint = (
            "empty its state directory and join it again with another token; it comes back as it is only where a root "
            "voids that revocation: gossipmesh revoke SIGNER --void --root DIR"
        )
        return Check("revocations", State.FAIL, f"this node is revoked: {facts.revoked}", hint, details)
    number = len(facts.revocations)
    void = f", {len(facts.voided)} void" if facts.voided else ""
    listed = "; `gossipmesh revocations` lists them" if number or facts.voided else ""
    found = f"{number or 'none'} in force{void}{listed}"
    return Check("revocations", State.OK, found, details=details)


def quota(facts: Facts) -> Check:
    """Check that tokens with a quota still admit somebody, and that this node is among those admitted."""
    refused = [each for each in facts.seeds if each.refusal == NO_ROOM]
    full = [each for each in facts.quotas if len(each.members) >= each.nodes]
    details = tuple(
        {"nodes": str(each.nodes), "members": str(len(each.members)), "own": "yes" if each.own else "no"}
        for each in facts.quotas
    )
    if refused and facts.not_ready:
        found = f"this node has no place in the mesh: {refused[0].address} says: {refused[0].why}"
        hint = (
            "`gossipmesh check` at that seed names who holds the places: have one of them leave, or give this node "
            "a token of another quota"
        )
        return Check("quota", State.FAIL, found, hint, details)
    if full:
        lines = [
            f"{len(each.members)} of {each.nodes} nodes ({named(each.members)})"
            + (" by this node's own token" if each.own else "")
            for each in full
        ]
        hint = "the next node with that token is refused: have one leave, or make a token of another quota"
        return Check("quota", State.WARN, f"used up: {'; '.join(lines)}", hint, details)
    found = (
        f"{counted(len(facts.quotas), 'token quota')}, none used up" if facts.quotas else "no token has one"
    )
    return Check("quota", State.OK, found, details=details)


CHECKS: Final = (chain, roots, clones, revocations, quota)

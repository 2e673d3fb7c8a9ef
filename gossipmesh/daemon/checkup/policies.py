"""Checks of the policy: what it comes to here, and whether all have the same."""

from __future__ import annotations

from typing import Final

from gossipmesh.daemon.checkup.facts import Check, Facts, State, counted, named
from gossipmesh.policy.rollout import Verdict

ALLOWED: Final = "members may call everything that no rule denies"
DENIED: Final = "nothing is allowed unless a rule does"


def policy(facts: Facts) -> Check:
    """Say aloud what is decided where no rule says anything, and whether it is enforced."""
    now = facts.policy
    default = ALLOWED if now.default_allow else DENIED
    which = f"version {now.enforced}, {counted(now.rules, 'rule')}" if now.enforced else "no policy document"
    if now.audit:
        found = f"{which}, in audit mode: what it denies is let through, counted and logged ({default})"
        hint = 'apply it with mode = "enforce" when `gossipmesh policy lint FILE --seen` finds nothing more'
        return Check("policy", State.WARN, found, hint)
    return Check("policy", State.OK, f"{which}: {default}")


def policy_nodes(facts: Facts) -> Check:
    """Check that all members know the same newest document."""
    newest = facts.policy.newest
    living = [each for each in facts.members if each.living]
    ahead = [each.name for each in living if each.policy[0] > newest[0]]
    behind = [f"{each.name} ({each.policy[0] or 'none'})" for each in living if each.policy[0] < newest[0]]
    others = [each.name for each in living if each.policy[0] == newest[0] and each.policy[1] != newest[1]]
    details = tuple(
        {"node": each.name, "id": each.id, "version": str(each.policy[0]), "hash": each.policy[1]}
        for each in living
        if each.policy != newest
    )
    hint = "`gossipmesh policy show --nodes` has them all; it should spread within 2 s, so look at their daemons' logs"
    if ahead:
        highest = max(each.policy[0] for each in living)
        found = f"this node knows version {newest[0]}, and {named(ahead)} know up to {highest}"
        return Check("policy-nodes", State.FAIL, found, hint, details)
    if behind or others:
        words = [f"other versions than {newest[0]}: {named(behind)}"] if behind else []
        words += [f"another document of version {newest[0]}: {named(others)}"] if others else []
        return Check("policy-nodes", State.WARN, "; ".join(words), hint, details)
    what = f"version {newest[0]}" if newest[0] else "no document"
    return Check("policy-nodes", State.OK, f"{what} at {counted(len(living) + 1, 'node')}, which are all")


def rollout(facts: Facts) -> Check:
    """Check how far the newest document has come."""
    now, version = facts.policy, facts.policy.newest[0]
    if now.verdict is Verdict.RETURNED:
        found = f"version {version} failed its gate and was returned: version {now.enforced} is in force here"
        hint = (
            "`gossipmesh policy show --nodes` says where it failed; correct it and apply it as a new version"
        )
        return Check("rollout", State.WARN, found, hint)
    if now.verdict is Verdict.FAILED:
        found = f"version {version} fails its gate here: more requests fail than before"
        hint = "enough such verdicts return it everywhere; `gossipmesh explain REQUEST-ID` shows what failed"
        return Check("rollout", State.WARN, found, hint)
    if now.stages and now.verdict in (Verdict.WATCHING, Verdict.PASSED):
        found = f"version {version} is in stage {min(now.stage + 1, now.stages)} of {now.stages}"
        here = "in force here" if now.enforced == version else f"version {now.enforced} is in force here"
        return Check("rollout", State.OK, f"{found}; {here}")
    return Check("rollout", State.OK, "none under way")


def policy_refused(facts: Facts) -> Check:
    """Check that no document was refused here."""
    refused = facts.policy.refused
    if not refused:
        return Check("policy-refused", State.OK, "no document was refused")
    hint = (
        "`gossipmesh policy lint FILE` shows what is wrong; if others took it, this release is too old for it"
    )
    details = tuple({"why": each} for each in refused)
    return Check("policy-refused", State.WARN, refused[-1], hint, details)


CHECKS: Final = (policy, policy_nodes, rollout, policy_refused)

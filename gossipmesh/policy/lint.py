"""What is odd about a policy that can be taken: rules without effect, names that nobody has, and effects not meant.

What can never match at all is refused when the text is read (:mod:`gossipmesh.config.policy_text`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from attrs import field, frozen

from gossipmesh.model import Protocol
from gossipmesh.policy.cover import covers, overlap
from gossipmesh.policy.rules import EVERY, Kind, Policy, Rule

MAX_NAMED: Final = 5
"""Names that one line lists; of more, their number is said."""

Level = Literal["warning", "note"]


@frozen
class Finding:
    """One thing that is odd.

    ``warning``: it is likely not what was meant. ``note``: it may be, and should be known.
    """

    level: Level
    code: str
    """Stable, for scripts."""
    rule: str
    """The label of the rule that it is about; empty: the policy."""
    text: str


@frozen
class Known:
    """What the mesh is known to have; what is not known (None) is not asked for."""

    services: Mapping[str, Protocol] | None = None
    groups: frozenset[str] | None = None
    nodes: frozenset[str] | None = None
    """Ids, in hex."""
    nameless: Mapping[str, frozenset[str]] = field(factory=dict)
    """By name, the services of each node that has several, and is not known to speak as one of them."""


NOTHING: Final = Known()


def lint(policy: Policy, known: Known = NOTHING) -> list[Finding]:
    """Give what is odd about a policy, rule by rule, and of the whole at the end."""
    findings: list[Finding] = []
    for place, rule in enumerate(policy.rules):
        findings.extend(_effect(policy, place))
        findings.extend(_names(rule, known))
        findings.extend(_protocols(rule, known))
        findings.extend(_callers(rule, known))
        findings.extend(_escapes(rule))
        findings.extend(_requests(rule))
    findings.extend(_whole(policy))
    return findings


def _effect(policy: Policy, place: int) -> Iterator[Finding]:
    """Find a rule without which all would be decided as it is."""
    rule, rules = policy.rules[place], policy.rules
    others = [other for index, other in enumerate(rules) if index != place]
    denying = next((other for other in others if not other.allow and covers(other, rule)), None)
    if rule.allow and denying is not None:
        text = f"it can never allow anything: {denying.label} denies all that it is about"
        yield Finding("warning", "never-decides", rule.label, text)
    elif rule.allow and policy.default_allow:
        text = "it has no effect: the default allows whatever no rule denies"
        yield Finding("warning", "no-effect", rule.label, text)
    elif not rule.allow and denying is not None and not _is_twin_before(rules, place, denying):
        text = f"it has no effect: {denying.label} denies all that it is about"
        yield Finding("warning", "no-effect", rule.label, text)
    elif not rule.allow and not policy.default_allow:
        if not any(other.allow and overlap(rule, other) for other in others):
            text = "it has no effect: no rule allows any of it, and the default denies"
            yield Finding("note", "no-effect", rule.label, text)
    elif rule.allow:
        wider = next((other for other in others if other.allow and covers(other, rule)), None)
        if wider is not None and not _is_twin_before(rules, place, wider):
            text = f"it has no effect: {wider.label} allows all that it is about"
            yield Finding("note", "no-effect", rule.label, text)


def _is_twin_before(rules: Sequence[Rule], place: int, other: Rule) -> bool:
    """Tell whether two rules say the same and this is the first of them: then the other is the one too many."""
    return covers(rules[place], other) and place < next(i for i, each in enumerate(rules) if each is other)


def _names(rule: Rule, known: Known) -> Iterator[Finding]:
    """Find names that nobody has: a slip of the keyboard, or something that is yet to come."""
    if known.services is not None:
        if unknown := [name for name in rule.services if name != EVERY and name not in known.services]:
            text = f"nobody offers {_list(unknown)}"
            yield Finding("warning", "unknown-service", rule.label, text)
        callers = [each.name for each in rule.sources if each.kind is Kind.SERVICE]
        if unknown := [name for name in callers if name not in known.services]:
            text = f"nobody offers {_list(unknown)}, so nobody speaks as it"
            yield Finding("warning", "unknown-service", rule.label, text)
    groups = [each.name for each in rule.sources if each.kind is Kind.GROUP]
    if known.groups is not None and (unknown := [name for name in groups if name not in known.groups]):
        yield Finding("warning", "unknown-group", rule.label, f"no member is in group {_list(unknown)}")
    nodes = [each.name for each in rule.sources if each.kind is Kind.NODE]
    if known.nodes is not None and (unknown := [name for name in nodes if name not in known.nodes]):
        yield Finding("warning", "unknown-node", rule.label, f"no member has the id {_list(unknown)}")


def _protocols(rule: Rule, known: Known) -> Iterator[Finding]:
    """Find what rules with methods or paths do to tcp services."""
    if not rule.methods and not rule.paths:
        return
    about = rule.services if EVERY not in rule.services else tuple(known.services or ())
    tcp = [name for name in about if (known.services or {}).get(name) is Protocol.TCP]
    what = " and ".join(word for word, there in (("methods", rule.methods), ("paths", rule.paths)) if there)
    if tcp and rule.allow:
        # To allow GET everywhere is no slip; to allow it of one service that has no methods is.
        level: Level = "note" if EVERY in rule.services else "warning"
        text = f"it never allows {_list(tcp)}: tcp services have no {what}"
        yield Finding(level, "tcp-never-allowed", rule.label, text)
    elif tcp:
        text = f"it refuses all of {_list(tcp)}: nobody sees the {what} of a tcp service"
        yield Finding("warning", "tcp-refused", rule.label, text)


def _callers(rule: Rule, known: Known) -> Iterator[Finding]:
    """Find nodes that have a service which a rule names, and do not speak as it."""
    named = {each.name for each in rule.sources if each.kind is Kind.SERVICE}
    nodes = [node for node, services in known.nameless.items() if services & named]
    if nodes and rule.allow:
        text = (
            f"it allows {_list(nodes)} only with [proxy] as: a node with several services speaks as none else"
        )
        yield Finding("warning", "nameless-caller", rule.label, text)
    elif nodes:
        text = f"it denies all that {_list(nodes)} asks for, whichever of its services does"
        yield Finding("note", "nameless-caller", rule.label, text)


def _escapes(rule: Rule) -> Iterator[Finding]:
    """Find rules that deny whom anybody may cease to be: groups are a token's, and a token may be narrowed."""
    groups = [each.name for each in rule.sources if each.kind is Kind.GROUP]
    if groups and not rule.allow:
        text = (
            f"whoever joins with a token narrowed to other groups is not in {_list(groups)} and passes it; deny by "
            "default, and name groups in rules that allow"
        )
        yield Finding("warning", "group-denied", rule.label, text)


def _requests(rule: Rule) -> Iterator[Finding]:
    """Find what apps may do with a request that a rule does not say."""
    if not rule.allow and b"GET" in rule.methods and b"HEAD" not in rule.methods:
        text = "it denies GET and not HEAD, for which most apps do the same as for GET; name both"
        yield Finding("warning", "get-without-head", rule.label, text)
    if rule.paths and EVERY in rule.services:
        text = "it has paths and is for all services: each of them refuses (400) paths with %2f, //, .. and the like"
        yield Finding("warning", "paths-everywhere", rule.label, text)


def _whole(policy: Policy) -> Iterator[Finding]:
    if policy.mode == "audit":
        text = "what it denies is counted, logged, and let through"
        yield Finding("note", "audit", "", text)
    named = sorted({name for rule in policy.rules if rule.paths for name in rule.services if name != EVERY})
    if named:
        text = f"paths with %2f, //, .. and the like are refused (400) by {_list(named)}, which rules with paths name"
        yield Finding("note", "ambiguous-paths", "", text)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"

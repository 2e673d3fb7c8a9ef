"""How two policies differ, in words: not in their text but in what it says. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gossipmesh.config.policy_text import PolicyText
from gossipmesh.config.traffic import show_traffic
from gossipmesh.policy.rules import EVERY, Policy, Rule
from gossipmesh.routing.traffic import DEFAULT, Traffic


def differences(old: PolicyText, new: PolicyText) -> list[str]:
    """Give what changes from ``old`` to ``new``, a line each: mode, default, rules, then traffic; none: nothing does.

    A rule is the same under another number or at another place: only what it says counts. Rules with one name are one
    rule, which changed.
    """
    return [
        *_heads(old.policy, new.policy),
        *_rules(old.policy.rules, new.policy.rules),
        *_traffics(old, new),
    ]


def describe(rule: Rule) -> str:
    """Give a rule in one line: ``allow service:web to orders, methods GET, paths /v1/*``."""
    words = [
        f"{'allow' if rule.allow else 'deny'} {', '.join(map(str, rule.sources))} to {', '.join(rule.services)}"
    ]
    for what, names in (("methods", rule.methods), ("paths", rule.paths)):
        if names:
            words.append(f"{what} {' '.join(name.decode('ascii') for name in names)}")
    return ", ".join(words)


def _heads(old: Policy, new: Policy) -> Iterator[str]:
    if old.mode != new.mode:
        yield f"mode: {old.mode} -> {new.mode}"
    if old.default_allow != new.default_allow:
        before, after = ("allow" if each.default_allow else "deny" for each in (old, new))
        yield f"default: {before} -> {after}"


def _rules(old: tuple[Rule, ...], new: tuple[Rule, ...]) -> Iterator[str]:
    before, after = _by_key(old), _by_key(new)
    for key, rule in before.items():
        if key not in after:
            yield f"- {_called(rule)}{describe(rule)}"
    for key, rule in after.items():
        if key not in before:
            yield f"+ {_called(rule)}{describe(rule)}"
        elif describe(before[key]) != describe(rule):
            yield f"{rule.label}: {describe(before[key])} -> {describe(rule)}"


def _by_key(rules: tuple[Rule, ...]) -> dict[str, Rule]:
    """Give rules by name, and those without one by what they say."""
    return {describe(rule) if _is_numbered(rule) else rule.label: rule for rule in rules}


def _is_numbered(rule: Rule) -> bool:
    return " " in rule.label


def _called(rule: Rule) -> str:
    return "" if _is_numbered(rule) else f"{rule.label}: "


def _traffics(old: PolicyText, new: PolicyText) -> Iterator[str]:
    for service in sorted(old.traffics.keys() | new.traffics.keys()):
        before, after = (_flat(each.traffics.get(service, _rest(each))) for each in (old, new))
        for key, value in after.items():
            if before[key] != value:
                yield f"service.{service}.{key}: {_value(before[key])} -> {_value(value)}"


def _rest(text: PolicyText) -> Traffic:
    """Give what holds for services of which a policy says nothing."""
    return text.traffics.get(EVERY, DEFAULT)


def _flat(traffic: Traffic) -> dict[str, object]:
    """Give all keys of a table and of those in it, dotted."""
    flat: dict[str, object] = {}
    for key, value in show_traffic(traffic).items():
        if isinstance(value, dict) and key not in ("sticky", "split"):
            flat |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            flat[key] = value
    return flat


def _value(value: object) -> str:
    match value:
        case None:
            return "not said"
        case dict():
            return "{" + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + "}"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)

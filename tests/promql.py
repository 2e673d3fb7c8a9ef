"""What PromQL expressions ask for, held against what a daemon gives: names, labels, and values of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import promql_parser as promql
from attrs import field, frozen

Labels = frozenset[str]
Series = Mapping[str, Mapping[str, frozenset[str]]]
"""The labels of each metric, and the values that were seen; none where any value may come."""

TARGET: Final = frozenset({"job", "instance"})
"""What Prometheus adds to whatever it scrapes."""
_SETS: Final = frozenset({"and", "or", "unless"})


@frozen
class Reading:
    """Reads one expression; ``problems`` has what is wrong with it."""

    series: Series
    problems: list[str] = field(factory=list)

    def labels(self, node: promql.Expr) -> Labels | None:
        """Give the labels of what ``node`` evaluates to, or None for a number."""
        match node:
            case promql.NumberLiteral() | promql.StringLiteral():
                return None
            case promql.VectorSelector():
                return self._selected(node)
            case promql.MatrixSelector():
                return self._selected(node.vector_selector)
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self.labels(node.expr)
            case promql.Call():
                return self._called(node)
            case promql.AggregateExpr():
                return self._aggregated(node)
            case promql.BinaryExpr():
                return self._joined(node)
            case _:
                self.problems.append(f"{node} is nothing that this knows")
                return None

    def _selected(self, node: promql.VectorSelector) -> Labels:
        known = self.series.get(node.name or "")
        if known is None:
            self.problems.append(f"there is no metric {node.name}")
            return frozenset()
        for matcher in node.matchers.matchers:
            if matcher.name not in known:
                self.problems.append(f"{node.name} has no label {matcher.name}")
            elif known[matcher.name] and not any(_matches(matcher, value) for value in known[matcher.name]):
                self.problems.append(f"{node.name} is never {matcher}")
        return frozenset(known)

    def _called(self, node: promql.Call) -> Labels | None:
        found = [labels for each in node.args if (labels := self.labels(each)) is not None]
        if node.func.name == "histogram_quantile":
            if not found or "le" not in found[-1]:
                self.problems.append("histogram_quantile of what has no label le")
            return frozenset().union(*found) - {"le"}
        if node.func.name == "vector":
            return frozenset()
        return found[-1] if found else None

    def _aggregated(self, node: promql.AggregateExpr) -> Labels:
        inner = self.labels(node.expr) or frozenset()
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        if missing := sorted(named - inner):
            self.problems.append(f"{node.op} by {', '.join(missing)}, which what is in it does not have")
        return named if node.modifier.type == promql.AggModifierType.By else inner - named

    def _joined(self, node: promql.BinaryExpr) -> Labels | None:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        if left is None or right is None:
            return right if left is None else left
        if node.modifier is not None and node.modifier.matching is not None:
            self.problems.append("on() and ignoring() are nothing that this knows")
        # `... or vector(0)` is a default for what has no labels left.
        if left != right and not (str(node.op) == "or" and not right):
            names = f"{sorted(left)} and {sorted(right)}"
            self.problems.append(f"nothing on both sides of {node.op} has the same labels: {names}")
        return left & right if str(node.op) not in _SETS else left


def _matches(matcher: promql.Matcher, value: str) -> bool:
    same = (
        re.fullmatch(matcher.value, value) is not None
        if matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)
        else matcher.value == value
    )
    return same is (matcher.op in (promql.MatchOp.Re, promql.MatchOp.Equal))


def read(text: str, series: Series) -> tuple[Labels, list[str]]:
    """Give the labels of what ``text`` evaluates to, and what is wrong with it."""
    try:
        tree = promql.parse(text)
    except ValueError as error:
        return frozenset(), [f"{text} does not parse: {error}"]
    reading = Reading(series)
    labels = reading.labels(tree) or frozenset()
    return labels, [f"{problem}, in {' '.join(text.split())}" for problem in reading.problems]


def unknown(text: str, pattern: str, labels: Labels) -> Iterator[str]:
    """Give what is wrong with the labels that a text for people names."""
    for name in re.findall(pattern, text):
        if name not in labels:
            yield f"there is no label {name} for {text!r}"

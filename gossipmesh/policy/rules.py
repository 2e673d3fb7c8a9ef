"""The rules of a policy, compiled so that a decision costs about a microsecond however many there are.

A request is denied if any rule that denies matches; else allowed if any that allows does; else the default decides.
So the order of the rules means nothing.

What is not certain counts against the caller: its services all count where a rule denies, and only the one that it
speaks as where a rule allows; paths are read likewise (:mod:`.paths`). Rules that deny ignore the case of methods, as
some apps do.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Literal

from attrs import frozen

from gossipmesh.policy.decision import DEFAULT_RULE, Decision, Source
from gossipmesh.policy.paths import NONE, PathIndex
from gossipmesh.unchanging import Unchanging

EVERY: Final = "*"
"""In ``to``: all services. In ``from``: all members."""
MAX_MEMO: Final = 4_096
"""Combinations of source, service and method whose rules are remembered; one more, and all are forgotten."""
MAX_WEIGHT: Final = 131_072
"""Names and paths in what is remembered, likewise: some 20 MB. Who chooses what its record declares chooses these."""

Mode = Literal["enforce", "audit"]


class Kind(enum.Enum):
    """What a subject names."""

    EVERY = "*"
    SERVICE = "service"
    GROUP = "group"
    NODE = "node"


@frozen
class Subject:
    """One element of a rule's ``from``.

    Nodes are named by id, 64 hex digits. Names of nodes are labels that move from one to another, and whoever has a
    token may take a free one: a rule by name would mean somebody else tomorrow.
    """

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return EVERY if self.kind is Kind.EVERY else f"{self.kind.value}:{self.name}"

    def matches(self, source: Source, *, allow: bool) -> bool:
        """Tell whether ``source`` is meant, by a rule that allows or by one that denies."""
        match self.kind:
            case Kind.EVERY:
                return True
            case Kind.SERVICE:
                return source.service == self.name or (not allow and self.name in source.services)
            case Kind.GROUP:
                return self.name in source.groups
            case Kind.NODE:
                return source.node.hex() == self.name


ANYBODY: Final = (Subject(Kind.EVERY),)


@frozen
class Rule:
    """One ``[[rule]]``. Empty ``methods`` and ``paths`` mean all of them."""

    allow: bool
    label: str
    """Shown as the rule that decided: its name, or ``rule 3``."""
    sources: tuple[Subject, ...] = ANYBODY
    services: tuple[str, ...] = (EVERY,)
    methods: tuple[bytes, ...] = ()
    paths: tuple[bytes, ...] = ()
    """Exact, or ending in ``/*``."""

    @property
    def for_every_service(self) -> bool:
        """Whether ``to`` has the ``*``."""
        return EVERY in self.services

    def matches_source(self, source: Source) -> bool:
        """Tell whether the caller is one that the rule is about."""
        return any(subject.matches(source, allow=self.allow) for subject in self.sources)

    def matches_method(self, method: bytes) -> bool:
        """Tell whether the rule is about requests with this method."""
        if not self.methods:
            return True
        return method in self.methods or (not self.allow and method.upper() in _upper(self.methods))


def _upper(methods: tuple[bytes, ...]) -> set[bytes]:
    return {method.upper() for method in methods}


class _Left:
    """What is left to ask of the path, once source, service and method are known."""

    __slots__ = ("decision", "paths")

    def __init__(self, decision: Decision, paths: PathIndex | None = None) -> None:
        self.decision = decision
        """The answer, where no path has another."""
        self.paths = paths


class _Compiled:
    """The rules of one policy by the service that they are about."""

    __slots__ = (
        *("_by_service", "_decisions", "_default", "_every", "_methods", "_nodes", "_rules"),
        *("_lefts", "_weight", "memo"),
    )

    def __init__(self, rules: Sequence[Rule], default_allow: bool) -> None:
        self._rules = rules
        self._default = Decision(default_allow, DEFAULT_RULE)
        self._decisions = [Decision(rule.allow, rule.label) for rule in rules]
        self._every = [index for index, rule in enumerate(rules) if rule.for_every_service]
        named = sorted({name for rule in rules for name in rule.services if name != EVERY})
        self._by_service = {
            name: [
                index for index, rule in enumerate(rules) if rule.for_every_service or name in rule.services
            ]
            for name in named
        }
        methods = {method for rule in rules for method in rule.methods}
        self._methods = methods | _upper(tuple(methods))
        self._nodes = {
            bytes.fromhex(subject.name)
            for rule in rules
            for subject in rule.sources
            if subject.kind is Kind.NODE
        }
        self.memo: dict[object, _Left] = {}
        self._lefts: dict[tuple[tuple[int, ...], bool], _Left] = {}
        """By the rules that match: many sources have the same."""
        self._weight = 0

    def decide(self, source: Source, service: str, method: bytes, target: bytes, tcp: bool) -> Decision:
        # A caller chooses node, service and method; what no rule names must not fill the memo.
        key = (
            source.node if self._nodes and source.node in self._nodes else b"",
            source.service,
            source.services,
            source.groups,
            service if service in self._by_service else EVERY,
            method if method in self._methods else self._unnamed(method),
            tcp,
        )
        left = self.memo.get(key)
        if left is None:
            left = self._remember(key, source, service, method, tcp)
        if left.paths is None:
            return left.decision
        index = left.paths.first(target.partition(b"?")[0])
        return left.decision if index == NONE else self._decisions[index]

    def _unnamed(self, method: bytes) -> bytes:
        """Give what stands for a method that no rule names as it is: it may still be denied in capitals."""
        upper = method.upper()
        return b" " + upper if upper in self._methods else b""

    def _remember(self, key: object, source: Source, service: str, method: bytes, tcp: bool) -> _Left:
        matching = tuple(self._matching(source, service, method, tcp))
        left = self._lefts.get((matching, tcp))
        weight = 1 + len(source.services) + len(source.groups)
        if left is None:
            left = self._left_of(matching, tcp)
            weight += sum(1 + len(self._rules[index].paths) for index in matching)
        if len(self.memo) >= MAX_MEMO or self._weight + weight > MAX_WEIGHT:
            self.memo.clear()
            self._lefts.clear()
            self._weight = 0
        self.memo[key] = self._lefts[matching, tcp] = left
        self._weight += weight
        return left

    def _matching(self, source: Source, service: str, method: bytes, tcp: bool) -> Iterator[int]:
        """Give the rules that match, but for their paths."""
        for index in self._by_service.get(service, self._every):
            rule = self._rules[index]
            # Nobody sees methods and paths of tcp: what a rule says of them counts against the caller.
            fits = not (rule.allow and (rule.methods or rule.paths)) if tcp else rule.matches_method(method)
            if fits and rule.matches_source(source):
                yield index

    def _left_of(self, matching: Sequence[int], tcp: bool) -> _Left:
        plain = [index for index in matching if tcp or not self._rules[index].paths]
        denied = next((index for index in plain if not self._rules[index].allow), None)
        if denied is not None:
            return _Left(self._decisions[denied])
        otherwise = self._decisions[plain[0]] if plain else self._default
        deny: list[tuple[bytes, int]] = []
        allow: list[tuple[bytes, int]] = []
        for index in matching if not tcp else ():
            rule = self._rules[index]
            (allow if rule.allow else deny).extend((path, index) for path in rule.paths)
        if plain:
            # It is allowed whatever the path, if none denies it.
            allow.clear()
        return _Left(otherwise, PathIndex(deny, allow) if deny or allow else None)


def _services_with_paths(rules: Sequence[Rule]) -> frozenset[str]:
    return frozenset(name for rule in rules if rule.paths for name in rule.services)


class Policy(Unchanging):
    """Who may call what: rules and the default, of one version."""

    __match_args__: ClassVar = ("rules", "default_allow", "mode", "version")
    __slots__ = (*__match_args__, "_compiled", "_with_paths")

    def __init__(
        self,
        rules: tuple[Rule, ...] = (),
        default_allow: bool = False,
        mode: Mode = "enforce",
        version: int = 0,
    ) -> None:
        self.rules: Final = rules
        self.default_allow: Final = default_allow
        self.mode: Final[Mode] = mode
        """``audit``: what is denied is counted and told, and let through by the shell."""
        self.version: Final = version
        """Of the document that says it; 0: there is none."""
        self._compiled: Final = _Compiled(rules, default_allow)
        self._with_paths: Final = _services_with_paths(rules)

    @classmethod
    def of_default(cls, allow: bool) -> Policy:
        """Give the policy of a mesh without a document: the default that its first trust bundle carries."""
        return cls(default_allow=allow)

    def decide(
        self, source: Source, service: str, method: bytes, target: bytes, *, tcp: bool = False
    ) -> Decision:
        """Decide whether ``source`` may send a request to ``service``, or connect to it (``tcp``).

        Where :meth:`has_paths`, what :func:`~gossipmesh.policy.paths.ambiguous_path` finds fault with is to be refused
        (400) before it comes here.

        Args:
            source: who asks.
            service: which service is asked.
            method: the request's method, as received; of no meaning with ``tcp``.
            target: the request's target in origin form, as received and as it will be forwarded; likewise.
            tcp: whether the service speaks tcp. Then rules that allow with methods or paths do not match, and rules
                that deny with them refuse the whole service.
        """
        return self._compiled.decide(source, service, method, target, tcp)

    @property
    def remembered(self) -> int:
        """How many combinations of source, service and method are remembered."""
        return len(self._compiled.memo)

    def has_paths(self, service: str) -> bool:
        """Tell whether a rule with paths names the service; one for all services names each."""
        return service in self._with_paths or EVERY in self._with_paths

"""A policy's text, from TOML to rules and traffic. It is taken whole, or refused with file, line and reason."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, NoReturn, TypeVar

from attrs import evolve, frozen

from gossipmesh.config.hints import nearest
from gossipmesh.config.lines import Path, line_of, lines_of
from gossipmesh.config.readers import wrong
from gossipmesh.config.traffic import read_traffics
from gossipmesh.errors import ConfigError
from gossipmesh.model import ID_BYTES, is_name
from gossipmesh.policy.cover import covers
from gossipmesh.policy.decision import DEFAULT_RULE
from gossipmesh.policy.document import MAX_TEXT
from gossipmesh.policy.paths import BELOW, ambiguous_path
from gossipmesh.policy.rules import EVERY, Kind, Policy, Rule, Subject
from gossipmesh.routing.traffic import Traffic

MAX_RULES: Final = 1_024
MAX_ELEMENTS: Final = 256
"""Elements of one array of a rule."""
MAX_PATH: Final = 1_024
MAX_DEPTH: Final = 32
"""Slashes of a path: what each request with a deep path would be searched for."""
MAX_METHOD: Final = 32
MAX_PARTS: Final = 64
"""Parts of a dotted key: tomllib's time is quadratic in them, and 32 KiB of them would take a node ten seconds."""

KEYS: Final = ("mode", "default", "rule", "service")
RULE_KEYS: Final = ("action", "name", "from", "to", "methods", "paths")
NEEDED: Final = ("action", "from", "to")

_SYNTAX: Final = re.compile(r"(.*?) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)
_DOTTED: Final = re.compile(
    rf"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_PARTS}}}"""
)
_METHOD: Final = re.compile(r"[A-Z0-9!#$%&'+.^_`|~-]+")
_PATH: Final = re.compile(r"/[!-~]*")
_NODE: Final = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}")
_NEVER: Final = ("CONNECT", "TRACE")
"""Methods that reach no http service; a tcp service has none."""

ElementT = TypeVar("ElementT", str, bytes, Subject)


@frozen
class PolicyText:
    """What a policy's text says: who may call what, and how each service's requests are spread and tried."""

    policy: Policy
    traffics: Mapping[str, Traffic]
    """By service; ``*`` for all others."""
    text: str


def read_policy(text: str, *, version: int = 0, file: str = "policy") -> PolicyText:
    """Give what a policy's text says.

    Args:
        text: TOML, at most 32 KiB.
        version: of the document that the text is in.
        file: its name, for errors.

    Raises:
        ConfigError: ``FILE:LINE: what is wrong, and what to write``; nothing of it counts.
    """
    read = _read(text, file)
    return read if not version else evolve(read, policy=read.policy.changed(version=version))


# A document is checked before it is taken and read again to be put in force, both within the control task; the worst
# that fits 32 KiB costs a quarter of a second.
@lru_cache(maxsize=2)
def _read(text: str, file: str) -> PolicyText:
    return _Text(text, file).read()


class _Text:
    """One text on its way to a policy."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._lines: dict[Path, int] | None = None

    def read(self) -> PolicyText:
        raw = self._parse()
        self._check_keys(raw, (), KEYS)
        if "default" not in raw:
            self._fail(
                (), 'default is missing; write default = "allow" or default = "deny"', "config.missing-key"
            )
        default = self._at(("default",), lambda: _choice(raw["default"], "allow", "deny"))
        mode = self._at(("mode",), lambda: _choice(raw.get("mode", "enforce"), "enforce", "audit"))
        rules = self._rules(raw.get("rule", []))
        traffics = self._traffics(raw.get("service", {}))
        policy = Policy(rules, default == "allow", "audit" if mode == "audit" else "enforce")
        return PolicyText(policy, traffics, self._text)

    def _parse(self) -> dict[str, Any]:
        try:
            size = len(self._text.encode())
            if size > MAX_TEXT:
                self._fail((), f"{size} bytes; a policy has at most {MAX_TEXT}", "config.file")
            if _DOTTED.search(self._text):
                text = f"a key of over {MAX_PARTS} parts, which no policy has"
                self._fail((), f"not a policy: {text}", "config.file")
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            found = _SYNTAX.fullmatch(str(error))
            reason = found[1] if found else str(error)
            line = int(found[2]) if found and found[2] else self._text.count("\n") + 1
            raise ConfigError("config.file", f"{self._file}:{line}: not TOML: {reason}") from None
        except RecursionError:
            self._fail((), "not a policy: arrays or tables are nested too deeply", "config.file")
        except ValueError:
            # A number of thousands of digits, or half a surrogate pair: nothing that a policy has.
            self._fail((), "not a policy: a value that TOML cannot have", "config.file")

    # --- rules -----------------------------------------------------------------------------------------------------

    def _rules(self, raw: object) -> tuple[Rule, ...]:
        if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
            self._fail(("rule",), "each rule is a table of its own; write [[rule]]")
        if len(raw) > MAX_RULES:
            self._fail(("rule",), f"{len(raw)} rules; at most {MAX_RULES} are allowed")
        rules = tuple(self._rule(item, index) for index, item in enumerate(raw))
        labels: dict[str, int] = {}
        for index, rule in enumerate(rules):
            if rule.label in labels:
                text = f"rule {labels[rule.label] + 1} is called {rule.label} as well; each name once"
                self._fail(("rule", index, "name"), text)
            labels[rule.label] = index
        self._check_effect(rules)
        return rules

    def _rule(self, raw: dict[str, Any], index: int) -> Rule:
        where: Path = ("rule", index)
        self._check_keys(raw, where, RULE_KEYS)
        for key in NEEDED:
            if key not in raw:
                self._fail(where, f"{key} is missing", "config.missing-key")
        action = self._at((*where, "action"), lambda: _choice(raw["action"], "allow", "deny"))
        name = raw.get("name")
        return Rule(
            action == "allow",
            f"rule {index + 1}" if name is None else self._at((*where, "name"), lambda: _label(name)),
            self._each(raw, where, "from", _subject),
            self._each(raw, where, "to", _service),
            self._each(raw, where, "methods", _method) if "methods" in raw else (),
            self._each(raw, where, "paths", _path) if "paths" in raw else (),
        )

    def _each(
        self, raw: dict[str, Any], where: Path, key: str, read: Callable[[object], ElementT]
    ) -> tuple[ElementT, ...]:
        """Read an array of a rule: not empty, nothing twice, and nothing beside what stands for everything."""
        items, path = raw[key], (*where, key)
        if not isinstance(items, list):
            self._fail(path, str(wrong(items, f"an array; write {key} = [ ... ]")))
        if not items:
            hint = (
                f"leave {key} out for all of them" if key in ("methods", "paths") else 'write ["*"] for all'
            )
            self._fail(path, f"empty, so the rule can never match; {hint}")
        if len(items) > MAX_ELEMENTS:
            self._fail(path, f"{len(items)} elements; at most {MAX_ELEMENTS} are allowed")
        elements = tuple(self._at(path, partial(read, item)) for item in items)
        if len(set(elements)) < len(elements):
            twice = next(item for place, item in enumerate(items) if elements[place] in elements[:place])
            self._fail(path, f'"{twice}" is there twice; keep one')
        if EVERY in items and len(items) > 1:
            self._fail(path, '"*" stands for all, so nothing else has an effect; keep one or the others')
        return elements

    def _check_effect(self, rules: tuple[Rule, ...]) -> None:
        """Refuse rules that allow what another rule denies altogether."""
        denying: defaultdict[str, list[int]] = defaultdict(list)
        for index, rule in enumerate(rules):
            for service in () if rule.allow else rule.services:
                denying[service].append(index)
        for place, rule in enumerate(rules):
            candidates = (*denying[EVERY], *denying[rule.services[0]]) if rule.allow else ()
            by = next((index for index in candidates if covers(rules[index], rule)), None)
            if by is not None:
                line = self._line(("rule", by))
                text = f"it can never allow anything: {rules[by].label} (line {line}) denies all that it is about"
                self._fail(("rule", place), f"{text}; drop one of them")

    # --- traffic ---------------------------------------------------------------------------------------------------

    def _traffics(self, raw: object) -> dict[str, Traffic]:
        if not isinstance(raw, dict):
            self._fail(("service",), "service is a table; write [service.NAME] and its keys below")
        for name in raw:
            if name != EVERY and not is_name(name):
                wanted = 'a service\'s name (1 to 63 of a-z, 0-9 and -), or "*" for all'
                self._fail(("service", name), str(wrong(name, wanted)))
        try:
            return read_traffics(raw, "service")
        except ConfigError as error:
            path = str(error).partition(": ")[0].replace('"', "").split(".")
            line = self._line(tuple(path))
            raise ConfigError(error.code, f"{self._file}:{line}: {error}") from None

    # --- errors ----------------------------------------------------------------------------------------------------

    def _check_keys(self, raw: dict[str, Any], where: Path, known: tuple[str, ...]) -> None:
        for key in raw:
            if key not in known:
                hint = "how requests to a service are tried belongs below [service.NAME]"
                hint = hint if not where and key == "traffic" else nearest(key, known)
                self._fail((*where, key), f"there is no such key; {hint}", "config.unknown-key")

    def _at(self, path: Path, read: Callable[[], ElementT]) -> ElementT:
        try:
            return read()
        except ConfigError as error:
            self._fail(path, str(error), error.code)

    def _line(self, path: Path) -> int:
        if self._lines is None:
            self._lines = lines_of(self._text)
        return line_of(self._lines, path)

    def _fail(self, path: Path, text: str, code: str = "config.value") -> NoReturn:
        where = f"{_shown(path)}: " if path else ""
        line = self._line(path) if path else 1
        raise ConfigError(code, f"{self._file}:{line}: {where}{text}")


def _shown(path: Path) -> str:
    """Give a path for people: ``rule 3.paths``."""
    parts = [f" {part + 1}" if isinstance(part, int) else f".{part}" for part in path]
    return ascii("".join(parts).removeprefix("."))[1:-1][:120]


def _choice(raw: object, *words: str) -> str:
    if not isinstance(raw, str) or raw not in words:
        raise wrong(raw, "one of " + ", ".join(f'"{word}"' for word in words))
    return raw


def _label(raw: object) -> str:
    if not isinstance(raw, str) or not is_name(raw):
        raise wrong(raw, "a name: 1 to 63 of a-z, 0-9 and -")
    if raw == DEFAULT_RULE:
        raise wrong(raw, "a name for a rule: it stands for what is decided where no rule matches")
    return raw


def _subject(raw: object) -> Subject:
    wanted = '"*", "service:NAME", "group:NAME" or "node:ID"'
    if not isinstance(raw, str):
        raise wrong(raw, wanted)
    if raw == EVERY:
        return Subject(Kind.EVERY)
    kind, colon, name = raw.partition(":")
    if not colon and is_name(raw):
        raise ConfigError("config.value", f'"{raw}" is not {wanted}; did you mean "service:{raw}"?')
    if kind == Kind.NODE.value:
        if _NODE.fullmatch(name) is None:
            hint = "a name is a label that may move to another node; `gossipmesh members --json` shows ids"
            raise wrong(raw, f'"node:" and the 64 hex digits of an id: {hint}')
    elif kind not in (Kind.SERVICE.value, Kind.GROUP.value) or not is_name(name):
        raise wrong(raw, f"{wanted}, with names of 1 to 63 of a-z, 0-9 and -")
    return Subject(Kind(kind), name)


def _service(raw: object) -> str:
    if raw == EVERY:
        return EVERY
    if not isinstance(raw, str) or not is_name(raw):
        raise wrong(raw, 'a service\'s name (1 to 63 of a-z, 0-9 and -), or "*" for all')
    return raw


def _method(raw: object) -> bytes:
    if not isinstance(raw, str) or len(raw) > MAX_METHOD or _METHOD.fullmatch(raw) is None:
        raise wrong(raw, 'a method in capitals, such as "GET"; leave methods out for all of them')
    if raw in _NEVER:
        raise ConfigError("config.value", f"{raw} reaches no http service, so the rule can never match it")
    return raw.encode()


def _path(raw: object) -> bytes:
    if not isinstance(raw, str) or len(raw) > MAX_PATH or _PATH.fullmatch(raw) is None:
        wanted = f'a path of at most {MAX_PATH} printable ASCII characters, such as "/v1/orders" or "/v1/*"'
        raise wrong(raw, f"{wanted}; percent-encode others")
    base = raw.removesuffix(BELOW.decode())
    if "*" in base:
        raise wrong(raw, 'a path: there are no patterns but "/*" at the end, for all that is below')
    if "?" in base:
        raise wrong(raw, "a path: what follows ? is not looked at")
    if base.count("/") > MAX_DEPTH:
        raise wrong(raw, f"a path of at most {MAX_DEPTH} segments")
    reason = ambiguous_path(base.encode()) if base else None
    if reason is None and base != raw and base.endswith("/"):
        reason = "it has an empty segment, which some apps leave out"
    if reason is not None:
        text = f"requests for such a path are refused ({reason}), so the rule can never match it"
        raise ConfigError("config.value", f'"{raw}": {text}')
    return raw.encode()

"""The text of a policy: what it says, and in which line is wrong what does not say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.config.policy_text import MAX_ELEMENTS, read_policy
from gossipmesh.errors import ConfigError
from gossipmesh.policy.document import MAX_TEXT
from gossipmesh.policy.rules import Kind, Rule, Subject
from gossipmesh.routing.rates import RateSettings

NODE = "0123456789abcdef" * 4
FULL = f"""
mode = "audit"
default = "deny"

[[rule]]
action = "allow"
name = "web-reads"
from = ["service:web", "group:ops", "node:{NODE}"]
to = ["orders", "carts"]
methods = ["GET", "HEAD"]
paths = ["/v1/orders", "/v1/orders/*", "/caf%C3%A9"]

[[rule]]
action = "deny"
from = ["*"]
to = ["*"]
paths = ["/admin/*"]

[service."*"]
timeout = "15s"
[service.orders]
balancer = "ewma"
rate = {{ per_second = 5, burst = 10 }}
"""
RULE = 'default = "deny"\n[[rule]]\naction = "allow"\nfrom = ["service:web"]\nto = ["orders"]\n'


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_policy(text, file="p.toml")
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_policy_can_say_everything() -> None:
    read = read_policy(FULL, version=7)
    assert read.text == FULL
    assert (read.policy.mode, read.policy.default_allow, read.policy.version) == ("audit", False, 7)
    assert read.policy.rules == (
        Rule(
            True,
            "web-reads",
            (Subject(Kind.SERVICE, "web"), Subject(Kind.GROUP, "ops"), Subject(Kind.NODE, NODE)),
            ("orders", "carts"),
            (b"GET", b"HEAD"),
            (b"/v1/orders", b"/v1/orders/*", b"/caf%C3%A9"),
        ),
        Rule(False, "rule 2", (Subject(Kind.EVERY),), ("*",), (), (b"/admin/*",)),
    )
    assert read.traffics["orders"].rate == RateSettings(5.0, 10)
    assert read.traffics["orders"].timeout_s == read.traffics["*"].timeout_s == 15.0


def test_the_least_policy_says_its_default() -> None:
    read = read_policy('default = "allow"')
    assert (read.policy.default_allow, read.policy.mode, read.policy.rules) == (True, "enforce", ())
    assert read.traffics == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.toml:1: default is missing; "),
        ('default = "maybe"', 'p.toml:1: default: "maybe" is not one of "allow", "deny"'),
        ('\ndefault = "allow"\nmode = true', "p.toml:3: mode: true is not one of"),
        ('default = "allow"\n\nmood = "audit"', "p.toml:3: mood: there is no such key; did you mean mode?"),
        ('default = "allow"\n[traffic.hello]', "p.toml:2: traffic: there is no such key; how requests"),
        (
            'default = "allow"\n[rule]\nx = 1',
            "p.toml:2: rule: each rule is a table of its own; write [[rule]]",
        ),
        ('default = "allow"\nrule = 3', "p.toml:2: rule: each rule"),
        ('default = "allow"\ndefault = "deny"', "p.toml:2: not TOML: "),
        ('default = "allow"\n[[rule]\n', "p.toml:2: not TOML: "),
        ('default = "allow', "p.toml:1: not TOML: "),
        ('default = "allow"\nx = [', "p.toml:2: not TOML: "),
        ("x = " + "[" * 10_000, "p.toml:1: not a policy: arrays or tables are nested too deeply"),
        ("x = " + "9" * 10_000, "p.toml:1: not a policy: a value"),
        ('default = "\ud800"', "p.toml:1: not a policy: a value"),
        ("a." * 10_000 + "a = 1", "p.toml:1: not a policy: a key of over 64 parts"),
        ("[" + "'a' . " * 3_000 + "a]", "p.toml:1: not a policy: a key of over 64 parts"),
        ("#" * (MAX_TEXT + 1), "p.toml:1: 32769 bytes; a policy has at most 32768"),
        (
            'default = "allow"\n[service.hello]\nbalancer = "best"',
            'p.toml:3: service.hello.balancer: "best" is',
        ),
        (
            'default = "allow"\n[service.hello]\n[service.hello.rate]\nburst = 0',
            "p.toml:4: service.hello.rate.burst: 0",
        ),
        (
            'default = "allow"\n[service."*"]\nretries = { attempt = 1 }',
            'p.toml:3: service."*".retries.attempt: there',
        ),
        ('default = "allow"\n[service."a.B"]\n', 'p.toml:2: service.a.B: "a.B" is not a service'),
        ('default = "allow"\nservice = 1', "p.toml:2: service: service is a table"),
        ('default = "allow"\nservice.hello = 1', "p.toml:2: service.hello: 1 is not a table"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(text: str, said: str) -> None:
    assert refused(text).startswith(said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('names = "x"', "names: there is no such key; did you mean name?"),
        ('name = "default"', 'name: "default" is not a name for a rule'),
        ('name = "A"', 'name: "A" is not a name'),
        ("methods = []", "methods: empty, so the rule can never match; leave methods out for all of them"),
        ('methods = "GET"', 'methods: "GET" is not an array; write methods = [ ... ]'),
        ('methods = ["get"]', 'methods: "get" is not a method in capitals'),
        ("methods = [1]", "methods: 1 is not a method in capitals"),
        ('methods = ["GET", "PUT", "GET"]', 'methods: "GET" is there twice; keep one'),
        ('methods = ["CONNECT"]', "methods: CONNECT reaches no http service, so the rule can never match it"),
        ("paths = []", "paths: empty, so the rule can never match"),
        ('paths = ["v1"]', 'paths: "v1" is not a path'),
        ('paths = ["/v1/*/x"]', 'paths: "/v1/*/x" is not a path: there are no patterns but "/*" at the end'),
        ('paths = ["/v1?x=1"]', 'paths: "/v1?x=1" is not a path: what follows ? is not looked at'),
        (
            'paths = ["/a//b"]',
            'paths: "/a//b": requests for such a path are refused (it has an empty segment',
        ),
        (
            'paths = ["/a//*"]',
            'paths: "/a//*": requests for such a path are refused (it has an empty segment',
        ),
        (
            'paths = ["/a/../b"]',
            'paths: "/a/../b": requests for such a path are refused (it has a segment . or ..',
        ),
        ('paths = ["/a%2Fb"]', 'paths: "/a%2Fb": requests for such a path are refused (it has %2f'),
        ('paths = ["/a#b"]', 'paths: "/a#b": requests for such a path are refused (it has #'),
        ('paths = ["/é"]', 'paths: "/\\u00e9" is not a path of at most 1024 printable ASCII characters'),
        (f'paths = ["{"/x" * 33}"]', 'paths: "/x/x/x'),
    ],
)
def test_what_is_wrong_in_a_rule_is_told_with_its_number(line: str, said: str) -> None:
    assert refused(RULE + line).startswith(f"p.toml:6: rule 1.{said}")


@pytest.mark.parametrize(
    ("said", "instead", "line", "text"),
    [
        ('"service:web"', "", 4, "from: empty, so the rule can never match; write"),
        (
            '"service:web"',
            '"web"',
            4,
            'from: "web" is not "*", "service:NAME", "group:NAME" or "node:ID"; did you',
        ),
        (
            '"service:web"',
            '"node:web-1"',
            4,
            'from: "node:web-1" is not "node:" and the 64 hex digits of an id',
        ),
        ('"service:web"', '"service:Web"', 4, 'from: "service:Web" is not'),
        ('"service:web"', '"zone:a"', 4, 'from: "zone:a" is not'),
        ('"service:web"', '"*", "group:a"', 4, 'from: "*" stands for all'),
        ('"service:web"', "7", 4, "from: 7 is not"),
        ('"service:web"', '["service:web"]', 4, "from: "),
        ('"orders"', "", 5, "to: empty"),
        ('"orders"', '"orders", "*"', 5, 'to: "*" stands for all'),
        ('"orders"', '"Orders"', 5, 'to: "Orders" is not a service'),
        ('"allow"', '"permit"', 3, 'action: "permit" is not one of "allow", "deny"'),
    ],
)
def test_who_and_what_a_rule_is_about_is_checked(said: str, instead: str, line: int, text: str) -> None:
    assert refused(RULE.replace(said, instead)).startswith(f"p.toml:{line}: rule 1.{text}")


@pytest.mark.parametrize("key", ["action", "from", "to"])
def test_a_rule_says_what_it_does_from_whom_and_to_what(key: str) -> None:
    text = "\n".join(line for line in RULE.splitlines() if not line.startswith(key))
    assert refused(text) == f"p.toml:2: rule 1: {key} is missing"


def test_too_many_elements_are_refused() -> None:
    names = ", ".join(f'"s{number}"' for number in range(MAX_ELEMENTS + 1))
    assert "257 elements; at most 256" in refused(RULE.replace('"orders"', names))


def test_a_name_is_given_once() -> None:
    rule = RULE.partition("\n")[2] + 'name = "x"\n'
    assert refused('default = "deny"\n' + rule + rule.replace("orders", "carts")) == (
        "p.toml:11: rule 2.name: rule 1 is called x as well; each name once"
    )


def test_a_rule_that_another_denies_altogether_is_refused() -> None:
    deny = '[[rule]]\naction = "deny"\nfrom = ["*"]\nto = ["orders"]\n'
    assert refused(RULE + deny) == (
        "p.toml:2: rule 1: it can never allow anything: rule 2 (line 6) denies all that it is about; drop one of them"
    )
    read_policy(RULE + deny + 'paths = ["/admin/*"]\n')


@given(st.text(max_size=300))
def test_whatever_is_written_is_a_policy_or_refused_in_one_line(text: str) -> None:
    try:
        read_policy(text)
    except ConfigError as error:
        assert str(error).startswith("policy:")
        assert str(error).isprintable()


@given(st.data())
def test_a_policy_with_a_piece_missing_or_doubled_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(FULL)))
    end = data.draw(st.integers(start, min(len(FULL), start + 60)))
    place = data.draw(st.integers(0, len(FULL)))
    text = (
        FULL[:place] + FULL[start:end] + FULL[place:]
        if data.draw(st.booleans())
        else FULL[:start] + FULL[end:]
    )
    try:
        read_policy(text)
    except ConfigError as error:
        assert str(error).startswith("policy:")
        assert str(error).isprintable()

"""``[traffic.NAME]``: what it says, and what is wrong with what does not say it."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from random import Random

import pytest

from gossipmesh.config.load import load
from gossipmesh.config.traffic import MAX_TABLES, read_traffic, read_traffics, show_traffic
from gossipmesh.errors import ConfigError
from gossipmesh.model import NodeId
from gossipmesh.routing.rates import RateSettings
from gossipmesh.routing.traffic import BreakerLimits, Ejection, Retries, Share, Sticky, Traffic
from gossipmesh.routing.upstreams import Upstream

FULL = """
balancer = "least-request"
sticky = { cookie = "gm" }
split = { v1 = 90, v2 = 10 }
zone = "any"
slow_start = "30s"
timeout = "15s"
retries = { attempts = 2, per_try_timeout = "5s", hedge = true }
limits = { in_flight = 100, queue = 0, wait = "250ms", adaptive = true }
ejection = { enabled = false, failures_in_a_row = 3, base = "1s", most = "1m", share = 30 }
rate = { per_second = 0.5, burst = 3 }
"""


def read(toml: str) -> Traffic:
    return read_traffic(tomllib.loads(toml), "traffic.hello")


def refused(toml: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(toml)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_table_can_say_everything() -> None:
    assert read(FULL) == Traffic(
        "least-request",
        Sticky("cookie", "gm"),
        (Share("v1", 90), Share("v2", 10)),
        "any",
        30.0,
        15.0,
        Retries(2, 5.0, True),
        BreakerLimits(100, 0, 0.25, True),
        Ejection(False, 3, 1.0, 60.0, 30),
        RateSettings(0.5, 3),
    )


@pytest.mark.parametrize("toml", ["", FULL, "sticky = { source = true }", 'timeout = "none"'])
def test_what_is_shown_says_the_same_again(toml: str) -> None:
    traffic = read(toml)
    shown = {key: value for key, value in show_traffic(traffic).items() if value is not None}
    assert isinstance(shown["retries"], dict)
    shown["retries"] = {key: value for key, value in shown["retries"].items() if value is not None}
    assert read_traffic(shown, "again") == traffic


def test_nothing_that_costs_more_requests_is_on_unless_it_is_said() -> None:
    traffic = read("")
    assert not traffic.retries.hedge
    assert not traffic.limits.adaptive
    assert traffic.ejection.failures_in_a_row > 1


def test_with_nothing_said_a_service_has_the_defaults() -> None:
    assert read("") == Traffic()


@pytest.mark.parametrize(
    ("toml", "sticky"),
    [
        ('sticky = { header = "X-User" }', Sticky("header", "x-user")),
        ("sticky = { source = true }", Sticky("source")),
        ('sticky = "none"', None),
    ],
)
def test_a_session_is_told_by_one_thing(toml: str, sticky: Sticky | None) -> None:
    assert read(toml).sticky == sticky


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("balancr = 1", "traffic.hello.balancr: there is no such key; did you mean balancer?"),
        ("attempts = 2", "traffic.hello.attempts: there is no such key; did you mean retries.attempts?"),
        (
            "retries = { atempts = 2 }",
            "traffic.hello.retries.atempts: there is no such key; did you mean attempts?",
        ),
        (
            'balancer = "fastest"',
            'traffic.hello.balancer: "fastest" is not one of round-robin, weighted, least-request, ewma, random',
        ),
        ("balancer = 1", "1 is not one of round-robin"),
        (
            "split = { v1 = 90, v2 = 20 }",
            "traffic.hello.split: 90 + 20 is 110; the percents of a split add up",
        ),
        ("split = { v1 = 99.5, v2 = 0.5 }", "split: v1: 99.5 is not a whole number from 0 to 100"),
        ("split = { v1 = -1, v2 = 101 }", "v1: -1 is not a whole number"),
        ("split = { v1 = true }", "v1: true is not a whole number"),
        ("split = { V1 = 100 }", '"V1" is not a tag'),
        ("split = 50", "50 is not a table of at most 16 tags"),
        (
            'sticky = { cookie = "a", header = "b" }',
            "sticky: a session is told by one thing, not by cookie and header",
        ),
        ('sticky = { cokie = "a" }', "there is no such kind of session as cokie; did you mean cookie?"),
        ("sticky = {}", 'sticky: {} is not one of { cookie = "NAME" }'),
        ('sticky = "cookie"', '"cookie" is not one of'),
        ("sticky = { source = false }", "sticky: false is not true"),
        ('sticky = { cookie = "a b" }', "is not the name of a cookie"),
        ('sticky = { cookie = "a=b;" }', "is not the name of a cookie"),
        ('sticky = { cookie = "__Host-gm" }', "is not the name of a cookie that browsers keep without TLS"),
        ('sticky = { cookie = "__secure-gm" }', "is not the name of a cookie that browsers keep without TLS"),
        (f'sticky = {{ header = "{"x" * 65}" }}', "is not the name of a header"),
        ("sticky = { header = true }", "true is not the name of a header"),
        ('sticky = { header = "Cookie" }', "is not a header that names a session"),
        ('zone = "near"', '"near" is not one of prefer, any'),
        ("slow_start = 30", 'slow_start: 30 has no unit; write "30s" or "30ms"'),
        ("timeout = 15", 'timeout: 15 has no unit; write "15s"'),
        ('timeout = "0s"', "is not a duration above zero"),
        ("retries = 2", "traffic.hello.retries: 2 is not a table of keys and values"),
        ("retries = { attempts = 0 }", "retries.attempts: 0 is not a whole number from 1 to 10"),
        ('retries = { hedge = "yes" }', 'retries.hedge: "yes" is not true or false'),
        (
            'timeout = "1s"\nretries = { per_try_timeout = "5s" }',
            "traffic.hello.retries.per_try_timeout: 5s is longer than traffic.hello.timeout (1s)",
        ),
        ("limits = { in_flight = 0 }", "limits.in_flight: 0 is not a whole number from 1"),
        ("limits = { queue = -1 }", "limits.queue: -1 is not a whole number from 0"),
        ("limits = { wait = 1 }", "limits.wait: 1 has no unit"),
        ("ejection = { share = 101 }", "ejection.share: 101 is not a whole number from 0 to 100"),
        (
            "ejection = { failures_in_a_row = 5000 }",
            "traffic.hello.ejection.failures_in_a_row: 5000 is not from 1 to 1000",
        ),
        (
            'ejection = { base = "2h", most = "3h" }',
            "traffic.hello.ejection.base: 7200.0 is not from 0.1 to 3600 seconds",
        ),
        ('limits = { wait = "20m" }', "traffic.hello.limits.wait: 1200.0 is not from 0.001 to 600 seconds"),
        ("rate = 100", "traffic.hello.rate: 100 is not a table of keys and values"),
        ("rate = { per_second = -1 }", "rate.per_second: -1 is not a number from 0.001 to 1000000, or 0 for"),
        ("rate = { per_second = true }", "rate.per_second: true is not a number"),
        ("rate = { per_second = nan }", "rate.per_second: NaN is not a number"),
        ("rate = { per_second = 1, burst = 0 }", "rate.burst: 0 is not a whole number from 1 to 1000000"),
        ("rate = { burst = 5 }", "rate.burst: 5 limits nothing without traffic.hello.rate.per_second"),
        ("per_second = 5", "traffic.hello.per_second: there is no such key; did you mean rate.per_second?"),
        ("rate = { per_sec = 5 }", "there is no such key; did you mean per_second?"),
        (
            "retries = { attempts = 1, hedge = true }",
            "retries.hedge: needs a second attempt, and traffic.hello.retries.attempts is 1",
        ),
        ('ejection = { base = "10m" }', "ejection.base: 10m is longer than most (5m)"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write(toml: str, text: str) -> None:
    assert text in refused(toml)


def test_a_split_has_at_most_sixteen_tags() -> None:
    parts = ", ".join(f"v{number} = {100 if number == 0 else 0}" for number in range(17))
    assert "a table of at most 16 tags" in refused(f"split = {{ {parts} }}")


def test_what_holds_for_all_holds_key_by_key_where_a_service_says_nothing() -> None:
    tables = tomllib.loads(
        '["*"]\nbalancer = "ewma"\nretries = { attempts = 2, hedge = true }\nsticky = { source = true }\n'
        '[hello]\nretries = { attempts = 5 }\nsticky = "none"\n'
    )
    read = read_traffics(tables, "traffic")
    assert read["hello"] == Traffic("ewma", retries=Retries(5, math.inf, True))
    assert read["*"] == Traffic("ewma", Sticky("source"), retries=Retries(2, math.inf, True))


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        (
            {"Hello": {}},
            'traffic: "Hello" is not a service\'s name (1 to 63 of a-z, 0-9 and -), or "*" for all',
        ),
        ({"*": 1}, 'traffic."*": 1 is not a table of keys and values'),
        ({"*": {"zone": 1}}, 'traffic."*".zone: 1 is not one of'),
        ({f"s{number}": {} for number in range(MAX_TABLES + 1)}, "traffic: 1025 services; at most 1024"),
    ],
)
def test_tables_that_cannot_be_are_refused(tables: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_traffics(tables, "traffic")
    assert text in str(caught.value)


def test_a_file_says_it_by_service_and_the_configuration_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text('[traffic.hello]\nbalancer = "ewma"\n')
    loaded = load(file, {}, {}, host_name="web-1", root=True)
    assert loaded.config.traffic == {"hello": Traffic("ewma")}
    described = loaded.describe()["traffic"]
    assert described == {"value": {"hello": show_traffic(Traffic("ewma"))}, "origin": str(file)}


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ('[traffic.hello]\nbalancer = "x"', 'mesh.toml: traffic.hello.balancer: "x" is not one of'),
        ("traffic = 1", "mesh.toml: traffic is a table; write [traffic.SERVICE] and its keys below"),
        (
            '[traffic]\nbalancer = "ewma"',
            'traffic.balancer: "ewma" is not a table; write [traffic."*"] above what',
        ),
        ("[trafic.hello]", "there is no table [trafic]; did you mean traffic?"),
    ],
)
def test_a_file_that_says_it_wrong_is_named(tmp_path: Path, toml: str, text: str) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {}, host_name="web-1", root=True)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "toml",
    [
        FULL,
        'ejection = { base = "1h", most = "24h", failures_in_a_row = 1000, share = 100 }',
        "ejection = { share = 0 }",
        'limits = { in_flight = 1000000, queue = 100000, wait = "10m" }',
        "rate = { per_second = 1000000, burst = 1000000 }",
    ],
)
def test_what_is_read_is_what_the_machines_take(toml: str) -> None:
    upstream = Upstream("hello", read(toml), origin=NodeId(bytes(32)), key=b"", rng=Random(1))
    assert upstream.traffic == read(toml)

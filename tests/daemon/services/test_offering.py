"""What a node offers, as values: each change gives another one, or is refused."""

from __future__ import annotations

from math import inf

import pytest
from attrs import evolve

from gossipmesh.config.model import ServiceConfig
from gossipmesh.daemon.services.offering import (
    MAX_TTL_S,
    RUN_TIME,
    ConfiguredError,
    NoSuchServiceError,
    Offering,
)
from gossipmesh.errors import ConfigError
from gossipmesh.model import MAX_SERVICES

WEB = ServiceConfig("web", 80)
CRON = ServiceConfig("cron", 81)
FILE = Offering.of([WEB], "mesh.toml")


def names(offering: Offering) -> list[str]:
    return [each.name for each in offering.services]


def test_what_was_added_stays_until_nobody_renews_it() -> None:
    added = FILE.added(CRON, ttl_s=30, now=100.0)
    assert (names(added), names(FILE)) == (["web", "cron"], ["web"])
    assert added.of_name("cron").origin == RUN_TIME
    assert added.deadline == 130.0
    assert added.unexpired(now=129.9) is added
    renewed = added.renewed("cron", now=120.0)
    assert names(renewed.unexpired(now=149.9)) == ["web", "cron"]
    assert names(renewed.unexpired(now=150.0)) == ["web"]
    with pytest.raises(NoSuchServiceError, match="it offers: web"):
        renewed.unexpired(now=150.0).renewed("cron", now=151.0)


def test_adding_it_again_renews_and_replaces_it() -> None:
    added = FILE.added(CRON, ttl_s=30, now=100.0).added(evolve(CRON, weight=3), ttl_s=inf, now=110.0)
    assert added.deadline == inf
    assert added.of_name("cron").service.weight == 3


def test_what_the_configuration_declares_can_be_changed_but_not_added() -> None:
    with pytest.raises(ConfiguredError, match=r"web is declared by mesh\.toml"):
        FILE.added(WEB, ttl_s=inf, now=0.0)
    changed = FILE.changed(evolve(WEB, weight=9))
    assert (changed.of_name("web").changed, FILE.of_name("web").changed) == (True, False)
    assert names(FILE.removed("web")) == []
    with pytest.raises(NoSuchServiceError, match="it offers: web"):
        FILE.removed("cron")


def test_a_reload_has_the_last_word_about_what_it_declares_and_leaves_the_rest() -> None:
    running = FILE.changed(evolve(WEB, weight=9)).added(CRON, ttl_s=30, now=0.0)
    same = running.reloaded([WEB], "mesh.toml")
    assert same.of_name("web").service == WEB
    assert same.of_name("cron").expires == 30.0
    declared = running.reloaded([evolve(CRON, port=90)], "mesh.toml")
    assert names(declared) == ["cron"]
    assert declared.of_name("cron").service.port == 90
    assert declared.deadline == inf
    assert names(FILE.removed("web").reloaded([WEB], "mesh.toml")) == ["web"]


@pytest.mark.parametrize("ttl_s", [0.5, MAX_TTL_S + 1])
def test_a_time_to_live_is_neither_a_moment_nor_for_ever(ttl_s: float) -> None:
    with pytest.raises(ConfigError, match="from 1s to 1d"):
        FILE.added(CRON, ttl_s=ttl_s, now=0.0)


def test_there_is_a_most_of_services_however_they_come() -> None:
    full = Offering.of([ServiceConfig(f"s{number}", 80) for number in range(MAX_SERVICES)], "x")
    with pytest.raises(ConfigError, match="that is the most"):
        full.added(CRON, ttl_s=inf, now=0.0)
    some = FILE.added(CRON, ttl_s=inf, now=0.0)
    with pytest.raises(ConfigError, match="at most 64"):
        some.reloaded(full.removed("s0").added(WEB, ttl_s=inf, now=0.0).services, "x")

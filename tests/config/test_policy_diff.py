"""How two policies differ, in words."""

from __future__ import annotations

from gossipmesh.config.policy_diff import differences
from gossipmesh.config.policy_text import read_policy

OLD = """
default = "allow"
[[rule]]
action = "deny"
from = ["*"]
to = ["orders"]
paths = ["/admin/*"]
[[rule]]
action = "deny"
name = "no-cron"
from = ["service:cron"]
to = ["*"]
[service.orders]
timeout = "15s"
"""


def told(old: str, new: str) -> list[str]:
    return differences(read_policy(old), read_policy(new))


def test_a_policy_does_not_differ_from_itself_nor_from_another_order_of_its_rules() -> None:
    first, second, third = OLD.split("[[rule]]")
    third, traffic = third.split("[service")
    moved = f"{first}[[rule]]{third}[[rule]]{second}[service{traffic}  # a comment"
    assert told(OLD, OLD) == told(OLD, moved) == []


def test_what_changes_is_told_one_line_each() -> None:
    new = """
mode = "audit"
default = "deny"
[[rule]]
action = "allow"
from = ["service:web", "group:ops"]
to = ["orders"]
methods = ["GET", "PUT"]
[[rule]]
action = "deny"
name = "no-cron"
from = ["service:cron"]
to = ["carts"]
[service.orders]
timeout = "5s"
rate = { per_second = 3, burst = 5 }
[service.carts]
sticky = { cookie = "gm" }
"""
    assert told(OLD, new) == [
        "mode: enforce -> audit",
        "default: allow -> deny",
        "- deny * to orders, paths /admin/*",
        "+ allow service:web, group:ops to orders, methods GET PUT",
        "no-cron: deny service:cron to * -> deny service:cron to carts",
        "service.carts.sticky: none -> {cookie = gm}",
        "service.orders.timeout: 15s -> 5s",
        "service.orders.rate.per_second: 0.0 -> 3.0",
        "service.orders.rate.burst: 100 -> 5",
    ]


def test_what_holds_for_all_services_is_compared_with_what_is_said_of_one() -> None:
    every = 'default = "allow"\n[service."*"]\ntimeout = "15s"\n'
    assert told(every, every + "[service.orders]\n") == []
    assert told(every, 'default = "allow"\n') == ["service.*.timeout: 15s -> not said"]
    assert told('default = "allow"', 'default = "allow"\n[service.x]\nretries.hedge = true\n') == [
        "service.x.retries.hedge: false -> true"
    ]

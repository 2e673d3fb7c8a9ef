"""``[dns]``: what is taken, what is refused, and how it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipmesh.config.load import Loaded, load
from gossipmesh.config.model import DnsConfig
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address


def loaded(tmp_path: Path, text: str = "", **variables: str) -> Loaded:
    file = tmp_path / "mesh.toml"
    file.write_text(f"[dns]\n{text}\n")
    environ = {f"GOSSIPMESH_{name.upper()}": value for name, value in variables.items()}
    return load(file, environ, {}, host_name="web-1", root=False)


def test_by_default_this_host_alone_can_ask_about_the_mesh_and_nothing_else(tmp_path: Path) -> None:
    assert loaded(tmp_path).config.dns == DnsConfig(Address("127.0.0.1", 8600), "mesh", 1.0, ())


def test_everything_can_be_said(tmp_path: Path) -> None:
    resolvers = '"10.0.0.2", "[2001:db8::1]:5353", "2001:db8::1"'
    text = f'listen = "127.0.0.53:53"\ndomain = "Mesh.Internal."\nttl = "30s"\nforward = [{resolvers}]'
    found = loaded(tmp_path, text)
    assert found.config.dns == DnsConfig(
        Address("127.0.0.53", 53),
        "mesh.internal",
        30.0,
        (Address("10.0.0.2", 53), Address("2001:db8::1", 5353), Address("2001:db8::1", 53)),
    )
    shown = {path: entry["value"] for path, entry in found.describe().items() if path.startswith("dns.")}
    assert shown == {
        "dns.listen": "127.0.0.53:53",
        "dns.domain": "mesh.internal",
        "dns.ttl": "30s",
        "dns.forward": ["10.0.0.2:53", "[2001:db8::1]:5353", "[2001:db8::1]:53"],
    }


def test_variables_say_it_too_and_off_is_nowhere(tmp_path: Path) -> None:
    found = loaded(tmp_path, dns="off", dns_forward="10.0.0.2,10.0.0.3:5353", dns_ttl="0s")
    assert found.config.dns == DnsConfig(
        None, "mesh", 0.0, (Address("10.0.0.2", 53), Address("10.0.0.3", 5353))
    )
    assert found.describe()["dns.listen"] == {"value": "off", "origin": "GOSSIPMESH_DNS"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('listen = "resolver:53"', "is not an IP address"),
        ('domain = "mesh..internal"', "a domain such as"),
        ('domain = "m_sh"', "a domain such as"),
        (f'domain = "{"a" * 60}.{"b" * 60}"', "a domain such as"),
        ("ttl = 5", "has no unit"),
        ("ttl = true", "a duration such as"),
        ('ttl = "500ms"', "whole seconds"),
        ('ttl = "25h"', "at most 24h"),
        ('forward = "10.0.0.2"', "an array"),
        ('forward = ["resolver"]', "HOST:PORT"),
        ('forward = ["resolver:53"]', "an IP address"),
        ('forward = ["10.0.0.2:0"]', "an address that can be asked"),
        ('forward = ["0.0.0.0"]', "an address that can be asked"),
        ("forward = [" + ", ".join(f'"10.0.0.{i}"' for i in range(9)) + "]", "at most 8"),
        ('listen = "127.0.0.1:53"\nforward = ["127.0.0.1"]', "where this node listens itself"),
        ('listen = "0.0.0.0:53"\nforward = ["127.0.0.1"]', "where this node listens itself"),
        ('listen = "127.0.0.1:4140"', "twice (proxy, admin, dns, upstreams, gateways)"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_to_write(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)

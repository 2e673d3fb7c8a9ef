from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from attrs import evolve

from gossipmesh.config.load import Loaded, label_of, load
from gossipmesh.config.model import ServiceConfig
from gossipmesh.errors import ConfigError
from gossipmesh.membership.parameters import LAN, PROFILES
from gossipmesh.model import Address, Protocol
from gossipmesh.proxy.limits import ProxyLimits

FULL = """
[node]
name = "web-1"
zone = "eu-1a"
join = ["seed:7946"]
token_file = "/run/secrets/mesh-token"
state = "/state"
bind = "10.0.0.1:7000"
advertise = "192.0.2.1"

[[service]]
name = "hello"
port = 8080
weight = 3
tags = ["v2"]
protocol = "http"

[[upstream]]
service = "world"
listen = "127.0.0.1:9191"

[proxy]
listen = "127.0.0.1:4141"
as = "hello"
connect_timeout = "500ms"
request_timeout = "none"
head_bytes = "32KiB"

[admin]
listen = "127.0.0.1:4192"

[gossip]
profile = "wan"
probe_period = "6s"
stream_probe = false

[log]
format = "text"
access = "errors"
"""


def loaded(
    tmp_path: Path,
    toml: str = "",
    *,
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> Loaded:
    file = tmp_path / "mesh.toml"
    file.write_text(toml)
    return load(file, environ or {}, flags or {}, host_name="Build_7.example.org", root=True)


def refused(
    tmp_path: Path,
    toml: str = "",
    *,
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, toml, environ=environ, flags=flags)
    text = str(caught.value)
    assert text.isprintable()
    return text.replace(str(tmp_path / "mesh.toml"), "mesh.toml")


def test_with_nothing_said_everything_has_its_default() -> None:
    config = load(None, {}, {}, host_name="web-1", root=True).config
    assert (config.node.name, config.node.zone, config.node.join) == ("web-1", "", ())
    assert config.node.bind == Address("0.0.0.0", 7946)
    assert config.proxy.listen == Address("127.0.0.1", 4140)
    assert config.admin.listen == Address("127.0.0.1", 4191)
    assert (config.gossip, config.proxy.limits) == (LAN, ProxyLimits())


def test_a_file_can_say_everything(tmp_path: Path) -> None:
    config = loaded(tmp_path, FULL).config
    assert config.node.advertise == Address("192.0.2.1", 0)
    assert config.services == (ServiceConfig("hello", 8080, Protocol.HTTP, 3, ("v2",)),)
    assert config.upstreams[0].listen == Address("127.0.0.1", 9191)
    assert config.proxy.limits.connect_timeout_s == 0.5
    assert config.proxy.limits.request_timeout_s == math.inf
    assert config.proxy.limits.head_bytes == 32_768
    assert config.gossip == evolve(PROFILES["wan"], probe_period_s=6.0, stream_probe=False)
    assert (config.log.format, config.log.access) == ("text", "errors")


def test_a_flag_comes_before_a_variable_before_the_file_before_the_default(tmp_path: Path) -> None:
    toml, environ, flags = '[node]\nzone = "file"', {"GOSSIPMESH_ZONE": "variable"}, {"node.zone": "flag"}
    for given, zone, origin in (
        (loaded(tmp_path, toml, environ=environ, flags=flags), "flag", "--zone"),
        (loaded(tmp_path, toml, environ=environ), "variable", "GOSSIPMESH_ZONE"),
        (loaded(tmp_path, toml), "file", str(tmp_path / "mesh.toml")),
        (loaded(tmp_path), "", "default"),
    ):
        assert (given.config.node.zone, given.origins["node.zone"]) == (zone, origin)


def test_the_proxy_may_be_told_to_go_outside_and_to_parse_everything_with_h11(tmp_path: Path) -> None:
    toml = '[proxy]\nexternal = "direct"\nallow = ["*.Example.com", "192.0.2.7"]\nfast_lane = false'
    environ = {
        "GOSSIPMESH_PROXY_EXTERNAL": "direct",
        "GOSSIPMESH_PROXY_ALLOW": "*.example.com, 192.0.2.7",
        "GOSSIPMESH_PROXY_FAST_LANE": "false",
    }
    for given in (loaded(tmp_path, toml), loaded(tmp_path, environ=environ)):
        proxy = given.config.proxy
        assert (proxy.external, proxy.allow) == ("direct", ("*.example.com", "192.0.2.7"))
        assert not proxy.fast_lane
    assert loaded(tmp_path).config.proxy.fast_lane


def test_a_service_may_speak_tcp(tmp_path: Path) -> None:
    toml = '[[service]]\nname = "db"\nport = 5432\nprotocol = "tcp"'
    flags: dict[str, object] = {"service": ("db=5432,protocol=tcp",)}
    for given in (loaded(tmp_path, toml), loaded(tmp_path, flags=flags)):
        assert given.config.services == (ServiceConfig("db", 5432, Protocol.TCP),)


def test_a_list_is_one_value_so_that_a_flag_replaces_the_files(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        FULL,
        flags={"service": ("other=1",), "proxy.as": None},
        environ={"GOSSIPMESH_PROXY_AS": "other"},
    ).config
    assert [service.name for service in config.services] == ["other"]


def test_flags_that_were_not_given_change_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, FULL, flags={"node.zone": None, "service": (), "node.join": ()}) == loaded(
        tmp_path, FULL
    )


def test_variables_hold_lists_numbers_and_switches(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        environ={
            "GOSSIPMESH_JOIN": "a, b:1",
            "GOSSIPMESH_SERVICE": "hello=80,weight=3 world=81",
            "GOSSIPMESH_UPSTREAM": "x=1",
            "GOSSIPMESH_GOSSIP_INDIRECT_PROBES": "5",
            "GOSSIPMESH_GOSSIP_STREAM_PROBE": "false",
            "GOSSIPMESH_GOSSIP_NACK_SHARE": "0.5",
            "GOSSIPMESH_PROXY": "5000",
        },
    ).config
    assert config.node.join == ("a:7946", "b:1")
    assert [(service.name, service.weight) for service in config.services] == [("hello", 3), ("world", 1)]
    assert (config.gossip.indirect_probes, config.gossip.stream_probe, config.gossip.nack_share) == (
        5,
        False,
        0.5,
    )
    assert config.proxy.listen.port == 5000


def test_variables_that_are_empty_secret_or_injected_by_kubernetes_are_no_keys(tmp_path: Path) -> None:
    environ = {
        "GOSSIPMESH_ZONE": "",
        "GOSSIPMESH_TOKEN": "gmt1.x",
        "GOSSIPMESH_CONFIG": "/x",
        "GOSSIPMESH_SERVICE_HOST": "10.0.0.1",
        "GOSSIPMESH_SERVICE_PORT_MESH": "7946",
        "GOSSIPMESH_PORT": "tcp://10.0.0.1:7946",
        "GOSSIPMESH_PORT_7946_TCP_ADDR": "10.0.0.1",
        "GOSSIPMESH_SEED_PORT_7946_UDP": "x",
        "GOSSIPMESH_SEED_SERVICE_HOST": "x",
    }
    assert loaded(tmp_path, environ=environ) == loaded(tmp_path)


def test_apps_speak_as_the_only_service_and_as_none_of_two(tmp_path: Path) -> None:
    one = loaded(tmp_path, flags={"service": ["hello=80"]})
    assert (one.config.proxy.as_service, one.origins["proxy.as"]) == ("hello", "the only service")
    assert loaded(tmp_path, flags={"service": ["hello=80", "world=81"]}).config.proxy.as_service is None


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ('[node]\nnmae = "x"', "mesh.toml: node.nmae: there is no such key; did you mean name?"),
        ('[nod]\nname = "x"', "mesh.toml: there is no table [nod]; did you mean node?"),
        ('name = "x"', "mesh.toml: there is no table [name]; name belongs below [node]"),
        ("node = 1", "mesh.toml: node is a table; write [node] and its keys below"),
        ('[service]\nname = "x"', "mesh.toml: each service is a table of its own; write [[service]]"),
        ('[[service]]\nname = "x"', "mesh.toml: service[0]: port is missing"),
        ("[[service]]\nprot = 1", "mesh.toml: service[0].prot: there is no such key; did you mean port?"),
        ('[node]\nname = "X"', 'mesh.toml: node.name: "X" is not a name: 1 to 63 of a-z, 0-9 and -'),
        ("[proxy]\nkeep_alive = 5", 'mesh.toml: proxy.keep_alive: 5 has no unit; write "5s" or "5ms"'),
        ('[gossip]\nprofile = "mars"', 'mesh.toml: gossip.profile: "mars" is not one of local, lan, wan'),
        (
            '[gossip]\nprobe_period = "100ms"',
            "mesh.toml: gossip.probe_timeout_max (0.5s) is above gossip.probe_period (0.1s)",
        ),
        ('[proxy]\nas = "x"', "mesh.toml: proxy.as: x is not a service of this node (it has: none)"),
        (
            '[[service]]\nname = "db"\nport = 1\nprotocol = "udp"',
            'mesh.toml: service[0].protocol: "udp" is not one of http, tcp',
        ),
        (
            '[proxy]\nallow = ["example.com"]',
            'mesh.toml: proxy.allow has no effect while proxy.external is "refuse"; '
            'set it to "direct", or drop the list',
        ),
        (
            '[proxy]\nexternal = "direct"',
            'mesh.toml: proxy.external is "direct", but proxy.allow names nothing; list what may be gone to',
        ),
        (
            '[proxy]\nexternal = "direct"\nallow = ["http://example.com"]',
            'mesh.toml: proxy.allow: "http://example.com" is not a name such as "example.com" or "*.example.com"',
        ),
        ("a =", "mesh.toml: Invalid value (at end of document)"),
        (
            '[proxy]\nlisten = "4191"',
            "127.0.0.1:4191 is to be listened on twice (proxy, admin, dns, upstreams, gateways); "
            "give each a port of its own",
        ),
    ],
)
def test_an_error_says_where_what_and_what_to_write(tmp_path: Path, toml: str, text: str) -> None:
    assert refused(tmp_path, toml) == text


def test_an_error_in_a_flag_or_variable_names_it(tmp_path: Path) -> None:
    assert refused(tmp_path, flags={"node.zone": "EU"}).startswith('--zone: "EU" is not a name')
    assert refused(tmp_path, environ={"GOSSIPMESH_ZONE": "EU"}).startswith('GOSSIPMESH_ZONE: "EU" is not')
    text = refused(tmp_path, environ={"GOSSIPMESH_ZON": "EU"})
    assert text == "GOSSIPMESH_ZON is not a variable of gossipmesh; did you mean GOSSIPMESH_ZONE?"


def test_services_are_at_most_64_and_none_is_there_twice(tmp_path: Path) -> None:
    many = [f"s{n}={n + 1}" for n in range(65)]
    assert len(loaded(tmp_path, flags={"service": many[:64]}).config.services) == 64
    assert refused(tmp_path, flags={"service": many}) == "--service: 65 of them; at most 64 are allowed"
    assert (
        refused(tmp_path, flags={"service": ["a=1", "a=2"]})
        == "--service: service a is there twice; keep one"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file or directory; check the path"):
        load(tmp_path / "none.toml", {}, {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "binary", {}, {})


def test_what_is_described_is_json_with_every_path_and_its_origin(tmp_path: Path) -> None:
    first = loaded(tmp_path, FULL)
    described = json.loads(json.dumps(first.describe()))
    assert described["proxy.connect_timeout"] == {"value": "500ms", "origin": str(tmp_path / "mesh.toml")}
    assert described["service"]["value"][0]["weight"] == 3
    assert described.keys() == first.origins.keys()


@pytest.mark.parametrize(
    ("host_name", "label"),
    [("Web-1.example", "web-1"), ("a_b", "a-b"), ("", "node"), ("x" * 70, "x" * 63), ("ü", "-")],
)
def test_a_host_name_makes_a_node_name(host_name: str, label: str) -> None:
    assert label_of(host_name) == label

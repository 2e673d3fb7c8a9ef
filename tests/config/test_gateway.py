"""What a [[gateway]] may say, and how what is wrong in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipmesh.config.load import load
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address
from gossipmesh.proxy.routes import Route

ROUTE = 'routes = [{ path = "/hello", service = "hello" }]'


def loaded(tmp_path: Path, text: str) -> list[dict[str, object]]:
    file = tmp_path / "gm.toml"
    file.write_text(text)
    described = load(file, {}, {}).describe()["gateway"]
    assert described["origin"] == str(file)
    shown = described["value"]
    assert isinstance(shown, list)
    return shown


def test_a_gateway_is_read_and_shown_again(tmp_path: Path) -> None:
    text = """
    [[gateway]]
    listen = 8443
    trusted_hops = 1
    trusted_headers = ["X-Real-IP"]
    tls = { cert = "/tls/tls.crt", key = "/tls/tls.key" }
    routes = [
        { host = "WWW.Example.com.", path = "/shop/", service = "shop" },
        { host = "*.example.com", service = "site" },
        { service = "rest" },
    ]
    """
    assert loaded(tmp_path, text) == [
        {
            "listen": "0.0.0.0:8443",
            "routes": [
                {"host": "www.example.com", "path": "/shop", "service": "shop"},
                {"host": "*.example.com", "path": "/", "service": "site"},
                {"host": "*", "path": "/", "service": "rest"},
            ],
            "tls": {"cert": "/tls/tls.crt", "key": "/tls/tls.key"},
            "trusted_hops": 1,
            "trusted_headers": ["x-real-ip"],
            "drain_delay": "3s",
        }
    ]


def test_little_need_be_said(tmp_path: Path) -> None:
    file = tmp_path / "gm.toml"
    file.write_text(f'[[gateway]]\nlisten = "[::1]:80"\n{ROUTE}\n')
    (gateway,) = load(file, {}, {}).config.gateways
    assert gateway.listen == Address("::1", 80)
    assert gateway.routes == (Route("hello", "*", "/hello"),)
    assert (gateway.tls, gateway.trusted_hops) == (None, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen = 80", "gateway[0]: routes is missing"),
        (ROUTE, "gateway[0]: listen is missing"),
        (f'listen = "example.com:80"\n{ROUTE}', "'example.com' is not an IP address"),
        ("listen = 80\nroutes = []", "an array of 1 to 1024 routes"),
        ("listen = 80\nroutes = [1]", "routes: [0]: 1 is not a route"),
        ('listen = 80\nroutes = [{ path = "/" }]', "routes: [0]: service is missing"),
        ('listen = 80\nroutes = [{ service = "A" }]', 'routes: [0]: service: "A" is not a name'),
        ('listen = 80\nroutes = [{ service = "a", prefix = "/" }]', "there is no key prefix"),
        (
            'listen = 80\nroutes = [{ service = "a", hosts = "b" }]',
            "there is no key hosts; did you mean host?",
        ),
        ('listen = 80\nroutes = [{ service = "a", host = "b:80" }]', "without a port"),
        (f'listen = 80\n{ROUTE}\ntrusted_headers = ["cookie"]', "'cookie' reaches services as it is"),
        (f'listen = 80\n{ROUTE}\ntrusted_headers = ["x_real_ip"]', "none that can be believed"),
        (f'listen = 80\n{ROUTE}\ntrusted_headers = "x-real-ip"', "an array of header names"),
        (f"listen = 80\n{ROUTE}\ndrain_delay = 3", "unit"),
        ('listen = 80\nroutes = [{ service = "a", host = "a b" }]', 'host: "a b" is not a host'),
        ('listen = 80\nroutes = [{ service = "a", path = "b" }]', 'path: "b" is not a path'),
        ('listen = 80\nroutes = [{ service = "a", path = "/b/../c" }]', "no dot segments"),
        ('listen = 80\nroutes = [{ service = "a", path = "/b?c" }]', "no query"),
        (
            'listen = 80\nroutes = [{ service = "a", path = "/b" }, { service = "c", path = "/b/" }]',
            "* with /b is there twice",
        ),
        (f"listen = 80\n{ROUTE}\ntrusted_hops = -1", "trusted_hops: -1 is not a whole number from 0 to 16"),
        (f"listen = 80\n{ROUTE}\ntls = true", "a certificate and its key"),
        (f'listen = 80\n{ROUTE}\ntls = {{ cert = "a" }}', "tls: key is missing"),
        (f'listen = 80\n{ROUTE}\ntls = {{ crt = "a" }}', "there is no key crt; did you mean cert?"),
        (
            f"listen = 80\n{ROUTE}\ntrust = 1",
            "gateway[0].trust: there is no such key; known are listen, routes, tls, trusted_hops",
        ),
        (f'listen = "127.0.0.1:4140"\n{ROUTE}', "127.0.0.1:4140 is to be listened on twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"[[gateway]]\n{text}\n")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gateway_is_set_in_a_file_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GOSSIPMESH_GATEWAY is not a variable"):
        load(None, {"GOSSIPMESH_GATEWAY": "80"}, {})
    with pytest.raises(ConfigError, match="gateway"):
        loaded(tmp_path, "gateway = 80")

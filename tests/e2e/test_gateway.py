"""A daemon with a gateway: configured, over TLS, and drained."""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path

from certificates import NAME, write_certificate
from harness import LOCAL_PROFILE, Mesh, Node, eventually
from webapp import WebApp
from webclient import request

CONFIG = """
[[gateway]]
listen = "127.0.0.1:0"
routes = [{{ host = "{name}", path = "/shop", service = "hello" }}]

[[gateway]]
listen = "127.0.0.1:0"
tls = {{ cert = "{cert}", key = "{key}" }}
routes = [{{ service = "hello" }}]
"""


def listening(node: Node) -> list[str]:
    """Give where its gateways listen, as it says in its status and in its log."""
    lines = [json.loads(line) for line in node.log().splitlines() if line.startswith("{")]
    told: list[str] = node.ask("status")["listen"]["gateways"]
    assert told == [line["listen"] for line in lines if line["event"] == "gateway"]
    return told


def test_strangers_get_what_is_published_over_http_and_tls_and_nothing_else(
    mesh: Mesh, tmp_path: Path
) -> None:
    files = write_certificate(tmp_path)
    app = WebApp("hello-1")
    try:
        hello = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        edge = mesh.node("edge", join=hello)
        text = LOCAL_PROFILE + CONFIG.format(name=NAME, cert=files.cert, key=files.key)
        edge.arguments[1] = str(mesh.write("edge.toml", text))
        edge.start().ready()
        eventually(lambda: edge.healthy("hello") == 1)
        plain, secure = listening(edge)

        assert request(plain, "/shop/cart", host=NAME).instance == "hello-1"
        for target, host in (("/", NAME), ("/shop", "other"), ("http://hello/", None), ("/shop/../x", NAME)):
            refused = request(plain, target, host=host)
            assert refused.status in (400, 404)
            assert refused.error == ""

        context = ssl.create_default_context(cafile=files.cert)
        context.check_hostname = False  # It is asked by its address.
        with urllib.request.urlopen(f"https://{secure}/any", context=context, timeout=20) as answer:
            assert answer.headers["X-Instance"] == "hello-1"
        assert app.requests[-1].header("x-forwarded-proto") == "https"
        assert edge.terminate() == 0
    finally:
        app.close()

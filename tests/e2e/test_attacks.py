"""Attacks on real daemons through real sockets: raw HTTP, places that are nobody's business, floods, and secrets."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pytest

from gossipmesh.daemon.admin.answers import PATHS
from gossipmesh.identity.token import parse_token
from harness import Mesh, Node, eventually, said, unused_port
from junk import flood
from webapp import WebApp
from webclient import request

SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: hello\r\nx-gossipmesh-source: root\r\n\r\n"
JUNK_S: Final = 2.0
FLAT: Final = 24 * 1024
"""KiB that a daemon's memory may grow by while it is flooded: its bounded inbox, and what it warms up meanwhile."""


class Raw:
    """A TCP app that keeps every byte it gets and answers none."""

    def __init__(self) -> None:
        self.got = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65_536):
                    self.got += data

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def sent_raw(address: str, data: bytes, *, until: bytes = b"") -> bytes:
    """Send bytes as they are, then no more, and give all that comes back; or that with ``until`` in it, and hang up."""
    with socket.create_connection(split(address), timeout=20.0) as connection:
        connection.sendall(data)
        if not until:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while not (until and until in received) and (data := connection.recv(65_536)):
            received += data
        return received


@pytest.fixture
def apps() -> Iterator[tuple[WebApp, Raw]]:
    with WebApp("hello-1") as app, Raw() as raw:
        yield app, raw


def test_no_request_reaches_what_it_has_no_business_with(mesh: Mesh, apps: tuple[WebApp, Raw]) -> None:
    """Raw HTTP through CONNECT and an unconfirmed upgrade, other ports and hosts, files, and the node's own admin."""
    app, raw = apps
    tcp = f"db={raw.port},protocol=tcp"
    web = mesh.node("web", "--service", tcp, services={"hello": app.port}).start().ready()
    client = mesh.node("client", join=web).start().ready()
    eventually(lambda: (client.healthy("hello"), client.healthy("db")) == (1, 1))
    proxy, admin = client.listen("proxy"), client.listen("admin")
    for authority in (
        f"hello:{app.port}",
        "hello:80",
        f"db:{app.port}",
        f"127.0.0.1:{app.port}",
        f"localhost:{split(admin)[1]}",
        "169.254.169.254:80",
        f"[::ffff:127.0.0.1]:{app.port}",
    ):
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
        answer = sent_raw(proxy, head + SMUGGLED)
        assert answer.split()[1] in (b"403", b"404", b"405", b"400"), (authority, answer)
        assert answer.count(b"HTTP/1.1 ") == 1, "what followed was read as another request"
    for target in (
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        f"http://127.0.0.1:{app.port}/smuggled",
        f"http://{admin}/v1/leave",
        "http://localhost/smuggled",
        "file:///etc/passwd",
        "http://hello@evil.example/smuggled",
    ):
        refused = request(proxy, target, method="POST", host="hello", body=b"x")
        assert refused.status in (400, 403, 404), target
        assert refused.error
    assert app.requests == []
    assert raw.got == b""
    upgrade = b"GET /switch HTTP/1.1\r\nHost: hello\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\n"
    answer = sent_raw(proxy, upgrade + SMUGGLED, until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 101")
    assert app.requests[0].target == "/switch"
    assert [each.target for each in app.requests if each.header("x-gossipmesh-source") == "root"] == []
    assert web.is_ready()
    # The negative controls: each way leads somewhere for who may take it, so that it was a rule that refused.
    tunnel = f"CONNECT db:{raw.port} HTTP/1.1\r\nHost: db\r\n\r\n".encode()
    assert b" 200 " in sent_raw(proxy, tunnel + SMUGGLED, until=b"\r\n\r\n")
    assert eventually(lambda: raw.got == SMUGGLED)
    assert request(f"127.0.0.1:{app.port}", "/", headers={"x-gossipmesh-source": "root"}).status == 200
    assert app.requests[-1].header("x-gossipmesh-source") == "root"
    assert request(proxy, "http://hello/", headers={"x-gossipmesh-source": "root"}).status == 200
    assert app.requests[-1].header("x-gossipmesh-source") != "root"


def resident_kib(node: Node) -> int:
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_flood_of_junk_makes_nobody_a_suspect_and_fills_no_memory(mesh: Mesh) -> None:
    mesh.config.write_text(
        ""
    )  # the profile of a network: the machine that runs the tests is under this flood too
    nodes = [mesh.node("n0").start().ready()]
    nodes += [mesh.node(f"n{number}", join=nodes[0]).start().ready() for number in (1, 2)]
    for node in nodes:
        eventually(lambda node=node: list(node.members().values()).count("alive") >= len(nodes) - 1)
    victim = nodes[0]
    before = victim.metric("gossipmesh_gossip_errors_total")
    flood(split(victim.listen("mesh")), seconds=0.2)
    warm = resident_kib(victim)
    sent = flood(split(victim.listen("mesh")), seconds=JUNK_S)
    assert resident_kib(victim) - warm < FLAT
    assert sent > 1_000
    # The negative control: the victim did look at it, so what is shown is that looking at it is cheap.
    assert eventually(lambda: victim.metric("gossipmesh_gossip_errors_total") > before + 500)
    for node in nodes:
        others = {name: state for name, state in node.members().items() if name != node.name}
        assert set(others.values()) == {"alive"}, (node.name, others)
        assert "suspect" not in node.log()


def spellings(secret: bytes) -> list[bytes]:
    """Give how a secret could be written down."""
    plain, safe = base64.b64encode(secret), base64.urlsafe_b64encode(secret)
    found = [secret, secret.hex().encode(), secret.hex().upper().encode(), plain, safe, repr(secret).encode()]
    return [each.rstrip(b"=") for each in found]


def leaks(haystack: bytes, secrets: dict[str, bytes]) -> list[str]:
    return [name for name, secret in secrets.items() if any(each in haystack for each in spellings(secret))]


def test_no_secret_is_in_any_log_answer_or_command_line(mesh: Mesh, apps: tuple[WebApp, Raw]) -> None:
    app, _ = apps
    mesh.config.write_text('[gossip]\nprofile = "local"\n[log]\naccess = "all"\n')
    first = mesh.node("first", token=False, services={"hello": app.port}).start().ready()
    token = said("token", "new", "--root", str(first.state))
    mesh.token_file.write_text(token)
    second = mesh.node("second", join=first).start().ready()
    eventually(lambda: second.healthy("hello") == 1)
    proxy = second.listen("proxy")
    assert request(proxy, "http://hello/echo", headers={"Authorization": "Bearer \x80secret"}).status == 200
    request(proxy, "http://nobody/")
    sent_raw(proxy, b"\x16\x03\x01 no request\r\n\r\n")
    sent_raw(first.listen("mesh"), b"\0\x20" + bytes(32) + b"\xff" * 64)
    flood(split(first.listen("mesh")), seconds=0.1)
    stranger = mesh.node("stranger", "--join", f"127.0.0.1:{unused_port()}").start()
    eventually(stranger.log)
    secrets = {
        "token": token.encode(),
        "token's secret": parse_token(token).seed,
        **{
            f"{node.name} {name}": (node.state / name).read_bytes()
            for node in (first, second)
            for name in ("node.key", "root.key")
            if (node.state / name).exists()
        },
    }
    assert len(secrets) == 5
    for node in (first, second, stranger):
        assert node.process is not None
        seen = node.out.read_bytes() + node.err.read_bytes()
        seen += Path(f"/proc/{node.process.pid}/cmdline").read_bytes()
        if node is not stranger:
            paths = [line.split()[0].partition("?")[0] for line in PATHS.splitlines() if line.startswith("/")]
            assert len(paths) > 5
            answers = [node.fetch(path.replace("NAME", "hello").replace("/ID", "/x"))[1] for path in paths]
            seen += b"".join(answers)
            assert len(answers[paths.index("/v1/status")]) > 100
        assert leaks(seen, secrets) == [], node.name
        # The negative control: what a careless line would have held is found.
        for name, secret in secrets.items():
            assert name in leaks(seen + secret.hex().encode(), secrets)
    assert b"/echo" in second.out.read_bytes() + second.err.read_bytes(), "requests were not logged"
    for node in (first, second):
        node.terminate()
        assert leaks(node.out.read_bytes() + node.err.read_bytes(), secrets) == []

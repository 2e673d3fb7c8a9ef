"""What somebody on the wire sees and can do: nothing to read, nothing to break."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from harness import Mesh, Node, eventually, unused_port
from relay import RecordingRelay
from webapp import WebApp
from webclient import request

MARKER: Final = b"please-do-not-read-me-0123456789"
SEED: Final = 20_231_123


@pytest.fixture
def relay() -> Iterator[RecordingRelay]:
    with RecordingRelay() as relay:
        yield relay


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_nothing_of_a_request_or_its_answer_can_be_read_on_the_wire(
    mesh: Mesh, relay: RecordingRelay
) -> None:
    with WebApp("hello-1") as app:
        node = mesh.node("web", "--advertise", relay.address, services={"hello": app.port}).start()
        relay.forward_to(node.listen("mesh"))
        node.ready()
        client = mesh.node("client", "--join", relay.address).start().ready()
        eventually(lambda: client.healthy("hello") == 1)
        text = MARKER.decode()
        answer = request(
            client.listen("proxy"),
            f"http://hello/echo?{text}",
            method="POST",
            body=MARKER,
            headers={"X-Marker": text},
        )
        assert (answer.status, answer.body) == (200, MARKER)
        assert app.requests[-1].header("x-marker") == text
        eventually(lambda: len(relay.udp_bytes) > 0)
        assert len(relay.tcp_bytes) > 3 * len(MARKER)
        for readable in (MARKER, b"hello", b"HTTP/1.1", b"client", b"gmt1."):
            assert readable not in relay.tcp_bytes
            assert readable not in relay.udp_bytes


def listening(pid: int) -> set[tuple[str, int]]:
    """Give every IPv4 address and port on which a process listens with TCP."""
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}
    found = set()
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        if fields[3] == "0A" and fields[9] in inodes:
            packed, _, port = fields[1].partition(":")
            host = socket.inet_ntoa(int(packed, 16).to_bytes(4, sys.byteorder))
            found.add((host, int(port, 16)))
    return found


def test_only_the_mesh_port_can_be_reached_from_outside(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        node = mesh.node(
            "web", "--bind", "0.0.0.0:0", "--upstream", f"hello={unused_port()}", services={"hello": app.port}
        )
        node.start().ready()
        assert node.process is not None
        outside = {port for host, port in listening(node.process.pid) if host != "127.0.0.1"}
        assert outside == {split(node.listen("mesh"))[1]}
        assert len(listening(node.process.pid)) >= 4


def junk(rng: random.Random) -> Iterator[bytes]:
    """Give bytes of many sizes, some of which begin like our own."""
    for size in (0, 1, 15, 16, 23, 24, 40, 100, 1_232, 1_400):
        yield rng.randbytes(size)
        yield (b"\x11" + rng.randbytes(size))[:size]
        yield bytes(size)


def send_junk(node: Node) -> None:
    rng = random.Random(SEED)
    address = split(node.listen("mesh"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for data in junk(rng):
            udp.sendto(data, address)
    for data in junk(rng):
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=5.0) as tcp:
            tcp.sendall(data)
            tcp.shutdown(socket.SHUT_WR)
            while tcp.recv(65_536):
                pass


def test_junk_on_the_mesh_port_changes_nothing_but_a_counter(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        node = mesh.node("web", services={"hello": app.port}).start().ready()
        other = mesh.node("other", join=node).start().ready()
        eventually(lambda: node.members().get("other") == other.members().get("web") == "alive")
        before = node.metric("gossipmesh_gossip_errors_total")
        send_junk(node)
        eventually(lambda: node.metric("gossipmesh_gossip_errors_total") > before)
        assert (node.members().get("other"), other.members().get("web")) == ("alive", "alive")
        assert eventually(lambda: other.healthy("hello") == 1)
        assert request(other.listen("proxy"), "http://hello/").status == 200
        assert "Traceback" not in node.log()


def test_a_stranger_is_answered_with_fewer_bytes_than_it_sent(mesh: Mesh) -> None:
    node = mesh.node("web").start().ready()
    address = split(node.listen("mesh"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.3)
        for data in junk(random.Random(SEED)):
            udp.sendto(data, address)
            with contextlib.suppress(TimeoutError):
                assert len(udp.recv(65_536)) <= min(len(data), 16)

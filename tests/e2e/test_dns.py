"""Names of the mesh, asked for as people do: by a library, ``dig`` and ``kdig``, and the system's own resolver."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import dns.message
import dns.query
import dns.rcode
import pytest

from harness import Mesh, Node, eventually
from webapp import WebApp
from webclient import request

if TYPE_CHECKING:
    from conftest import Five

CI = "CI" in os.environ
"""There, a tool that is missing is an error: what is skipped in silence proves nothing."""


def split(node: Node) -> tuple[str, int]:
    host, _, port = node.listen("dns").rpartition(":")
    return host, int(port)


def asked(node: Node, name: str, rdtype: str = "A", *, tcp: bool = False) -> dns.message.Message:
    host, port = split(node)
    query = dns.message.make_query(name, rdtype, use_edns=0)
    return (dns.query.tcp if tcp else dns.query.udp)(query, host, port=port, timeout=10.0)


def rows(node: Node, name: str, rdtype: str = "A", *, tcp: bool = False) -> list[str]:
    return sorted(rdata.to_text() for rrset in asked(node, name, rdtype, tcp=tcp).answer for rdata in rrset)


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        assert not CI, f"{name} is missing; install {package}"
        pytest.skip(f"{name} is not installed ({package})")
    return found


def test_an_endpoint_that_leaves_is_out_of_the_answers(mesh: Mesh) -> None:
    with WebApp("hello-1") as one, WebApp("hello-2") as two:
        first = mesh.node("web-1", services={"hello": one.port}).start().ready()
        second = mesh.node("web-2", join=first, services={"hello": two.port}).start().ready()
        both = [f"0 1 {app.port} {name}.node.mesh." for app, name in ((one, "web-1"), (two, "web-2"))]
        for node in (first, second):
            eventually(lambda node=node: rows(node, "_hello._tcp.mesh", "SRV") == sorted(both))
            assert rows(node, "hello.mesh") == rows(node, "web-2.node.mesh", tcp=True) == ["127.0.0.1"]
            assert rows(node, "1.0.0.127.in-addr.arpa", "PTR") == ["web-1.node.mesh.", "web-2.node.mesh."]
            assert len(rows(node, "_members.mesh", "TXT")) == 2
        two.close()
        eventually(lambda: rows(first, "_hello._tcp.mesh", "SRV") == both[:1])
        assert second.terminate() == 0
        eventually(lambda: rows(first, "web-2.node.mesh") == [])
        one.close()
        eventually(lambda: rows(first, "hello.mesh") == [])
        assert asked(first, "hello.mesh").rcode() == dns.rcode.NOERROR
        assert first.metric("gossipmesh_dns_answers_total") > 5


def test_the_name_that_dns_gives_the_proxy_is_one_that_the_proxy_knows(shared_five: Five) -> None:
    client = shared_five.client
    assert rows(client, "hello.proxy.mesh") == ["127.0.0.1"]
    port = shared_five.proxy.rpartition(":")[2]
    answer = request(shared_five.proxy, "/", headers={"Host": f"hello.proxy.mesh:{port}"})
    assert answer.instance in ("hello-1", "hello-2")


def test_dig_and_kdig_read_the_answers(shared_five: Five) -> None:
    host, port = split(shared_five.client)
    for name, package in (("dig", "bind9-dnsutils"), ("kdig", "knot-dnsutils")):
        for how in ("+notcp", "+tcp"):
            command = [
                tool(name, package),
                f"@{host}",
                "-p",
                str(port),
                how,
                "+short",
                "_hello._tcp.mesh",
                "SRV",
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
            targets = sorted(line.split()[3] for line in done.stdout.splitlines())
            assert targets == ["hello-1.node.mesh.", "hello-2.node.mesh."]


def test_the_systems_resolver_finds_a_service_and_what_is_forwarded(mesh: Mesh, tmp_path: Path) -> None:
    """In a mount namespace of its own with another resolv.conf, which only root can have, on port 53 of loopback."""
    if os.geteuid() != 0:
        assert not CI, "run as root: port 53 and a resolv.conf of its own"
        pytest.skip("only root may listen on port 53")
    with WebApp("hello-1") as app:
        first = mesh.node("web-1", services={"hello": app.port}).start().ready()
        address = f"127.{os.getpid() % 250 + 1}.53.1"
        # Who knows nothing of `mesh` asks the node that does.
        second = mesh.node(
            "web-2", "--dns", f"{address}:53", join=first, variables={"GOSSIPMESH_DNS_DOMAIN": "outer"}
        )
        second.variables["GOSSIPMESH_DNS_FORWARD"] = first.listen("dns")
        second.start().ready()
        conf, hosts = tmp_path / "resolv.conf", tmp_path / "nsswitch.conf"
        conf.write_text(f"nameserver {address}\noptions timeout:2 attempts:2\n")
        hosts.write_text("hosts: dns\n")
        mounts = f"mount --bind {conf} /etc/resolv.conf && mount --bind {hosts} /etc/nsswitch.conf"
        script = f"{mounts} && getent ahostsv4 $0"

        def getent(name: str) -> set[str]:
            command = ["unshare", "-m", "sh", "-c", script, name]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            return {line.split()[0] for line in done.stdout.splitlines()}

        eventually(lambda: getent("hello.outer") == {"127.0.0.1"})
        assert getent("web-1.node.mesh") == {"127.0.0.1"}
        assert getent("nobody.outer") == getent("nobody.mesh") == getent("example.com") == set()

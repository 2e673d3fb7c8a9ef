"""Requests through a mesh of five, in every form that apps use."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness import environment
from webapp import pattern, pattern_digest
from webclient import request

if TYPE_CHECKING:
    from conftest import Five

pytestmark = pytest.mark.xdist_group("shared-five")

EIGHT_MIB = 8 * 2**20


@pytest.mark.parametrize("service", ["hello", "world"])
@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://{}/", None),
        ("http://{}.mesh/", None),
        ("/", "{}.mesh"),
        ("/", "{}"),
    ],
)
def test_both_instances_answer_every_form_of_request(
    shared_five: Five, service: str, target: str, host: str | None
) -> None:
    answered = set()
    for _ in range(6):
        named = host.format(service) if host else None
        answer = request(shared_five.proxy, target.format(service), host=named)
        assert answer.status == 200
        answered.add(answer.instance)
    assert answered == {f"{service}-1", f"{service}-2"}


def test_curl_that_is_told_only_http_proxy_reaches_a_service(shared_five: Five) -> None:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "20", "http://hello/"],
        capture_output=True,
        text=True,
        env=environment() | {"http_proxy": f"http://{shared_five.proxy}"},
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout in ("hello-1\n", "hello-2\n")


def test_an_upstream_has_a_port_of_its_own_whatever_the_host_header_says(shared_five: Five) -> None:
    answer = request(shared_five.upstream, "/", host="any.example")
    assert answer.status == 200
    assert answer.instance.startswith("world-")


def test_every_node_asks_through_its_own_proxy_also_for_what_it_offers_itself(shared_five: Five) -> None:
    for node in shared_five.nodes.values():
        answer = request(node.listen("proxy"), "http://hello/")
        assert (answer.status, answer.error) == (200, "")


def test_a_post_arrives_as_it_was_sent_and_says_who_sent_it(shared_five: Five) -> None:
    body = bytes(range(256)) * 40
    claimed = {"x-gossipmesh-node": "someone-else", "x-gossipmesh-source": "someone-else", "X-Own": "kept"}
    answer = request(
        shared_five.proxy, "http://hello/echo?a=1&b=%20", method="POST", body=body, headers=claimed
    )
    assert (answer.status, answer.body) == (200, body)
    seen = shared_five.apps[answer.instance].requests[-1]
    assert (seen.method, seen.target, seen.body) == ("POST", "/echo?a=1&b=%20", body)
    assert seen.header("x-gossipmesh-node") == "client"
    assert seen.header("x-gossipmesh-source") in (None, "")
    assert seen.header("x-own") == "kept"
    assert seen.header("via") is not None


def test_a_chunked_body_arrives_whole(shared_five: Five) -> None:
    blocks = [b"a" * 10, b"b" * 70_000, b"c"]
    answer = request(shared_five.proxy, "http://world/echo", method="POST", body=iter(blocks))
    assert (answer.status, answer.body) == (200, b"".join(blocks))


def test_8_mib_go_up_byte_for_byte(shared_five: Five) -> None:
    answer = request(
        shared_five.proxy,
        "http://world/echo",
        method="POST",
        body=pattern(EIGHT_MIB),
        headers={"Content-Length": str(EIGHT_MIB)},
    )
    assert answer.status == 200
    seen = shared_five.apps[answer.instance].requests[-1]
    assert hashlib.sha256(seen.body).hexdigest() == pattern_digest(EIGHT_MIB)
    assert hashlib.sha256(answer.body).hexdigest() == pattern_digest(EIGHT_MIB)


@pytest.mark.parametrize("path", ["pattern", "chunked"])
def test_8_mib_come_down_byte_for_byte(shared_five: Five, path: str) -> None:
    answer = request(shared_five.proxy, f"http://hello/{path}?size={EIGHT_MIB}")
    assert answer.status == 200
    assert hashlib.sha256(answer.body).hexdigest() == pattern_digest(EIGHT_MIB)


def test_the_answer_to_head_has_a_length_and_no_body(shared_five: Five) -> None:
    answer = request(shared_five.proxy, "http://hello/pattern?size=1000", method="HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "1000", b"")


def test_a_service_that_nobody_offers_is_named_in_the_answer(shared_five: Five) -> None:
    answer = request(shared_five.proxy, "http://nothing-here/")
    assert (answer.error, answer.status) == ("NR", 404)
    assert b"nothing-here" in answer.body


def test_a_name_outside_the_mesh_is_refused_with_a_hint(shared_five: Five) -> None:
    answer = request(shared_five.proxy, "http://www.example.com/")
    assert (answer.error, answer.status) == ("NR", 403)
    assert b"no_proxy" in answer.body


def test_a_connect_is_refused(shared_five: Five) -> None:
    answer = request(shared_five.proxy, "hello:80", method="CONNECT", host="hello")
    assert (answer.error, answer.status) == ("AZ", 405)


def test_the_commands_show_the_mesh_as_tables_and_as_documents(shared_five: Five) -> None:
    client = shared_five.client
    for what in ("status", "members", "services"):
        done = client.command(what)
        assert (done.returncode, done.stderr) == (0, "")
        assert client.command(what, "--json").returncode == 0
    assert all(name in client.command("members").stdout for name in shared_five.nodes)
    endpoints = client.ask("services/hello")["endpoints"]
    assert {each["node"] for each in endpoints} == {"hello-1", "hello-2"}
    assert all(each["healthy"] for each in endpoints)


def test_wait_says_yes_for_a_service_that_is_there_and_no_for_one_that_is_not(shared_five: Five) -> None:
    assert shared_five.client.command("wait", "--service", "hello", "--timeout", "10s").returncode == 0
    refused = shared_five.client.command("wait", "--service", "nothing-here", "--timeout", "200ms")
    assert refused.returncode == 1
    assert "nothing-here" in refused.stderr

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from adminlab import Node, asked, get, over_tcp, over_unix, said
from gossipmesh.daemon.admin.receiving import MAX_OFFERED
from gossipmesh.daemon.admin.server import (
    serve_unix,
)
from gossipmesh.errors import StateError


async def test_the_unix_socket_is_the_owners_and_takes_changes(tmp_path: Path) -> None:
    node, path = Node(), tmp_path / "admin.sock"
    async with over_unix(node, path):
        assert path.stat().st_mode & 0o777 == 0o600
        answer = await said(await trio.open_unix_socket(path), get("/v1/drain", "localhost", method="POST"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert (node.drained, node.left) == (True, False)
        answer = await said(await trio.open_unix_socket(path), get("/v1/leave", "localhost", method="POST"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert node.left
        answer = await said(await trio.open_unix_socket(path), get("/v1/leave", "localhost", method="PUT"))
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nallow: POST\r\n" in answer
        answer = await said(await trio.open_unix_socket(path), get("/v1/status", "localhost", method="PUT"))
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nallow: GET, HEAD\r\n" in answer
    assert not path.exists()


async def test_the_recording_is_the_owners_alone(tmp_path: Path) -> None:
    node, path = Node(), tmp_path / "admin.sock"
    async with over_tcp(node) as address:
        for target in ("/v1/trace", "/v1/trace?all"):
            assert (await asked(address, get(target, str(address))))[0] == 403
    async with over_unix(node, path):
        answer = await said(await trio.open_unix_socket(path), get("/v1/trace", "localhost"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"gossipmesh trace")
        node.recorded = False
        answer = await said(await trio.open_unix_socket(path), get("/v1/trace", "localhost"))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"nothing was recorded yet" in answer


@pytest.mark.parametrize(
    "target",
    [
        "x/v1/requests",
        "x/v1/trace",
        "*/v1/requests?last=2",
        "http://127.0.0.1/v1/trace",
        "x",
        "*",
        "?/v1/trace",
    ],
)
async def test_no_other_form_of_a_target_leads_past_the_door(target: str) -> None:
    async with over_tcp(Node()) as address:
        status, _ = await asked(address, get(target, str(address)))
    assert status == 404


async def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.touch()
    async with over_unix(Node(), path):
        answer = await said(await trio.open_unix_socket(path), get("/healthz", "x"))
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_what_cannot_be_replaced_by_a_socket_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.mkdir()
    with pytest.raises(StateError, match=f"{path} cannot be made: Is a directory; remove what is there"):
        await serve_unix(Node(), path)
    assert path.is_dir()
    with pytest.raises(StateError, match="cannot be made: No such file or directory"):
        await serve_unix(Node(), tmp_path / "none" / "admin.sock")


async def test_what_is_signed_for_the_mesh_comes_as_a_body_over_the_unix_socket_only(tmp_path: Path) -> None:
    def offer(raw: bytes) -> bytes:
        head = get("/v1/charter/policy", "localhost", method="POST", more=f"Content-Length: {len(raw)}\r\n")
        return head + raw

    node, path = Node(), tmp_path / "admin.sock"
    async with over_unix(node, path):
        for raw, status in ((b"good", b"200"), (b"bad", b"409"), (bytes(MAX_OFFERED + 1), b"413")):
            answer = await said(await trio.open_unix_socket(path), offer(raw))
            assert answer.startswith(b"HTTP/1.1 " + status), answer
            if status == b"409":
                assert b'"error": "version 3 is older"' in answer
        assert node.offered == [("policy", b"good"), ("policy", b"bad")]
    async with over_tcp(node) as address:
        stream = await trio.open_tcp_stream(address.host, address.port)
        assert (await said(stream, offer(b"good"))).startswith(b"HTTP/1.1 4")
    assert len(node.offered) == 2

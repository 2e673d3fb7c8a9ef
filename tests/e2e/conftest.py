"""Fixtures: a token for the whole run, a mesh for one test, and five nodes that the tests of one file share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from harness import Mesh, Node, eventually, said, unused_port
from webapp import WebApp


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    return said("init", str(tmp_path_factory.mktemp("root") / "mesh"))


@pytest.fixture
def mesh(token: str) -> Iterator[Mesh]:
    mesh = Mesh(token)
    yield mesh
    mesh.show_logs()
    mesh.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give where the root key of :func:`own_mesh` is."""
    return tmp_path / "root"


@pytest.fixture
def own_mesh(root: Path) -> Iterator[Mesh]:
    mesh = Mesh(said("init", str(root)))
    yield mesh
    mesh.show_logs()
    mesh.close()


@frozen
class Five:
    """Two nodes of hello, two of world, and one that only asks; it has a port for world, too."""

    mesh: Mesh
    apps: dict[str, WebApp]
    nodes: dict[str, Node]
    upstream: str

    @property
    def client(self) -> Node:
        return self.nodes["client"]

    @property
    def proxy(self) -> str:
        return self.client.listen("proxy")


def start_five(mesh: Mesh, apps: dict[str, WebApp]) -> Five:
    """Start them all and wait until each knows two healthy instances of both services."""
    seed: Node | None = None
    upstream_port = unused_port()
    for name, app in apps.items():
        node = mesh.node(name, join=seed, services={name.partition("-")[0]: app.port}).start()
        seed = seed or node.ready()
    mesh.node("client", "--upstream", f"world={upstream_port}", join=seed).start()
    for node in mesh.nodes:
        node.ready()
        eventually(lambda node=node: (node.healthy("hello"), node.healthy("world")) == (2, 2))
    return Five(mesh, apps, {node.name: node for node in mesh.nodes}, f"127.0.0.1:{upstream_port}")


def _five(token: str) -> Iterator[Five]:
    mesh = Mesh(token)
    apps = {name: WebApp(name) for name in ("hello-1", "hello-2", "world-1", "world-2")}
    try:
        yield start_five(mesh, apps)
    finally:
        mesh.show_logs()
        mesh.close()
        for app in apps.values():
            app.close()


@pytest.fixture(scope="module")
def shared_five(token: str) -> Iterator[Five]:
    """For tests that change nothing."""
    yield from _five(token)


@pytest.fixture
def five(token: str) -> Iterator[Five]:
    """For tests that end some of them."""
    yield from _five(token)

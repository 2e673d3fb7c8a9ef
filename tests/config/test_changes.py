"""What a running daemon takes over of a configuration that is read again."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from gossipmesh.config.changes import reloaded
from gossipmesh.config.load import Loaded, load


def read(tmp_path: Path, text: str) -> Loaded:
    file = tmp_path / "mesh.toml"
    file.write_text(text)
    return load(file, {}, {}, host_name="n1", root=False)


OLD = '[node]\nzone = "a"\n[[service]]\nname = "web"\nport = 80\n'


def test_what_can_be_taken_over_is_and_the_rest_stays_as_it_runs(tmp_path: Path) -> None:
    old = read(tmp_path, OLD)
    new = read(
        tmp_path,
        '[node]\nzone = "b"\nold_peers = "never"\n'
        '[proxy]\nlisten = "127.0.0.1:1"\nexternal = "direct"\nallow = ["x.example"]\n'
        '[log]\nformat = "text"\n[[service]]\nname = "db"\nport = 81\n[traffic.db]\ntimeout = "3s"\n',
    )
    found = reloaded(old, new)
    config = found.loaded.config
    assert found.taken == (
        "node.old_peers",
        "proxy.as",
        "proxy.external",
        "proxy.allow",
        "log.format",
        "service",
        "traffic",
    )
    assert found.left == ("node.zone", "proxy.listen")
    assert config.node == evolve(old.config.node, old_peers="never")
    assert config.proxy.listen == old.config.proxy.listen
    assert config.services == new.config.services
    assert (config.proxy.as_service, config.proxy.external, config.log.format) == ("db", "direct", "text")
    assert found.loaded.describe()["node.zone"] == old.describe()["node.zone"]
    # Read once more, only what still needs a new start is different.
    again = reloaded(found.loaded, new)
    assert (again.taken, again.left) == ((), found.left)


def test_what_is_the_same_changes_nothing(tmp_path: Path) -> None:
    old = read(tmp_path, OLD)
    found = reloaded(old, read(tmp_path, OLD))
    assert (found.taken, found.left) == ((), ())
    assert found.loaded.config == old.config

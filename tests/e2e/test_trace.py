"""The flight recorder of real daemons: saved by the command, replayed by the simulator, and kept from strangers."""

from __future__ import annotations

import json

from harness import Mesh, eventually, gossipmesh


def test_a_recording_of_a_real_mesh_runs_again_with_the_same_outputs(mesh: Mesh) -> None:
    alice = mesh.node("alice").start().ready()
    bob = mesh.node("bob", join=alice).start().ready()
    eventually(lambda: alice.members() == {"alice": "alive", "bob": "alive"})
    bob.kill()
    eventually(lambda: alice.members() == {"alice": "alive", "bob": "dead"})
    saved = mesh.home / "alice.trace"
    assert alice.command("trace", str(saved)).returncode == 0
    assert saved.stat().st_mode & 0o777 == 0o600
    done = gossipmesh("sim", "--replay", str(saved), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["same"]
    states = [each["what"].partition(":")[0] for each in document["timeline"] if each["kind"] == "state"]
    assert states == ["unknown -> alive", "alive -> suspect", "suspect -> dead"]


def test_a_recording_is_for_the_owner_alone(mesh: Mesh) -> None:
    alice = mesh.node("alice").start().ready()
    status, said = alice.over_tcp("GET", "/v1/trace")
    assert (status, b"unix socket" in said) == (403, True)
    assert alice.fetch("/v1/trace")[0] == 200


def test_what_is_no_recording_is_one_line_and_exit_status_2(mesh: Mesh) -> None:
    done = gossipmesh("sim", "--replay", str(mesh.write("text", "hello")))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is no trace that this release can replay" in done.stderr

"""``gossipmesh check`` at a mesh that is well, and at one where several things are wrong at once."""

from __future__ import annotations

import json
from pathlib import Path

from harness import Mesh, Node, eventually, said, unused_port
from webapp import WebApp
from webclient import request

AUDIT = 'mode = "audit"\ndefault = "deny"\n'
SHOWN = ("daemon", "join", "seeds", "udp", "clock", "chain", "roots", "clones", "policy", "services", "calls")


def checked(node: Node) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """Give the exit status, and state, found and hint of each check by its name."""
    done = node.command("check", "--json")
    document = json.loads(done.stdout)
    assert document["ok"] is (done.returncode == 0)
    checks = document["checks"]
    return done.returncode, {each["name"]: (each["state"], each["found"], each["hint"]) for each in checks}


def test_a_mesh_that_is_well_says_so_and_what_is_wrong_is_said_with_what_to_do(
    own_mesh: Mesh, root: Path
) -> None:
    with WebApp("hello-1") as app:
        seed = own_mesh.node("seed").start().ready()
        hello = own_mesh.node("hello", join=seed, services={"hello": app.port}).start().ready()
        eventually(lambda: seed.healthy("hello") == 1)
        assert request(seed.listen("proxy"), "http://hello/").status == 200

        # Whatever a busy machine makes of the rest, these hold.
        for node in (seed, hello):
            status, checks = checked(node)
            assert status == 0, checks
            assert {name: checks[name][0] for name in SHOWN} == dict.fromkeys(SHOWN, "ok")
            assert "members may call everything that no rule denies" in checks["policy"][1]
        eventually(lambda: "by UDP and TCP" in checked(hello)[1]["address"][1])
        assert "of 1 clock met lately" in checked(hello)[1]["clock"][1]
        table = hello.command("check").stdout.splitlines()
        assert table[0].split() == ["CHECK", "STATE", "FOUND"]

        # A node that may offer web only, offers hello where no app is, has a seed without an address, and lets
        # everybody write to its state directory.
        narrow = own_mesh.write("narrow", said("token", "new", "--root", str(root), "--service", "web"))
        ill = own_mesh.node(
            "ill",
            *("--token-file", str(narrow), "--join", "nowhere.invalid:7946"),
            join=seed,
            token=False,
            services={"hello": unused_port(), "web": unused_port()},
        )
        ill.start().ready()
        ill.state.chmod(0o777)
        eventually(lambda: seed.members().get("ill") == "alive")
        request(ill.listen("proxy"), "http://web/")
        eventually(lambda: checked(ill)[1]["services"][0] == "fail")
        status, checks = checked(ill)
        assert status == 1
        assert "hello" in checks["services"][1]
        assert (checks["token-services"][0], "hello" in checks["token-services"][1]) == ("fail", True)
        assert (checks["seeds"][0], "nowhere.invalid" in checks["seeds"][1]) == ("warn", True)
        assert (checks["state"][0], "chmod" in checks["state"][2]) == ("fail", True)
        assert (checks["calls"][0], "web" in checks["calls"][1]) == ("fail", True)
        assert all(hint for state, _, hint in checks.values() if state != "ok")
        shown = ill.command("check")
        assert (shown.returncode, "WHAT TO DO" in shown.stdout) == (1, True)

        # A policy that only watches warns everywhere, and a member that dies is told of.
        policy = str(own_mesh.write("policy.toml", AUDIT))
        assert seed.command("policy", "apply", policy, "--root", str(root)).returncode == 0
        eventually(lambda: checked(hello)[1]["policy"][0] == "warn")
        assert "audit mode" in checked(hello)[1]["policy"][1]
        ill.kill()
        eventually(lambda: "dead: ill" in checked(hello)[1]["members"][1])
        assert checked(hello)[0] == 0
        assert hello.command("check", "--strict").returncode == 1

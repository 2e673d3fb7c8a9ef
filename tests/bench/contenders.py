"""Who is measured: gossipmesh daemons and serf agents, each with its command, its log's words and its own list.

Both say at once in their logs what they think of whom. Reading a file costs its writer nothing, while asking eight
processes fifty times a second would be most of what they do; each is asked only after a step, to confirm its log.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from attrs import define, frozen

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from harness import COMMAND, Node, gossipmesh, said
from loopback import unused_ports

ASK_S: Final = 5.0


class Thought(Enum):
    """What one member thinks of another."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


@frozen
class Heard:
    """One line of a log: what its writer thinks of ``subject`` from now on."""

    subject: str
    thought: Thought


class Contender(Protocol):
    """One kind of process; members have numbers from 0, and all but 0 join at 0."""

    title: str

    def name(self, number: int) -> str: ...

    def command(self, number: int) -> list[str]:
        """Give what starts a member, and what starts it again with the state that it left."""
        ...

    def heard(self, line: str) -> Heard | None:
        """Give what a line of its log says about a member, if anything."""
        ...

    def listed(self, number: int) -> dict[str, Thought]:
        """Ask a member itself for everybody it lists."""
        ...


@define
class Gossipmesh:
    """Daemons of this checkout, without services, over the default proxy and admin listeners on free ports."""

    home: Path
    ports: list[int]
    title: str = "gossipmesh"

    @classmethod
    def prepare(cls, home: Path, profile: str, size: int) -> Gossipmesh:
        token = home / "token"
        token.touch(mode=0o600)
        token.write_text(said("init", str(home / "root")))
        (home / "mesh.toml").write_text(f'[gossip]\nprofile = "{profile}"\n')
        return cls(home, unused_ports(size))

    @staticmethod
    def version() -> str:
        return gossipmesh("--version").stdout.strip()

    def name(self, number: int) -> str:
        return f"node-{number}"

    def command(self, number: int) -> list[str]:
        name = self.name(number)
        command = [COMMAND, "up", "--name", name, "--state", str(self.home / name)]
        command += ["-c", str(self.home / "mesh.toml"), "--token-file", str(self.home / "token")]
        command += ["--bind", f"127.0.0.1:{self.ports[number]}"]
        command += ["--proxy", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--dns", "127.0.0.1:0"]
        return command + (["--join", f"127.0.0.1:{self.ports[0]}"] if number else [])

    def heard(self, line: str) -> Heard | None:
        if '"event":"member"' not in line:
            return None
        event = json.loads(line)
        return Heard(event["node"], Thought(event["now"]))

    def listed(self, number: int) -> dict[str, Thought]:
        status, body = Node(self.name(number), self.home, []).fetch("/v1/members")
        members = json.loads(body)["members"] if status else []
        return {member["name"]: Thought(member["state"]) for member in members}


_SERF_EVENT: Final = re.compile(r"serf: EventMember(Join|Failed|Leave)(?: \(forced\))?: (\S+)")
"""A leave is `forced` where the member was listed as failed before its goodbye was heard."""
_SERF_SUSPECT: Final = re.compile(r"memberlist: Suspect (\S+) has failed")
_SERF_THOUGHTS: Final = {"Join": Thought.ALIVE, "Failed": Thought.DEAD, "Leave": Thought.LEFT}
_SERF_STATES: Final = {
    "alive": Thought.ALIVE,
    "leaving": Thought.ALIVE,
    "failed": Thought.DEAD,
    "left": Thought.LEFT,
    "none": Thought.DEAD,
}


@define
class Serf:
    """Agents of serf that encrypt, with a snapshot file as the state that they keep."""

    home: Path
    profile: str
    ports: list[int]
    key: str
    title: str = "serf"

    @classmethod
    def prepare(cls, home: Path, profile: str, size: int) -> Serf:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        return cls(home, profile, unused_ports(2 * size), key)

    @staticmethod
    def version() -> str | None:
        """Give what is installed, or None."""
        if shutil.which("serf") is None:
            return None
        done = subprocess.run(["serf", "version"], capture_output=True, text=True, timeout=ASK_S, check=True)
        return f"serf {done.stdout.split()[0]}"

    def name(self, number: int) -> str:
        return f"node-{number}"

    def command(self, number: int) -> list[str]:
        command = ["serf", "agent", f"-node={self.name(number)}", f"-profile={self.profile}"]
        command += [f"-bind=127.0.0.1:{self.ports[2 * number]}", f"-rpc-addr={self._rpc(number)}"]
        command += [f"-encrypt={self.key}", f"-snapshot={self.home / self.name(number)}.snapshot"]
        return command + ([f"-join=127.0.0.1:{self.ports[0]}"] if number else [])

    def _rpc(self, number: int) -> str:
        return f"127.0.0.1:{self.ports[2 * number + 1]}"

    def heard(self, line: str) -> Heard | None:
        if event := _SERF_EVENT.search(line):
            return Heard(event[2], _SERF_THOUGHTS[event[1]])
        if suspicion := _SERF_SUSPECT.search(line):
            return Heard(suspicion[1], Thought.SUSPECT)
        return None

    def listed(self, number: int) -> dict[str, Thought]:
        done = subprocess.run(
            ["serf", "members", "-format=json", f"-rpc-addr={self._rpc(number)}"],
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
        )
        members = json.loads(done.stdout)["members"] if done.returncode == 0 else []
        return {member["name"]: _SERF_STATES[member["status"]] for member in members}

"""A policy tried on what was seen, by the owner and by members who may ask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing
from attrs import define

from gossipmesh import crypto
from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.policy.trying import GAP_S, Trials
from gossipmesh.errors import ConfigError, ConnectError, RemoteProtocolError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.trial_messages import (
    FRESH_S,
    LABEL,
    Question,
    decode_tried_untrusted,
    encode_question,
    encode_try,
)
from gossipmesh.model import NodeId, Service
from gossipmesh.policy.decision import Source
from gossipmesh.policy.document import POLICY_LABEL
from gossipmesh.policy.seen import Seen
from gossipmesh.sim.world import World

DENY = 'default = "deny"\n'
HELLO = Service("hello", 80)


@define
class Lab:
    """Alice and Bob, each of whom has seen requests, and Carol, who cannot be reached."""

    world: World
    trials: dict[NodeId, Trials]
    ids: dict[str, NodeId]

    def question(
        self, *, asker: str = "alice", label: bytes = LABEL, age_s: float = 0.0, by: Authority | None = None
    ) -> bytes:
        """Give a signed question."""
        body = encode_question(Question(int(wall_clock() - age_s), self.ids[asker], DENY))
        authority = by or Authority(self.world.root_seed)
        return sign_as_authority(label, body, authority, self.world.trust.mesh_id)

    async def asked(self, raw: bytes, *, asker: str = "alice") -> str:
        """Ask Bob; give what he refuses it with, or nothing."""
        peer = cast("Peer", SimpleNamespace(id=self.ids[asker]))
        answer = await self.trials[self.ids["bob"]].answer_untrusted(peer, encode_try(raw))
        try:
            decode_tried_untrusted(answer)
        except RemoteProtocolError as error:
            return str(error).split("'")[1]
        return ""


@pytest.fixture
async def lab(autojump_clock: trio.testing.MockClock) -> Lab:
    world = World(7)
    for name in ("alice", "bob", "carol"):
        world.add(name, services=(HELLO,), seeds=[] if name == "alice" else ["alice"])
    world.run_until(world.complete, within=10)
    trials: dict[NodeId, Trials] = {}
    ids = {name: node.mesh.id for name, node in world.nodes.items()}

    async def ask(node: NodeId, request: bytes) -> bytes:
        if node == ids["carol"]:
            raise ConnectError("connect.refused", "nobody listens there")
        peer = cast("Peer", SimpleNamespace(id=ids["alice"]))
        return await trials[node].answer_untrusted(peer, request)

    for name, node in world.nodes.items():
        seen = Seen()
        for path in (b"/x?secret", b"/y"):
            source = Source(ids["carol"], "hello")
            seen.note(source, name, b"GET", path, allowed=True, now=trio.current_time())
        trials[node.mesh.id] = Trials(node.mesh, seen, ask)
    return Lab(world, trials, ids)


async def test_what_was_allowed_and_would_be_denied_is_counted_here(lab: Lab) -> None:
    shown = await lab.trials[lab.ids["alice"]].show_here(DENY)
    assert (shown["requests"], shown["denied"], shown["allowed"], shown["unknown"]) == (2, 2, 0, 0)
    assert [node["node"] for node in shown["nodes"]] == ["alice"]
    found = shown["findings"][0]
    assert (found["source"], found["caller"], found["path"], found["rule"]) == (
        "hello",
        "carol",
        "/x",
        "default",
    )
    assert not (await lab.trials[lab.ids["alice"]].show_here('default = "allow"'))["findings"]


async def test_every_member_is_asked_and_who_does_not_answer_is_named(lab: Lab) -> None:
    shown = await lab.trials[lab.ids["alice"]].show_everywhere(lab.question())
    assert (shown["requests"], shown["denied"]) == (4, 4)
    answered = {node["node"]: (node["answered"], node["why"]) for node in shown["nodes"]}
    assert answered == {"alice": (True, ""), "bob": (True, ""), "carol": (False, "nobody listens there")}
    assert {found["node"] for found in shown["findings"]} == {"alice", "bob"}


async def test_one_asker_is_answered_once_in_a_while(
    lab: Lab, autojump_clock: trio.testing.MockClock
) -> None:
    assert await lab.asked(lab.question()) == ""
    assert await lab.asked(lab.question()) == "trial.busy"
    await trio.sleep(GAP_S)
    assert await lab.asked(lab.question()) == ""


async def test_who_may_not_sign_policies_learns_nothing_of_others_requests(
    lab: Lab, autojump_clock: trio.testing.MockClock
) -> None:
    of_join = Authority.of_token(lab.world.token)
    stranger = Authority(crypto.blake2b(b"x", 32))
    for raw, code in (
        (lab.question(by=of_join), "authority.capability"),
        (lab.question(by=stranger), "authority.root"),
        (lab.question(label=POLICY_LABEL), "authority.root"),
        (lab.question(asker="carol"), "trial.asker"),
        (lab.question(age_s=FRESH_S + 10), "trial.stale"),
        (lab.question(age_s=-1_000), "authority.future"),
        (b"junk", "exchange.malformed"),
    ):
        assert await lab.asked(raw) == code
        await trio.sleep(GAP_S)
    # Nor does a member that was asked and passes the question on as its own.
    assert await lab.asked(lab.question(), asker="carol") == "trial.asker"


async def test_a_policy_that_is_not_valid_is_tried_nowhere(lab: Lab) -> None:
    with pytest.raises(ConfigError):
        await lab.trials[lab.ids["alice"]].show_here("default = 1")
    body = encode_question(Question(int(wall_clock()), lab.ids["alice"], "default = 1"))
    raw = sign_as_authority(LABEL, body, Authority(lab.world.root_seed), lab.world.trust.mesh_id)
    assert await lab.asked(raw) == "config.value"

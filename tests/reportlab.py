"""A daemon around a control plane, as far as the admin API's report asks for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import cast

import trio
from attrs import define, field

from gossipmesh.config.load import load
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.explained_view import Explained
from gossipmesh.daemon.admin.reachability_view import Reachability
from gossipmesh.daemon.admin.report import Listening, NodeReport
from gossipmesh.daemon.admin.requests_view import Requests
from gossipmesh.daemon.admin.services_view import OwnService, ServiceBook
from gossipmesh.daemon.policy.policies import Policies
from gossipmesh.daemon.policy.trying import Trials
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.daemon.telemetry.recorder import Recorder
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, NodeId
from gossipmesh.policy.rules import Policy

OWN: OwnService = {"name": "hello", "port": 8_080, "state": "healthy", "reason": "", "check": "tcp"}
EVERYWHERE = Listening(
    Address("0.0.0.0", 7_946), proxy=Address("127.0.0.1", 4_140), admin=Address("127.0.0.1", 4_191)
)


@define
class Around:
    """What a report asks of the daemon around the control plane."""

    listening: Listening = EVERYWHERE
    channels: dict[str, int] = field(factory=dict)
    in_flight: int = 0
    ejected: set[tuple[str, NodeId]] = field(factory=set)
    drained: int = 0
    left: int = 0
    recorder: Recorder = field(factory=Recorder)
    policy: Policy = field(factory=lambda: Policy(version=7))

    async def drain(self) -> None:
        await trio.lowlevel.checkpoint()
        self.drained += 1

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()
        self.left += 1

    waiting = ""

    def traffic(self) -> dict[str, dict[str, object]]:
        return {"policy.service": {"value": {}, "origin": "policy version 7"}}

    async def survey(self) -> Reachability:
        await trio.lowlevel.checkpoint()
        return {"ok": True, "node": "web-1", "members": [], "took_s": 0.0}

    async def offer(self, kind: str, raw: bytes) -> str:
        await trio.lowlevel.checkpoint()
        return f"{kind}: {len(raw)}"

    def report(self, mesh: Mesh, *, seeds: tuple[str, ...] = ()) -> NodeReport:
        flags: Mapping[str, object] = {"node.name": mesh.own.name, "node.join": list(seeds)}
        return NodeReport(
            lambda: load(None, {}, flags, root=False),
            mesh,
            Metrics(),
            listening=lambda: self.listening,
            channels=lambda: self.channels,
            in_flight=lambda: self.in_flight,
            ejected=lambda service, node: "silence of 1 s" if (service, node) in self.ejected else "",
            drain=self.drain,
            leave=self.leave,
            offer=self.offer,
            recorder=self.recorder,
            own_services=lambda: [OWN],
            explain=lambda method, url, headers: cast("Explained", {"asked": (method, url, headers)}),
            explain_past=lambda name: cast("Explained", {"asked": name}),
            requests=lambda asked: cast("Requests", {"asked": asked}),
            survey=self.survey,
            policies=cast("Policies", self),  # Of which it asks for the traffic here.
            trials=cast("Trials", self),
            policy=lambda: self.policy,
            check=lambda not_ready: cast("Checked", {"ok": not not_ready}),
            book=cast("ServiceBook", None),
            rng=random.Random(1),
        )

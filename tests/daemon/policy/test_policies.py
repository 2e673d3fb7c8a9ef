"""Which policy document is in effect at a node, as its rollout decides, and what is told of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define, field

from gossipmesh.config.policy_text import PolicyText
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.policy.measuring import Measuring
from gossipmesh.daemon.policy.policies import LOOK_S, Policies, gate_of, report_of
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import MeshError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.mesh.machine import Mesh
from gossipmesh.policy.document import POLICY_LABEL, PolicyDocument, Stage, new_document
from gossipmesh.policy.rollout import Report, Verdict
from gossipmesh.policy.rules import Policy
from gossipmesh.sim.world import World

ALLOW, DENY = 'default = "allow"', 'default = "deny"'


@define
class Plane:
    """Takes policies."""

    policy: Policy
    measuring: Measuring
    texts: list[PolicyText] = field(factory=list)
    serving: bool = False

    def set_policy(self, text: PolicyText) -> None:
        self.texts.append(text)

    def begin_serving(self) -> None:
        self.serving = True

    @property
    def versions(self) -> list[int]:
        return [text.policy.version for text in self.texts]


@define
class Lab:
    """One node that is alone in its mesh."""

    world: World
    mesh: Mesh
    plane: Plane
    policies: Policies
    published: list[tuple[int, bytes, int]]

    def offer(
        self, version: int, text: str, *stages: Stage, before: PolicyDocument | None = None
    ) -> PolicyDocument:
        """Have the mesh take a document, as if it came from a peer."""
        wall = self.world.wall
        back = {"return_to": before.hash} if before is not None and stages else {}
        document = new_document(version, text, signed_at=int(wall), before=before, stages=stages, **back)
        raw = sign_as_authority(
            POLICY_LABEL, document.body, Authority(self.world.root_seed), self.world.trust.mesh_id
        )
        said, _ = self.mesh.offer_untrusted("policy", raw, now=self.world.now, wall=wall)
        assert said == "taken"
        self.policies.changed(document)
        return document

    @property
    def verdict(self) -> Verdict:
        """What the node said last."""
        report = report_of(self.published[-1])
        assert report is not None
        return report.verdict


@pytest.fixture
async def lab(autojump_clock: trio.testing.MockClock) -> Lab:
    world = World(7)
    mesh = world.add("alone").mesh
    plane = Plane(Policy.of_default(True), Measuring(now=trio.current_time()))
    published: list[tuple[int, bytes, int]] = []
    log = cast("Log", SimpleNamespace(info=lambda *_, **__: None, warning=lambda *_, **__: None))
    policies = Policies(
        mesh,
        cast("DataPlane", plane),
        publish=lambda version, tag, gate: published.append((version, tag, gate)),
        log=log,
    )
    return Lab(world, mesh, plane, policies, published)


async def test_a_document_without_stages_is_in_force_at_once_and_told(lab: Lab) -> None:
    document = lab.offer(3, DENY)
    assert lab.plane.versions == [3]
    assert not lab.plane.texts[0].policy.default_allow
    assert lab.published == [(3, document.hash[:8], gate_of(Report(3, b"", 0, Verdict.DONE)))]
    shown = lab.policies.show(None)
    assert (shown["text"], shown["enforced"], shown["verdict"]) == (DENY, 3, "done")
    assert [entry["version"] for entry in lab.policies.history()] == [3]


async def test_how_the_policy_has_requests_treated_is_part_of_the_configuration(lab: Lab) -> None:
    assert lab.policies.traffic() == {}
    lab.offer(3, DENY + "\n[service.hello]\nbalancer = 'ewma'\n")
    shown: Any = lab.policies.traffic()["policy.service"]
    assert shown["origin"] == "policy version 3"
    assert shown["value"]["hello"]["balancer"] == "ewma"


async def test_where_the_document_falls_the_default_of_the_mesh_is_in_force_again(lab: Lab) -> None:
    lab.offer(3, DENY)
    lab.policies.changed(None)
    assert lab.plane.versions == [3, 0]
    assert lab.plane.texts[-1].policy.default_allow
    assert lab.published[-1] == (0, b"", 0)


async def test_a_document_in_stages_is_tried_and_then_holds(
    lab: Lab, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    nursery.start_soon(lab.policies.run)
    before = lab.offer(1, ALLOW)
    lab.offer(2, DENY, Stage(1_000, 10), before=before)
    assert (lab.plane.versions[-1], lab.verdict) == (2, Verdict.WATCHING)
    await trio.sleep(10 + 2 * LOOK_S)
    assert (lab.plane.versions[-1], lab.verdict) == (2, Verdict.DONE)
    assert lab.plane.serving


async def test_a_document_that_makes_requests_fail_goes_back_to_the_one_before(
    lab: Lab, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    nursery.start_soon(lab.policies.run)
    before = lab.offer(1, ALLOW)
    for _ in range(50):
        lab.plane.measuring.count(200, "")
    await trio.sleep(20)
    lab.offer(2, DENY, Stage(1_000, 3_600, requests=20), before=before)
    for _ in range(30):
        lab.plane.measuring.count(403, "AZ")
    await trio.sleep(3 * LOOK_S)
    assert (lab.plane.versions[-1], lab.verdict) == (1, Verdict.RETURNED)
    assert lab.policies.show(None)["enforced"] == 1


async def test_a_version_that_is_not_remembered_is_said_with_those_that_are(lab: Lab) -> None:
    assert lab.policies.show(None)["policy"] is None
    lab.offer(3, DENY)
    shown: Any = lab.policies.show(3)
    assert shown["policy"]["newest"]
    with pytest.raises(MeshError, match="known: 3"):
        lab.policies.show(2)


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("stage", [0, 1, 8])
def test_stage_and_verdict_are_one_number_in_a_record(verdict: Verdict, stage: int) -> None:
    report = Report(3, b"t" * 8, stage, verdict)
    assert gate_of(report) <= 127
    assert report_of((3, b"t" * 8, gate_of(report))) == report
    assert report_of((0, b"", 0)) is None

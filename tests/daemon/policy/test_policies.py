"""Which policy document is in effect at a node, as its rollout decides, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define, field

from gossipmesh.config.policy_text import PolicyText
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.policy.measuring import Measuring
from gossipmesh.daemon.policy.policies import LACKING, LOOK_S, UNSURE, Policies, gate_of, report_of
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import MeshError
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.mesh.machine import Mesh
from gossipmesh.policy.document import POLICY_LABEL, PolicyDocument, Stage, new_document
from gossipmesh.policy.rollout import Report, Verdict, takes_part
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
        self.serving = True

    def begin_serving(self) -> None:
        self.serving = True

    def wait_for_policy(self) -> None:
        self.serving = False

    @property
    def versions(self) -> list[int]:
        return [text.policy.version for text in self.texts]


@define
class Disk:
    """Gives what it is told to, and keeps everything."""

    before: Sequence[Report]
    kept: list[tuple[Report, ...]]

    def load(self) -> Sequence[Report]:
        return self.before

    def keep(self, reports: Sequence[Report]) -> None:
        self.kept.append(tuple(reports))


@define
class Lab:
    """One node that is alone in its mesh."""

    world: World
    mesh: Mesh
    plane: Plane
    policies: Policies
    published: list[tuple[int, bytes, int]]
    kept: list[tuple[Report, ...]]

    def again(self, mesh: Mesh | None = None, kept: Sequence[Report] = ()) -> Policies:
        """Begin anew, as after a restart, with what was kept."""
        self.policies = Policies(
            mesh or self.mesh,
            cast("DataPlane", self.plane),
            publish=lambda version, tag, gate: self.published.append((version, tag, gate)),
            log=cast("Log", SimpleNamespace(info=lambda *_, **__: None, warning=lambda *_, **__: None)),
            disk=Disk(kept, self.kept),
        )
        return self.policies

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
    lab = Lab(world, mesh, plane, cast("Policies", None), [], [])
    lab.again()
    return lab


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


def outside(mesh: Mesh) -> tuple[int, Stage]:
    """Give a version of which ``mesh`` is not among those that try it first, and its first stage."""
    first = Stage(500, 3_600)
    return next(v for v in range(2, 99) if not takes_part(mesh.id, v, first.share)), first


async def test_who_lacks_the_policy_to_return_to_serves_nobody_until_it_has_come(lab: Lab) -> None:
    before = new_document(1, ALLOW, signed_at=int(lab.world.wall))
    version, first = outside(lab.mesh)
    document = lab.offer(version, DENY, first, before=before)
    assert (lab.plane.serving, lab.plane.versions, lab.policies.waiting) == (False, [], LACKING)
    lab.mesh.charter._take_returned(before.body)
    lab.policies.changed(document)
    assert (lab.plane.serving, lab.plane.versions, lab.policies.waiting) == (True, [1], "")
    # The hold goes on from where it was: it is the same rollout.
    assert lab.verdict is Verdict.WATCHING


async def test_a_newcomer_serves_by_no_policy_in_stages_before_it_has_heard_how_far_they_are(
    lab: Lab, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    world = World(8)
    world.populate(3)
    before, stage = new_document(1, ALLOW, signed_at=int(world.wall)), Stage(1_000, 3_600)
    late = world.add("late", seeds=["n0"]).running
    bad = new_document(2, DENY, signed_at=int(world.wall), stages=[stage], return_to=before.hash)
    authority = Authority(world.root_seed)
    for document in (before, bad):
        raw = sign_as_authority(POLICY_LABEL, document.body, authority, world.trust.mesh_id)
        for mesh in (late, *(node.running for node in world.up if node.name != "late")):
            assert mesh.offer_untrusted("policy", raw, now=world.now, wall=world.wall)[0] == "taken"
    for name in ("n0", "n1", "n2"):
        node = world.nodes[name]
        gate = gate_of(Report(2, b"", 0, Verdict.RETURNED))
        world.perform(node, node.running.show_policy(2, bad.hash[:8], gate, now=world.now, wall=world.wall))
    policies = lab.again(late)
    assert not late.joined
    policies.changed(bad)
    assert (lab.plane.serving, lab.plane.versions, policies.waiting) == (False, [], UNSURE)
    nursery.start_soon(policies.run)
    world.run_until(lambda: late.joined and len(late.members) == 3, within=20)
    await trio.sleep(2 * LOOK_S)
    assert (lab.plane.serving, lab.plane.versions, policies.waiting) == (True, [1], "")
    assert lab.verdict is Verdict.RETURNED


async def test_after_a_power_cut_a_policy_that_was_returned_stays_so_and_one_under_way_goes_on(
    lab: Lab, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    nursery.start_soon(lab.policies.run)
    before = lab.offer(1, ALLOW)
    await trio.sleep(20)
    bad = lab.offer(2, DENY, Stage(1_000, 3_600, requests=20), before=before)
    for _ in range(30):
        lab.plane.measuring.count(403, "AZ")
    await trio.sleep(3 * LOOK_S)
    assert lab.verdict is Verdict.RETURNED
    assert [report.verdict for report in lab.kept[-1]] == [Verdict.RETURNED]
    lab.again(kept=lab.kept[-1]).changed(bad)
    assert (lab.plane.versions[-1], lab.verdict) == (1, Verdict.RETURNED)

    nursery.start_soon(lab.policies.run)
    third = lab.offer(3, DENY, Stage(500, 5), Stage(1_000, 3_600), before=before)
    await trio.sleep(5 + 3 * LOOK_S)
    assert [(report.version, report.stage) for report in lab.kept[-1]] == [(2, 0), (3, 1)]
    lab.again(kept=lab.kept[-1]).changed(third)
    assert (lab.plane.versions[-1], lab.policies.report) == (3, lab.kept[-1][-1])


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("stage", [0, 1, 8])
def test_stage_and_verdict_are_one_number_in_a_record(verdict: Verdict, stage: int) -> None:
    report = Report(3, b"t" * 8, stage, verdict)
    assert gate_of(report) <= 127
    assert report_of((3, b"t" * 8, gate_of(report))) == report
    assert report_of((0, b"", 0)) is None

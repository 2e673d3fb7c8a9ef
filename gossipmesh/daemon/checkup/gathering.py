"""The facts that ``gossipmesh check`` looks at, read off a running node, at once and from memory."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio
from attrs import evolve

from gossipmesh.config.model import Config
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.report import Listening
from gossipmesh.daemon.admin.services_view import OwnService
from gossipmesh.daemon.checkup.checks import shown
from gossipmesh.daemon.checkup.facts import (
    Called,
    Clone,
    Ejected,
    Facts,
    Fellow,
    OwnFound,
    PolicyFound,
    Quota,
    Seed,
)
from gossipmesh.daemon.checkup.noted import Noted
from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.policy.policies import Policies
from gossipmesh.discovery.seeds import Resolved
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.renewal import losses, renewal_overdue
from gossipmesh.membership.members import Member
from gossipmesh.mesh.circumstances import Circumstances
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Endpoint, NodeId, Serving, short_id

CALLED_S: Final = 10 * 60.0
"""A service counts as called for so long after the last request for it."""
OPEN_FILES: Final = "/proc/self/fd"


class Examiner:
    """Looks at one node.

    Args:
        config: what the node was started with.
        mesh: the control plane, to be read only.
        plane: the data plane, likewise.
        policies: the mesh's policy at this node.
        noted: what happened lately.
        listening: gives where the node listens now.
        resolved: gives what the seeds' names came to last.
        own_services: gives this node's services and their health.
        keeps_root: whether the mesh's root key is in the state directory.
    """

    def __init__(
        self,
        config: Config,
        mesh: Mesh,
        plane: DataPlane,
        policies: Policies,
        noted: Noted,
        *,
        listening: Callable[[], Listening],
        resolved: Callable[[], Resolved],
        own_services: Callable[[], list[OwnService]],
        keeps_root: bool,
    ) -> None:
        self._config = config
        self._mesh = mesh
        self._plane = plane
        self._policies = policies
        self._noted = noted
        self._listening = listening
        self._resolved = resolved
        self._own_services = own_services
        self._keeps_root = keeps_root

    def check(self, not_ready: str) -> Checked:
        """Give what is right and wrong; ``not_ready`` says why the node takes no work, and is empty where it does."""
        return shown(self.facts(not_ready))

    def facts(self, not_ready: str) -> Facts:
        """Give what is looked at; ``not_ready`` as above."""
        mesh, noted, around = self._mesh, self._noted, self._mesh.circumstances
        wall, found = wall_clock(), around.found
        facts = Facts(
            wall=wall,
            name=mesh.own.name,
            shown_as=self._name(mesh.id),
            id=mesh.id.hex(),
            address=str(mesh.own.addresses[0]),
            serving=mesh.own.serving,
            not_ready=not_ready,
            listening=tuple(self._listeners()),
            unresolved=self._resolved().problems,
            reached=found.reached,
            witness="" if found.witness is None else self._name(found.witness),
            reached_ago_s=trio.current_time() - found.at,
            members=tuple(self._fellow(each, around, wall) for each in mesh.members.values()),
            clocks=tuple((self._name(node), ahead_s) for node, ahead_s in noted.clocks.items()),
            clock_refused=noted.clock_refused,
            warned=noted.warnings,
            record_bytes=len(mesh.own.signed.raw),
            refused_services=tuple(sorted(around.refused_services)),
            seeds=tuple(self._seeds(around)),
            policy=self._policy(),
        )
        return self._with_services(self._with_trust(facts, wall))

    def _with_trust(self, facts: Facts, wall: float) -> Facts:
        mesh, chain = self._mesh, self._mesh.chain
        revocations = mesh.charter.revocations
        own = revocations.find(chain)
        return evolve(
            facts,
            chain_expires_at=chain.grants.expires_at,
            chain_overdue=renewal_overdue(chain, wall),
            keeps_root=self._keeps_root,
            root=chain.root.hex(),
            roots=tuple(root.hex() for root in mesh.trust.roots),
            bundle=mesh.trust.n,
            clones=tuple(
                Clone(self._name(each.id), each.id.hex(), each.ours, each.theirs, own=each.id == mesh.id)
                for each in mesh.registry.clones
            ),
            revocations=tuple(str(each) for each in revocations.entries if not revocations.is_void(each)),
            voided=tuple(str(each) for each in revocations.entries if revocations.is_void(each)),
            revoked="" if own is None else str(own),
            quotas=tuple(self._quotas()),
        )

    def _with_services(self, facts: Facts) -> Facts:
        return evolve(
            facts,
            services=tuple(
                OwnFound(each["name"], each["state"], each["reason"]) for each in self._own_services()
            ),
            called=tuple(self._called()),
            ejected=tuple(self._ejected()),
            files_open=_open_files(),
            files_limit=_file_limit(),
        )

    def _name(self, node: NodeId) -> str:
        return self._mesh.names.get(node, short_id(node))

    def _listeners(self) -> Iterator[tuple[str, str]]:
        now = self._listening()
        for what, where in (("proxy", now.proxy), ("admin", now.admin), ("dns", now.dns)):
            if where is not None:
                yield what, str(where)
        for upstream in self._config.upstreams:
            yield f"upstream {upstream.service}", str(upstream.listen)

    def _seeds(self, around: Circumstances) -> Iterator[Seed]:
        mesh, asked = self._mesh, around.asked_seeds
        living = (member.record.addresses for member in mesh.members.values() if member.living)
        reached = {address for addresses in living for address in addresses}
        for address in self._resolved().addresses:
            if address in reached:
                yield Seed(str(address), known=True)
            elif address not in mesh.own.addresses:
                why, refusal = asked.get(address, ""), around.refusing_seeds.get(address, "")
                yield Seed(str(address), known=address in asked, why=why, refusal=refusal)

    def _fellow(self, member: Member, around: Circumstances, wall: float) -> Fellow:
        record, chain = member.record, self._mesh.chain_of(member.id)
        since = around.differing_since.get(member.id)
        fellow = Fellow(
            name=self._name(member.id),
            id=member.id.hex(),
            address=str(record.addresses[0]),
            state=member.state,
            udp_blocked=member.udp_blocked,
            differs_s=0.0 if since is None else max(0.001, trio.current_time() - since),
            policy=(record.policy[0], record.policy[1].hex()),
        )
        if chain is None:
            return fellow
        own, issues = self._mesh.chain, chain.grants.allows(Capability.ISSUE)
        issuer = issues and chain.grants.allows_name(own.name)
        return evolve(
            fellow,
            root=chain.root.hex(),
            chain_overdue=renewal_overdue(chain, wall),
            issuer=issuer,
            loses=losses(own.grants, chain.grants) if issuer else (),
            issues_others=issues and not issuer,
        )

    def _quotas(self) -> Iterator[Quota]:
        mesh = self._mesh
        limits: dict[bytes, int] = {}
        holding: dict[bytes, list[str]] = {}
        for node, record in mesh.registry.records.items():
            chain = mesh.chain_of(node)
            if chain is None or record.serving is Serving.LEAVING:
                continue
            if node == mesh.id and not mesh.joined:
                continue  # It holds no place before somebody has taken it in.
            for quota in chain.quotas:
                limits[quota.holder] = quota.nodes
                holding.setdefault(quota.holder, []).append(self._name(node))
        own = {quota.holder for quota in mesh.chain.quotas}
        for holder, names in holding.items():
            yield Quota(limits[holder], tuple(sorted(names)), own=holder in own)

    def _policy(self) -> PolicyFound:
        held, report, policy = self._mesh.charter.policy, self._policies.report, self._plane.policy
        document = None if held is None else held.document
        return PolicyFound(
            enforced=policy.version,
            audit=policy.mode == "audit",
            default_allow=policy.default_allow,
            rules=len(policy.rules),
            newest=(0, "") if document is None else (document.version, document.hash[:8].hex()),
            stages=0 if document is None else len(document.stages),
            stage=0 if report is None else report.stage,
            verdict=None if report is None else report.verdict,
            refused=self._mesh.charter.refused,
        )

    def _called(self) -> Iterator[Called]:
        ports = {upstream.service for upstream in self._config.upstreams}
        for service in sorted(ports | self._plane.called(wall_clock() - CALLED_S)):
            endpoints = self._mesh.snapshot.endpoints(service)
            ill = [each for each in endpoints if not each.eligible]
            yield Called(service, len(endpoints), len(endpoints) - len(ill), _reasons(ill))

    def _ejected(self) -> Iterator[Ejected]:
        for service, endpoints in self._mesh.snapshot.services.items():
            for each in endpoints:
                if reason := self._plane.why_ejected(service, each.id):
                    yield Ejected(service, each.node, reason)


def _reasons(endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    return tuple(f"{each.node}: {each.reason}" for each in endpoints)


def _open_files() -> int:
    try:
        return len(os.listdir(OPEN_FILES))
    except OSError:
        return 0


def _file_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft

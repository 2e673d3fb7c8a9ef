"""The mesh's policy at this node: which document is known, which is in effect here, and what members say of theirs.

The charter says which document is the newest. Whether it holds here yet, or the one before it, its rollout decides
(:mod:`gossipmesh.policy.rollout`); what comes of that goes to the data plane as a whole, and into this node's record.

Law: nothing is served by a guess. A node that lacks the document to go by, or that is new and has not heard yet how far
a rollout is, refuses requests from the mesh, and is not ready, until it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

import trio

from gossipmesh.config.policy_text import PolicyText, read_policy
from gossipmesh.config.traffic import show_traffic
from gossipmesh.daemon.admin.policy_view import PolicyEntry, PolicyNode, PolicyShown
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.telemetry.access_lines import iso
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.identity.record import MemberRecord
from gossipmesh.mesh.charter import MAX_HISTORY
from gossipmesh.mesh.held_policy import HeldPolicy
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import short_id
from gossipmesh.policy.document import NO_DOCUMENT, PolicyDocument
from gossipmesh.policy.rollout import TAG_BYTES, Enforce, Publish, Report, Rollout, Verdict, Voter

SAMPLE_S: Final = 5.0
"""How often it is noted how requests went, otherwise."""
LOOK_S: Final = 1.0
"""How often members' reports are counted while a document is rolled out in stages."""
VERDICTS: Final = len(Verdict)
MAX_KEPT: Final = MAX_HISTORY
"""Documents in stages of which it is remembered what this node said."""
UNSURE: Final = "it has not heard yet how far the mesh is with the policy that it rolls out"
LACKING: Final = "it lacks the policy to go by, and asks for it"
Publisher = Callable[[int, bytes, int], None]
"""Puts version, hash and gate into this node's record."""


class Keeper(Protocol):
    """Has what this node said of documents in stages on its disk."""

    def load(self) -> Sequence[Report]:
        """Give what the last run kept."""
        ...

    def keep(self, reports: Sequence[Report]) -> None:
        """Keep this in place of it."""
        ...


def gate_of(report: Report) -> int:
    """Give a report's stage and verdict as the one number that a record has for them."""
    return report.stage * VERDICTS + report.verdict.value


def report_of(policy: tuple[int, bytes, int]) -> Report | None:
    """Give the report that a member's record makes; None: it reports nothing."""
    version, tag, gate = policy
    return Report(version, tag, gate // VERDICTS, Verdict(gate % VERDICTS)) if version else None


class Policies:
    """Puts policies in force.

    Args:
        mesh: the control plane, to be read only.
        plane: takes policies; the one that it has at first is that of a mesh without a document.
        publish: puts into this node's record what is in effect here.
        log: is told.
        disk: has what this node said before it was restarted, and keeps what it says.
        changed: is told that ``waiting`` changed.
    """

    def __init__(
        self,
        mesh: Mesh,
        plane: DataPlane,
        *,
        publish: Publisher,
        log: Log,
        disk: Keeper,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._mesh = mesh
        self._plane = plane
        self._default = self._text = PolicyText(plane.policy, {}, "")
        self._measuring = plane.measuring
        self._publish = publish
        self._log = log
        self._rollout: Rollout | None = None
        self._enforced: bytes | None = None
        self._kept = {report.tag: report for report in disk.load()}
        self._disk = disk
        self._waiting_changed = changed
        self.waiting = ""
        """Why this node serves nobody, as a clause; empty: it knows what to go by."""
        self._woken = trio.Event()

    @property
    def report(self) -> Report | None:
        """What this node says of the newest document; None: there is none."""
        return None if self._rollout is None else self._rollout.report

    def changed(self, document: PolicyDocument | None) -> None:
        """Take the newest document, or that what it returns to has come; None: there is none any more."""
        if document is None:
            self._rollout = None
            self._enforce(NO_DOCUMENT)
            self._publish(0, b"", 0)
            return
        rollout = self._rollout
        if rollout is not None and rollout.document.hash == document.hash:
            if self.waiting == LACKING:
                self._enforce(rollout.enforced)
            return
        mesh = self._mesh
        kept = self._kept.get(document.hash[:TAG_BYTES])
        token = next(iter(mesh.chain.token_ids), mesh.id)
        self._rollout = rollout = Rollout(document, mesh.id, token, kept=kept, now=trio.current_time())
        if document.stages and kept is None and not mesh.joined:
            self._wait(UNSURE)
        else:
            if document.stages:
                # Where the others are already is where this node begins.
                self._count(rollout)
            self._enforce(rollout.enforced)
        self._tell(rollout.report)
        self._woken.set()

    def look(self) -> None:
        """Take it that this node has joined, or has not any more."""
        self._woken.set()

    async def run(self) -> None:
        """Go on with rollouts until cancelled."""
        joined = False
        while True:
            if self._mesh.joined and not joined:
                joined = True
                self._has_joined()
            self._measuring.sample(now=trio.current_time())
            rollout = self._rollout
            staged = rollout is not None and bool(rollout.document.stages)
            with trio.move_on_after(LOOK_S if staged else SAMPLE_S):
                await self._woken.wait()
            self._woken = trio.Event()
            if rollout is not None and staged and rollout is self._rollout and self.waiting != UNSURE:
                self._count(rollout)

    def _has_joined(self) -> None:
        rollout = self._rollout
        if rollout is not None and self.waiting == UNSURE:
            self._count(rollout)
            self._enforce(rollout.enforced)
        elif not self.waiting:
            self._plane.begin_serving()

    def _count(self, rollout: Rollout) -> None:
        now = trio.current_time()
        for output in rollout.count(self._voters(), self._measuring.measured(now=now), now=now):
            match output:
                case Enforce(document):
                    self._enforce(document)
                case Publish(report):
                    self._tell(report)

    def _voters(self) -> Iterator[Voter]:
        for member in self._mesh.members.values():
            chain = self._mesh.chain_of(member.id) if member.living else None
            if chain is not None and member.record.enforces:
                token = next(iter(chain.token_ids), member.id)
                yield Voter(member.id, token, report_of(member.record.policy))

    def _enforce(self, hash_: bytes) -> None:
        text = self._text_of(hash_)
        if text is None:
            self._log.warning("policy.unknown", detail=f"nobody is served here: {LACKING}")
            self._wait(LACKING)
            return
        if hash_ == self._enforced and not self.waiting:
            return
        self._enforced, self._text = hash_, text
        self._measuring.policy_changed(now=trio.current_time())
        self._plane.set_policy(text)
        self._log.info("policy.in-force", version=text.policy.version, mode=text.policy.mode)
        if self.waiting:
            self.waiting = ""
            self._waiting_changed()

    def _wait(self, why: str) -> None:
        self.waiting = why
        self._plane.wait_for_policy()
        self._waiting_changed()

    def _text_of(self, hash_: bytes) -> PolicyText | None:
        if hash_ == NO_DOCUMENT:
            return self._default
        document = self._mesh.charter.document(hash_)
        if document is None:
            return None
        try:
            return read_policy(document.text, version=document.version)
        except ConfigError:  # It was read before it was taken, so a later release must have written it.
            return None

    def _tell(self, report: Report) -> None:
        rollout = self._rollout
        if rollout is not None and rollout.document.stages:
            self._kept.pop(report.tag, None)
            self._kept[report.tag] = report
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._disk.keep(tuple(self._kept.values()))
        self._publish(report.version, report.tag, gate_of(report))

    # --- what is shown ---------------------------------------------------------------------------------------------

    def show(self, version: int | None) -> PolicyShown:
        """Give a document with its text, the newest if no version is said.

        Raises:
            MeshError: ``policy.unknown``, where it is not remembered.
        """
        history = self._mesh.charter.history
        newest = self._mesh.charter.policy
        wanted = (
            newest if version is None else next((h for h in history if h.document.version == version), None)
        )
        default: Literal["allow", "deny"] = "allow" if self._default.policy.default_allow else "deny"
        if wanted is None and version:
            kept = ", ".join(str(held.document.version) for held in history) or "none"
            raise MeshError(
                "policy.unknown", f"no policy version {version} is remembered here (known: {kept})"
            )
        report = self.report
        return PolicyShown(
            policy=None if wanted is None else self._entry(wanted),
            text="" if wanted is None else wanted.document.text,
            body="" if wanted is None else wanted.document.body.hex(),
            default=default,
            enforced=self._text.policy.version,
            verdict="" if report is None else report.verdict.name.lower(),
            stage=0 if report is None else report.stage,
            nodes=list(self._nodes()),
        )

    def traffic(self) -> dict[str, dict[str, object]]:
        """Give how the policy has requests treated, as ``gossipmesh config`` shows it: it goes before ``traffic``."""
        text = self._text
        if not text.traffics:
            return {}
        shown = {name: show_traffic(traffic) for name, traffic in text.traffics.items()}
        return {"policy.service": {"value": shown, "origin": f"policy version {text.policy.version}"}}

    def history(self) -> list[PolicyEntry]:
        """Give the documents that are remembered, the newest first."""
        return [self._entry(held) for held in reversed(self._mesh.charter.history)]

    def _entry(self, held: HeldPolicy) -> PolicyEntry:
        document, newest = held.document, self._mesh.charter.policy
        signer = held.authorised.signer
        id_ = () if signer.id is None else (signer.id,)
        return PolicyEntry(
            version=document.version,
            hash=document.hash.hex(),
            signed_at=iso(document.signed_at),
            signer=str(signer),
            signer_id=b"".join(id_).hex(),
            signer_names=[name.hex() for name in (*id_, *signer.token_ids, *signer.issuers)],
            stages=[[each.share, each.hold_s, each.rise, each.requests] for each in document.stages],
            newest=newest is not None and newest.document.hash == document.hash,
        )

    def _nodes(self) -> Iterator[PolicyNode]:
        mesh = self._mesh
        yield self._node(mesh.own.name, mesh.own)
        for member in mesh.members.values():
            if member.living:
                name = mesh.names.get(member.id, short_id(member.id))
                yield self._node(name, member.record)

    def _node(self, name: str, record: MemberRecord) -> PolicyNode:
        policy = record.policy
        report = report_of(policy)
        return PolicyNode(
            node=name,
            id=record.id.hex(),
            version=policy[0],
            hash=policy[1].hex(),
            verdict="" if report is None else report.verdict.name.lower(),
            stage=0 if report is None else report.stage,
            enforces=record.enforces,
        )

"""A policy tried on: what it would have decided about the requests of the last hour, here and at every member.

Each member looks at what it has seen itself; only counts and the kinds of requests that would be decided otherwise
travel. It is slow work, done piece by piece between other tasks, one trial at a time, and seldom for one asker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

import trio

from gossipmesh.config.policy_text import read_policy
from gossipmesh.daemon.admin.policy_view import TrialFinding, TrialNode, TrialShown
from gossipmesh.daemon.clock import wall_clock
from gossipmesh.errors import ConfigError, ConnectError, RemoteProtocolError, TrustError
from gossipmesh.identity.authority import verify_authorised_untrusted
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.grants import Capability
from gossipmesh.mesh.exchanges import encode_refusal
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.trial_messages import (
    FRESH_S,
    LABEL,
    MAX_QUESTION,
    Question,
    decode_question_untrusted,
    decode_tried_untrusted,
    decode_try_untrusted,
    encode_tried,
    encode_try,
)
from gossipmesh.model import NodeId, short_id
from gossipmesh.policy.decision import Decision
from gossipmesh.policy.seen import TCP, Asked, Seen
from gossipmesh.policy.trial import Trial, Tried
from gossipmesh.proxy.admission import judge
from gossipmesh.transport.secure_stream import ChannelClosed

SLICE: Final = 128
"""Kinds of requests judged in one go: some 0.4 ms."""
GAP_S: Final = 2.0
"""Between two trials for one asker."""
MAX_ASKERS: Final = 256
"""Askers whose last trial is remembered."""
MAX_ASKED: Final = 16
"""Members asked at once."""

Ask = Callable[[NodeId, bytes], Awaitable[bytes]]
"""Sends a request to a member and gives its answer; raises what :meth:`~.sync.SyncClient.exchange` raises."""


class Trials:
    """Tries policies on.

    Args:
        mesh: the control plane, to be read only.
        seen: what this node's services were asked for.
        ask: asks a member.
    """

    def __init__(self, mesh: Mesh, seen: Seen, ask: Ask) -> None:
        self._mesh = mesh
        self._seen = seen
        self._ask = ask
        self._turn = trio.Lock()
        self._asked: dict[NodeId, float] = {}

    async def here(self, text: str) -> Tried:
        """Give what a policy would have decided about this node's requests.

        Raises:
            ConfigError: it is not valid.
        """
        policy = read_policy(text).policy

        def decide(asked: Asked) -> Decision:
            tcp = asked.method == TCP
            return judge(policy, asked.source, asked.service, asked.method, asked.path, tcp=tcp)

        trial = Trial()
        async with self._turn:
            requests = self._seen.requests(now=trio.current_time())
            while some := list(islice(requests, SLICE)):
                for request in some:
                    trial.add(decide, request, path_matters=policy.has_paths)
                await trio.lowlevel.checkpoint()
        return trial.tried()

    # --- asked by members ------------------------------------------------------------------------------------------

    async def answer_untrusted(self, peer: Peer, request: bytes) -> bytes:
        """Answer a member that asks; with a refusal, whatever is wrong."""
        now = trio.current_time()
        if self._turn.locked() or now < self._asked.get(peer.id, -GAP_S) + GAP_S:
            return encode_refusal("trial.busy")
        if len(self._asked) >= MAX_ASKERS:
            del self._asked[next(iter(self._asked))]
        self._asked[peer.id] = now
        try:
            question = self._question_untrusted(decode_try_untrusted(request), peer.id)
            return encode_tried(await self.here(question.text))
        except (ConfigError, RemoteProtocolError) as error:
            return encode_refusal(error.code)

    def _question_untrusted(self, raw: bytes, asker: NodeId) -> Question:
        """Verify a question that ``asker`` asks.

        Raises:
            RemoteProtocolError: ``exchange.malformed``, and what ``verify_authorised_untrusted`` raises.
            TrustError: ``trial.stale``, ``trial.asker`` or ``trial.revoked``.
        """
        wall = wall_clock()
        authorised = verify_authorised_untrusted(
            raw,
            LABEL,
            self._mesh.trust,
            Capability.POLICY,
            max_bytes=MAX_QUESTION,
            signed_at=lambda body: decode_question_untrusted(body).signed_at,
            wall=wall,
            code="exchange.malformed",
        )
        question = decode_question_untrusted(authorised.body)
        if wall > question.signed_at + FRESH_S:
            raise TrustError("trial.stale", "this question was signed too long ago; ask again")
        if question.asker != asker:
            raise TrustError("trial.asker", "this question was signed for another member to ask")
        if self._mesh.charter.revocations.find(authorised.signer) is not None:
            raise TrustError("trial.revoked", "whoever signed this question is revoked")
        return question

    # --- asked by the owner ----------------------------------------------------------------------------------------

    async def show_here(self, text: str) -> TrialShown:
        """Give the same for people.

        Raises:
            ConfigError: the policy is not valid.
        """
        shown = _nothing()
        self._add(shown, self._mesh.id, await self.here(text))
        return shown

    async def show_everywhere(self, raw: bytes) -> TrialShown:
        """Ask every living member, with a signed question.

        Raises:
            ConfigError: the policy is not valid.
            RemoteProtocolError: the question is not one that members would answer.
        """
        question = self._question_untrusted(raw, self._mesh.id)
        shown = await self.show_here(question.text)
        places, request = trio.CapacityLimiter(MAX_ASKED), encode_try(raw)
        async with trio.open_nursery() as nursery:
            for member in list(self._mesh.members.values()):
                if member.living:
                    nursery.start_soon(self._ask_one, member.id, request, places, shown)
        return shown

    async def _ask_one(
        self, node: NodeId, request: bytes, places: trio.CapacityLimiter, shown: TrialShown
    ) -> None:
        async with places:
            try:
                self._add(shown, node, decode_tried_untrusted(await self._ask(node, request)))
            except (ConnectError, ChannelClosed, RemoteProtocolError) as error:
                shown["nodes"].append(_node(self._name_of(node), node, None, str(error)))

    def _add(self, shown: TrialShown, node: NodeId, tried: Tried) -> None:
        name = self._name_of(node)
        shown["requests"] += tried.requests
        shown["denied"] += tried.denied
        shown["allowed"] += tried.allowed
        shown["unknown"] += tried.unknown
        shown["nodes"].append(_node(name, node, tried, ""))
        for found in tried.findings:
            asked = found.asked
            shown["findings"].append(
                TrialFinding(
                    node=name,
                    source=asked.source.service,
                    caller=self._name_of(asked.source.node),
                    service=asked.service,
                    method=asked.method.decode("ascii", "replace"),
                    path=asked.path.decode("ascii", "replace"),
                    verdict="allow" if found.allow else "deny",
                    rule=found.rule,
                    count=found.count,
                    ago_s=round(found.ago_s, 1),
                )
            )

    def _name_of(self, node: NodeId) -> str:
        return self._mesh.own.name if node == self._mesh.id else self._mesh.names.get(node, short_id(node))


def _nothing() -> TrialShown:
    return TrialShown(requests=0, denied=0, allowed=0, unknown=0, nodes=[], findings=[])


def _node(name: str, node: NodeId, tried: Tried | None, why: str) -> TrialNode:
    return TrialNode(
        node=name,
        id=node.hex(),
        answered=tried is not None,
        why=why,
        requests=0 if tried is None else tried.requests,
        denied=0 if tried is None else tried.denied,
    )

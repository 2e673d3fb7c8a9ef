"""Which endpoint of one service gets a request: split, zone, session and rule together."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from copy import copy
from typing import TYPE_CHECKING, Final

from attrs import frozen
from mypy_extensions import mypyc_attr

from gossipmesh.model import Endpoint, NodeId
from gossipmesh.routing.balancing.cookies import set_cookie, token_of
from gossipmesh.routing.balancing.layout import Layout, Tagged, lay_out
from gossipmesh.routing.balancing.load import EndpointLoad, Result
from gossipmesh.routing.balancing.members import GOLDEN, Members, Turns
from gossipmesh.routing.balancing.ring import Ring, for_session, hash_of
from gossipmesh.routing.balancing.rules import RULES
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import Traffic

if TYPE_CHECKING:
    from random import Random

RAMP_STEPS: Final = 20
"""In so many steps a weight rises during slow start."""
MAX_GONE: Final = 1_024
"""Endpoints that are gone, but have requests in flight, whose statistics are kept; of more, the oldest go."""


@frozen
class Score:
    """What speaks for and against one candidate."""

    endpoint: Endpoint
    weight: float
    """As it counts now: less than the endpoint's own during slow start."""
    share: float
    """Of the requests, what its group (tag and zone) gets; 0: nothing, so it is not chosen."""
    score: float
    """The less, the sooner it is chosen in its group: turns for the balancers in turn, requests by weight for
    ``least-request``, seconds for ``ewma``, and always 0 for ``random``."""


@frozen
class Choice:
    """Which endpoint a request would get, and why."""

    endpoint: Endpoint
    balancer: str
    tag: str
    """Of the split; empty where there is none, or the session knew better."""
    zone: str
    """Whose endpoints were chosen among; empty: zones made no difference."""
    session: str
    """``kept``: its cookie names the endpoint; ``hashed``: by its header or source; empty: no session told."""
    scores: tuple[Score, ...]
    """In the order of the candidates."""


_Decision = tuple[EndpointLoad, Members | None, str]
"""The endpoint, the group among which it was chosen, and the session's part; no group where a session chose."""


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class ServiceBalancer:
    """Chooses among the endpoints of one service, and remembers how they did.

    Each :meth:`pick` that is carried out is followed by :meth:`began`, and each of those by one :meth:`ended`.

    Args:
        service: its name.
        traffic: how its requests are spread.
        origin: this node; begins the turns, so that not all nodes begin with the same endpoint.
        key: of sessions' hashes, at most 64 bytes; the same on all nodes of the mesh.
        rng: dice.
    """

    __slots__ = (
        "_candidates",
        "_in_turn",
        "_key",
        "_layout",
        "_loads",
        "_measures",
        "_only",
        "_origin",
        "_phase",
        "_pick",
        "_ramp_at",
        "_rings",
        "_rng",
        "_score",
        "_service",
        "_tokens",
        "_turns",
        "traffic",
    )

    def __init__(self, service: str, traffic: Traffic, *, origin: NodeId, key: bytes, rng: Random) -> None:
        self._service = service
        self.traffic = traffic
        self._origin = origin
        self._key = key
        self._rng = rng
        rule = RULES[traffic.balancer]
        self._pick = rule.pick
        self._score = rule.score
        self._in_turn = rule.in_turn
        self._measures = rule.measures
        self._loads: dict[NodeId, EndpointLoad] = {}
        self._turns: dict[tuple[str, str], Turns] = {}
        self._rings: dict[str, Ring] = {}
        self._tokens: dict[bytes, EndpointLoad] = {}
        self._candidates: Candidates | None = None
        self._layout: Layout | None = None
        self._only: Members | None = None
        self._ramp_at = math.inf
        self._phase = rng.random()

    def twin(self, rng: Random) -> ServiceBalancer:
        """Give one that chooses as this one would, and shares nothing with it that changes: for dry runs.

        Args:
            rng: a copy of the dice.
        """
        twin = copy(self)
        twin._rng = rng
        twin._loads = loads = {node: copy(load) for node, load in self._loads.items()}
        twin._turns = {group: turns.twin() for group, turns in self._turns.items()}
        twin._rings = {tag: ring.twin() for tag, ring in self._rings.items()}
        twin._tokens = {token: loads[load.endpoint.id] for token, load in self._tokens.items()}
        if self._candidates is not None:
            twin._layout = layout = twin._lay_out(self._candidates)
            twin._only = layout.groups[0] if len(layout.groups) == 1 else None
        return twin

    def successor(self, traffic: Traffic) -> ServiceBalancer:
        """Give one for other rules, that knows the same endpoints: requests under way count with both."""
        after = ServiceBalancer(self._service, traffic, origin=self._origin, key=self._key, rng=self._rng)
        after._loads = dict(self._loads)
        return after

    # --- choosing --------------------------------------------------------------------------------------------------

    def pick(
        self,
        candidates: Candidates,
        *,
        now: float,
        session: bytes | None = None,
        tried: Collection[NodeId] = (),
    ) -> Endpoint | None:
        """Give the endpoint that is to get a request.

        Args:
            candidates: the eligible ones, of the newest picture; while some are tried, of any.
            now: monotonic seconds.
            session: the token of our cookie, the header's value or the source, as ``traffic.sticky`` says; None: the
                request has none.
            tried: whom not to give.

        Returns:
            None: nobody is left.
        """
        if not tried and (candidates is not self._candidates or now >= self._ramp_at):
            if not candidates:
                return None
            self._adopt(candidates, now)
        members = self._only
        if session is None and not tried and members is not None:
            load = self._pick(members, now, self._rng)
        else:
            decision = self._decide(candidates, now, session, tried, self._rng)
            if decision is None:
                return None
            load, members, _ = decision
            if members is None:
                return load.endpoint
            self._phase = (self._phase + GOLDEN) % 1.0
        if self._in_turn:
            members.take(load)
        return load.endpoint

    def explain(
        self,
        candidates: Candidates,
        *,
        now: float,
        session: bytes | None = None,
        tried: Collection[NodeId] = (),
    ) -> Choice | None:
        """Give what :meth:`pick` would give for the same arguments now, and why.

        Only a copy of the dice is cast, and no turn is taken.
        """
        if not candidates:
            return None
        if not tried and (candidates is not self._candidates or now >= self._ramp_at):
            self._adopt(candidates, now)
        decision = self._decide(candidates, now, session, tried, copy(self._rng))
        if decision is None:
            return None
        load, members, told = decision
        left = [one for one in candidates if one.id not in tried] if tried else candidates
        scores = self.scores(left, now=now)
        tag, zone = (members.tag, members.zone) if members is not None else ("", "")
        return Choice(load.endpoint, self.traffic.balancer, tag, zone, told, scores)

    def scores(self, candidates: Sequence[Endpoint], *, now: float) -> tuple[Score, ...]:
        """Give weight and score of each candidate, in their order; changes nothing."""
        if not candidates:
            return ()
        layout = self._layout
        if layout is None or candidates is not self._candidates:
            layout = self._lay_out(candidates)
        places = {
            load.endpoint.id: (load, members, share)
            for members, share in zip(layout.groups, layout.shares, strict=True)
            for load in members.loads
        }
        scores: list[Score] = []
        for endpoint in candidates:
            if (place := places.get(endpoint.id)) is not None:
                load, members, share = place
                scores.append(Score(endpoint, load.weight, share, self._score(members, load, now)))
            else:
                scores.append(Score(endpoint, self._load_of(endpoint).weight, 0.0, math.inf))
        return tuple(scores)

    def _decide(
        self,
        candidates: Candidates,
        now: float,
        session: bytes | None,
        tried: Collection[NodeId],
        rng: Random,
    ) -> _Decision | None:
        layout = self._layout
        if tried or layout is None:
            left = [endpoint for endpoint in candidates if endpoint.id not in tried]
            if not left:
                return None
            layout = self._lay_out(left)
        if session is not None and (load := self._of_session(layout, session, tried)) is not None:
            sticky = self.traffic.sticky
            return load, None, "kept" if sticky is not None and sticky.by == "cookie" else "hashed"
        # Not dice but points spread evenly: a split of 1 % is kept over hundreds of requests too.
        members = layout.group_at(self._phase)
        return self._pick(members, now, rng), members, ""

    def _of_session(self, layout: Layout, session: bytes, tried: Collection[NodeId]) -> EndpointLoad | None:
        """Give the endpoint of a session; None for one without, or whose endpoint is not there any more."""
        sticky = self.traffic.sticky
        if sticky is None:
            return None
        if sticky.by == "cookie":
            load = self._tokens.get(session)
            return load if load is not None and load.endpoint.id not in tried else None
        digest = hash_of(session, self._key)
        part = layout.tag_of_session(digest)
        return for_session(self._ring_of(part), part.by_id, digest, tried=tried)

    def cookie(self, endpoint: Endpoint, session: bytes | None) -> bytes | None:
        """Give the Set-Cookie header for the answer of ``endpoint``; None where the session has the right cookie.

        Args:
            endpoint: who answered.
            session: as :meth:`pick` was told.
        """
        sticky = self.traffic.sticky
        if sticky is None or sticky.by != "cookie":
            return None
        token = self._token_of(self._load_of(endpoint))
        return None if session == token else set_cookie(sticky.name.encode(), token)

    # --- what became of it -----------------------------------------------------------------------------------------

    def began(self, endpoint: Endpoint) -> None:
        """Count a request that is being sent to ``endpoint``."""
        load = self._loads.get(endpoint.id)
        if load is None:
            load = self._loads[endpoint.id] = EndpointLoad(endpoint, since=math.inf)
        load.in_flight += 1

    def ended(
        self, node: NodeId, result: Result, *, latency_s: float, now: float, report: int | None = None
    ) -> None:
        """Count what became of it; the arguments are those of :meth:`.load.EndpointLoad.ended`."""
        load = self._loads.get(node)
        if load is None:
            return
        if self._measures:
            load.ended(result, latency_s=latency_s, report=report, now=now)
        elif load.in_flight:
            load.in_flight -= 1

    def in_flight(self, node: NodeId) -> int:
        """Give how many of our requests a node has."""
        load = self._loads.get(node)
        return 0 if load is None else load.in_flight

    # --- the picture -----------------------------------------------------------------------------------------------

    def _adopt(self, candidates: Candidates, now: float) -> None:
        """Take over a new picture, or a new step of slow start."""
        known = self._candidates
        same = known is not None and candidates == known
        if not same:
            self._meet(candidates, now)
        alike = (
            same
            and known is not None
            and (known.zone, known.callers) == (candidates.zone, candidates.callers)
        )
        self._candidates = candidates
        if alike and now < self._ramp_at:
            return
        slow_start_s = self.traffic.slow_start_s
        rising = [self._loads[endpoint.id].ramp(slow_start_s, now) for endpoint in candidates]
        self._ramp_at = now + slow_start_s / RAMP_STEPS if any(rising) else math.inf
        turns = self._turns
        self._turns = {}
        self._layout = layout = self._lay_out(candidates, former=turns)
        for members in layout.groups:
            members.turns.forget_others(members.loads)
        self._only = layout.groups[0] if len(layout.groups) == 1 else None
        self._fit_sessions(layout)

    def _meet(self, candidates: Candidates, now: float) -> None:
        """Know these endpoints; forget those that are gone, once their requests have ended."""
        before, after = self._loads, dict[NodeId, EndpointLoad]()
        # Those that were there when the first request came are not new to anybody but us.
        since = -math.inf if self._candidates is None else now
        for endpoint in candidates:
            load = before.pop(endpoint.id, None)
            if load is None:
                load = EndpointLoad(endpoint, since=since)
            elif load.since == math.inf:
                load.since = since
            load.endpoint = endpoint
            after[endpoint.id] = load
        busy = [(node, load) for node, load in before.items() if load.in_flight]
        for node, load in busy[-MAX_GONE:]:
            load.since = math.inf
            after[node] = load
        self._loads = after

    def _lay_out(
        self, endpoints: Sequence[Endpoint], *, former: dict[tuple[str, str], Turns] | None = None
    ) -> Layout:
        picture = self._candidates
        return lay_out(
            [self._load_of(endpoint) for endpoint in endpoints],
            self.traffic,
            zone=picture.zone if picture is not None else "",
            callers=picture.callers if picture is not None else {},
            turns=lambda tag, zone: self._turns_of((tag, zone), former or {}),
        )

    def _turns_of(self, group: tuple[str, str], former: dict[tuple[str, str], Turns]) -> Turns:
        turns = self._turns.get(group)
        if turns is None:
            turns = self._turns[group] = former.get(group) or Turns(self._origin)
        return turns

    def _load_of(self, endpoint: Endpoint) -> EndpointLoad:
        return self._loads.get(endpoint.id) or EndpointLoad(endpoint)

    # --- sessions --------------------------------------------------------------------------------------------------

    def _fit_sessions(self, layout: Layout) -> None:
        sticky = self.traffic.sticky
        if sticky is not None and sticky.by == "cookie":
            every = [load for part in layout.tagged for load in part.loads]
            self._tokens = {self._token_of(load): load for load in every}
        rings, self._rings = self._rings, {}
        for part in layout.tagged:
            ring = rings.get(part.share.tag)
            if ring is not None and part.loads:
                ring.fit(part.loads)
                self._rings[part.share.tag] = ring

    def _token_of(self, load: EndpointLoad) -> bytes:
        if not load.token:
            load.token = token_of(load.endpoint.id, self._service, self._key)
        return load.token

    def _ring_of(self, part: Tagged) -> Ring:
        """Give the ring of a part of the split, made when a session first asks."""
        ring = self._rings.get(part.share.tag)
        if ring is None:
            # A retry may ask first, whose picture may be older and lacks who was tried.
            known = self._layout.tagged if self._layout is not None else ()
            whole = next((each for each in known if each.share == part.share and each.loads), part)
            ring = self._rings[part.share.tag] = Ring(self._key)
            ring.fit(whole.loads)
        return ring

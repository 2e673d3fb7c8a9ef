"""A daemon's recording, run again over the very class that was recorded: what happened, and whether it does again.

The machine is restored from the first keyframe and gets every call again, with what the outside answered then. So a
bug that ended a daemon far away can be stepped through here, and a change to the code shows in the first call that
now gives something else. Laws are checked as in a world. The keyframes after the first only compare.

Law: nothing of a trace is believed: the worst that one can do is to be refused, or to differ.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

import attrs
from attrs import define, field, frozen

from gossipmesh.errors import MeshError, RemoteProtocolError
from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.members import Member
from gossipmesh.membership.outputs import Forgotten, Refute, RoutabilityChanged, StateChanged
from gossipmesh.membership.recorded import CALLS
from gossipmesh.membership.trace import (
    Answer,
    Call,
    Segment,
    Trace,
    decode_trace_untrusted,
    digest,
    restore_keyframe_untrusted,
)
from gossipmesh.membership.unpacking import OTHER_RELEASE, malformed
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged
from gossipmesh.model import ID_BYTES, MemberState, NodeId, short_id
from gossipmesh.sim.checks import Checker, Ledger, collections_of
from gossipmesh.sim.history import History, LawBroken

PORTS: Final = ("root", "sign_accusation")
"""What a machine asks of the outside."""
NO_STATE: Final = "what it holds is no state that a machine was ever in"
MAX_SHOWN: Final = 400
"""Letters of what a call gave, for people."""
_BUGS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MeshError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a call may raise that has a bug, or that was given what no daemon gives."""
_GONE: Final = (MemberState.DEAD, MemberState.LEFT)


@frozen
class Happening:
    """One line of the timeline. ``at_s``: seconds since the recording begins; ``wall``: unix seconds."""

    at_s: float
    wall: float
    call: int
    kind: str
    node: NodeId
    name: str
    what: str


@frozen
class Replay:
    """What came of a replay.

    ``difference`` and ``broken`` say at which call the run left the recording, or broke a law; both are empty where
    all went as recorded.
    """

    trace: Trace
    own: NodeId
    name: str
    calls: int
    seconds: float
    began: float
    """Unix seconds."""
    timeline: tuple[Happening, ...]
    difference: str
    broken: str

    @property
    def same(self) -> bool:
        """Whether every call gave what it gave then, and no law was broken."""
        return not self.difference and not self.broken


def replay_untrusted(raw: bytes) -> Replay:
    """Run a recording again.

    Raises:
        RemoteProtocolError: ``trace.malformed`` for what is no trace; ``trace.release`` for one that only another
            release can run.
    """
    trace = decode_trace_untrusted(raw)
    strange = {entry.name for each in trace.segments for entry in each.entries if isinstance(entry, Call)}
    if strange := strange - set(CALLS):
        text = f"it holds calls that this release does not know: {', '.join(sorted(strange))}"
        raise RemoteProtocolError(OTHER_RELEASE, text)
    try:
        return _Run(trace).through()
    except RemoteProtocolError:
        raise
    except _BUGS as error:
        # Calls are guarded one by one: here our own checks met a state that no call leaves behind.
        raise malformed(f"{NO_STATE} ({type(error).__name__})") from error


@define
class _Outside:
    """Answers as it was answered then; one that is asked without arguments gives the same until it changes."""

    heard: dict[str, deque[Any]] = field(factory=lambda: {port: deque() for port in PORTS})
    last: dict[str, Any] = field(factory=dict)

    def hear(self, answer: Answer) -> None:
        self.last[answer.port] = answer.value
        self.heard.setdefault(answer.port, deque()).append(answer.value)

    def ask(self, port: str, arguments: tuple[object, ...]) -> Any:
        if not arguments and port in self.last:
            self.heard[port].clear()
            return self.last[port]
        if not self.heard[port]:
            raise LookupError(f"it asks for {port}, and did not ask for it then")
        return self.heard[port].popleft()


class _Laws(Checker):
    def broken(self, law: str) -> NoReturn:
        raise LawBroken(law)


@frozen
class _Node:
    """What of a whole node the checks look at."""

    id: NodeId
    members: Mapping[NodeId, Member]
    _membership: Membership


class _Run:
    """One replay under way."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._outside = _Outside()
        self._machine = self._restored(trace.segments[0])
        own = self._machine.own
        self._node = _as_mesh(self._machine)
        self._names: dict[NodeId, str] = {own.id: own.name}
        self._seen: dict[NodeId, MemberState] = {}
        self._laws = _Laws(own.name, History(0), Ledger())
        self._laws.own = own.version
        self._laws.watch(self._node)
        self._laws.buried = {
            each.id: each.record.version for each in self._machine.members.values() if each.state in _GONE
        }
        self._timeline: list[Happening] = []
        self._calls = 0
        times = [
            entry.now
            for segment in trace.segments
            for entry in segment.entries
            if isinstance(entry, Call) and entry.now is not None
        ]
        self._began, self._ended = (times[0], times[-1]) if times else (trace.now, trace.now)
        self._now = self._began

    def _restored(self, segment: Segment) -> Membership:
        outside = self._outside
        ports = {port: _port(outside, port) for port in PORTS}
        # Whatever its dice were: they are set to the state that they had.
        return _checked(restore_keyframe_untrusted(segment.keyframe, rng=random.Random(0), ports=ports))

    def through(self) -> Replay:
        """Run all of it, up to the first call that differs."""
        difference = broken = ""
        self._note_all()
        try:
            difference = self._run()
        except LawBroken as error:
            broken = f"call {self._calls}, {self._now - self._began:.3f} s: {error}"
        own = self._machine.own
        return Replay(
            trace=self._trace,
            own=own.id,
            name=own.name,
            calls=self._calls,
            seconds=self._ended - self._began,
            began=self._wall(self._began),
            timeline=tuple(self._timeline),
            difference=difference,
            broken=broken,
        )

    def _run(self) -> str:
        for number, segment in enumerate(self._trace.segments):
            if number and (difference := self._compare(segment)):
                return f"after call {self._calls}, {self._now - self._began:.3f} s: {difference}"
            for entry in segment.entries:
                if isinstance(entry, Answer):
                    self._outside.hear(entry)
                elif difference := self._perform(entry):
                    where = f"call {self._calls} ({entry.name}), {self._now - self._began:.3f} s"
                    return f"{where}: {difference}"
        return ""

    def _compare(self, segment: Segment) -> str:
        then, now = self._restored(segment), self._machine
        if then.own != now.own or then.deadline != now.deadline:
            return "it is due at another time, or says something else of itself, than in the recording"
        differing = [node for node in {**then.members, **now.members} if _of(then, node) != _of(now, node)]
        if differing:
            return f"it believes something else of {self._name(differing[0])} than in the recording"
        return ""

    def _perform(self, call: Call) -> str:
        self._calls += 1
        if call.now is not None:
            self._now = self._laws.now = call.now
        record = next((each for each in call.arguments if isinstance(each, MemberRecord)), None)
        before = self._version_of(record)
        given: object = None
        outcome: int | str
        due = math.inf
        try:
            given = getattr(self._machine, call.name)(*call.arguments, **call.keywords)
            outcome, due = digest(given), self._machine.deadline
        except _BUGS as error:
            outcome, given = type(error).__name__, error
        if outcome != call.outcome:
            then = f"raised {call.outcome}" if isinstance(call.outcome, str) else "gave something else then"
            now = f"raises {given!r}" if isinstance(outcome, str) else f"gives {self._words(given)}"
            return f"it {then}, and {now}"[:MAX_SHOWN]
        if isinstance(outcome, str):
            self._happened("bug", self._machine.own.id, f"{call.name} raises {given!r}, as it did then")
        elif isinstance(given, list):
            for output in given:
                self._take(output)
        self._check(call, record, before, due)
        return ""

    # The laws.

    def _version_of(self, record: MemberRecord | None) -> tuple[int, int] | None:
        member = None if record is None else self._machine.members.get(record.id)
        return None if member is None else member.record.version

    def _check(
        self, call: Call, record: MemberRecord | None, before: tuple[int, int] | None, due: float
    ) -> None:
        laws, machine = self._laws, self._machine
        if call.name == "learn_record" and record is not None:
            laws.learned(record, before, self._version_of(record))
        elif call.name == "update_own" and isinstance(call.outcome, int):
            laws.signed(machine.own)
        elif call.name == "handle_timer":
            laws.after_timer(due)
        elif call.name == "forget":
            for node in [node for node in self._seen if node not in machine.members]:
                del self._seen[node]
                laws.buried.pop(node, None)
        laws.after_event()

    # The timeline.

    def _note_all(self) -> None:
        for member in self._machine.members.values():
            self._names[member.id] = member.record.name
            self._seen[member.id] = member.state

    def _take(self, output: object) -> None:
        match output:
            case StateChanged(node, old, new, why):
                member = self._machine.members.get(node)
                if member is not None:
                    self._names[node] = member.record.name
                was = "unknown" if old is None else old.value
                self._happened("state", node, f"{was} -> {new.value}: {why}")
                change = MemberChanged(node, self._name(node), old, new, why)
                self._laws.changed(self._node, change, self._seen.get(node))
                self._seen[node] = new
            case RoutabilityChanged(node, routable, why):
                self._happened("rotation", node, f"{'back in' if routable else 'out of'} rotation: {why}")
            case Refute((boot, incarnation), foreign):
                of = "a version that we did not sign" if foreign else "version"
                self._happened(
                    "refutation", self._machine.own.id, f"refutes what is said of {of} {boot}.{incarnation}"
                )
            case Forgotten(node):
                self._happened("forgotten", node, "forgotten")
                self._seen.pop(node, None)
                self._laws.buried.pop(node, None)
            case _:
                pass

    def _name(self, node: NodeId) -> str:
        return self._names.get(node, short_id(node))

    def _words(self, value: object) -> str:
        match value:
            case bytes():
                return self._name(NodeId(value)) if len(value) == ID_BYTES else f"<{len(value)} bytes>"
            case list() | tuple():
                return f"[{', '.join(map(self._words, value))}]"
            case _ if attrs.has(kind := type(value)):
                parts = (self._words(getattr(value, each.name)) for each in attrs.fields(kind))
                return f"{kind.__name__}({', '.join(parts)})"
            case _:
                return repr(value)

    def _happened(self, kind: str, node: NodeId, what: str) -> None:
        self._timeline.append(
            Happening(
                at_s=self._now - self._began,
                wall=self._wall(self._now),
                call=self._calls,
                kind=kind,
                node=node,
                name=self._name(node),
                what=what,
            )
        )

    def _wall(self, now: float) -> float:
        return self._trace.wall - (self._trace.now - now)


def _as_mesh(machine: Membership) -> Mesh:
    return cast(Mesh, _Node(machine.own.id, machine.members, machine))


def _checked(machine: Membership) -> Membership:
    """Give a restored machine back, if what everybody may ask of one can be asked of it."""
    try:
        sound = isinstance(machine.own, MemberRecord) and isinstance(machine.deadline, float)
        for node, member in machine.members.items():
            sound = sound and isinstance(member, Member) and node == member.id == member.record.id
            sound = (
                sound and isinstance(member.record, MemberRecord) and isinstance(member.state, MemberState)
            )
        sound = sound and all(len(each) >= 0 for _, each, _ in collections_of(_as_mesh(machine)))
    except _BUGS:
        sound = False
    if not sound:
        raise malformed(NO_STATE)
    return machine


def _port(outside: _Outside, port: str) -> Any:
    return lambda *arguments: outside.ask(port, arguments)


def _of(machine: Membership, node: NodeId) -> Member | None:
    return machine.members.get(node)

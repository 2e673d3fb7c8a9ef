"""``gossipmesh reachability``: this node reaches for every member itself, by UDP and by TCP, and compares with beliefs.

Membership asks others where it gets no answer, and believes what several say; a person who looks for a fault wants to
know what *this* host reaches. So nobody is asked to help, and nothing that is found changes a belief by itself.

Law: each member is dialled once and pinged three times at most; ``AT_ONCE`` members at a time, one survey at a time.
"""

from __future__ import annotations

from typing import Final, Literal

import trio
from attrs import define

from gossipmesh.daemon.admin.reachability_view import Reachability, Reached, Verdict
from gossipmesh.daemon.control import Control
from gossipmesh.daemon.effects import ANOTHER_KEY, NOBODY_THERE
from gossipmesh.errors import ConnectError, MeshError
from gossipmesh.membership.members import Member
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import MemberState, NodeId
from gossipmesh.transport.dial import dial
from gossipmesh.transport.secure_stream import ChannelIdentity

AT_ONCE: Final = 32
"""Members asked at a time: a handshake costs each side about a millisecond."""
PINGS: Final = 3
"""One may be lost, and the next one too."""
PING_GAP_S: Final = 0.5
"""From one to the next, and from the last one to giving up."""
LOOK_S: Final = 0.02
"""How often it is looked whether a ping was answered."""
DIAL_TIMEOUT_S: Final = 2.0


@define
class _Found:
    udp_s: float | None = None
    tcp_s: float | None = None
    error: ConnectError | None = None


class Surveyor:
    """Reaches for all members, when somebody asks.

    Args:
        mesh: the control plane, to be read only.
        control: owns it.
        identity: who we are in handshakes.
    """

    def __init__(self, mesh: Mesh, control: Control, identity: ChannelIdentity) -> None:
        self._mesh = mesh
        self._control = control
        self._identity = identity
        self._busy = False

    async def survey(self) -> Reachability:
        """Reach for every member that has not left: two seconds, or more where many do not answer.

        Raises:
            MeshError: ``survey.busy``, where one is under way; ``survey.local``, where this daemon can dial nobody.
        """
        if self._busy:
            text = "a survey is under way here, perhaps one that was interrupted; ask again in a moment"
            raise MeshError("survey.busy", text)
        self._busy, began = True, trio.current_time()
        try:
            found: dict[NodeId, _Found] = {}
            turns = trio.Semaphore(AT_ONCE)
            async with trio.open_nursery() as nursery:
                for node in list(self._mesh.members):
                    await turns.acquire()
                    # In a large mesh its turn may come a minute later: it may have moved, or gone.
                    if (member := self._there(node)) is not None:
                        found[node] = _Found()
                        nursery.start_soon(self._reach, member, found[node], turns)
                    else:
                        turns.release()
        finally:
            self._busy = False
        for each in found.values():
            if each.error is not None and each.error.code == "connect.local":
                raise MeshError("survey.local", f"{each.error}; gossipmesh check shows the limits (files)")
        # And what is believed may have followed what is so, meanwhile.
        members = [
            self._entry(member, each)
            for node, each in found.items()
            if (member := self._there(node)) is not None
        ]
        members.sort(key=lambda entry: (entry["name"], entry["id"]))
        return Reachability(
            ok=all(entry["verdict"] == "ok" for entry in members),
            node=self._mesh.own.name,
            members=members,
            took_s=round(trio.current_time() - began, 3),
        )

    def _there(self, node: NodeId) -> Member | None:
        member = self._mesh.members.get(node)
        return None if member is None or member.state is MemberState.LEFT else member

    async def _reach(self, member: Member, found: _Found, turns: trio.Semaphore) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ping, member.id, found)
                nursery.start_soon(self._dial, member, found)
        finally:
            turns.release()

    async def _ping(self, node: NodeId, found: _Found) -> None:
        survey = self._mesh.survey
        try:
            for _ in range(PINGS):
                self._control.post(lambda now, wall: survey.ping(node, now=now))
                with trio.move_on_after(PING_GAP_S):
                    while not survey.answered(node):  # noqa: ASYNC110 - the machine wakes nobody
                        await trio.sleep(LOOK_S)
                    return
        finally:
            found.udp_s = survey.take(node)

    async def _dial(self, member: Member, found: _Found) -> None:
        began = trio.current_time()
        try:
            stream = await dial(
                self._identity, member.record.addresses, expected=member.id, timeout_s=DIAL_TIMEOUT_S
            )
        except ConnectError as error:
            found.error = error
        else:
            found.tcp_s = trio.current_time() - began
            stream.close()

    def _entry(self, member: Member, found: _Found) -> Reached:
        return Reached(
            name=self._mesh.names.get(member.id, member.record.name),
            id=member.id.hex(),
            address=str(member.record.addresses[0]),
            state=_believed(member),
            udp_ms=_ms(found.udp_s),
            tcp_ms=_ms(found.tcp_s),
            tcp_error="" if found.error is None else str(found.error),
            verdict=verdict(
                dead=member.state is MemberState.DEAD,
                udp=found.udp_s is not None,
                tcp=found.tcp_s is not None,
                code="" if found.error is None else found.error.code,
            ),
        )


def verdict(*, dead: bool, udp: bool, tcp: bool, code: str = "") -> Verdict:
    """Compare what is believed of a member with what was found.

    Args:
        dead: whether it is believed dead.
        udp: whether it answered a ping.
        tcp: whether it proved its key in a handshake.
        code: of what the handshake failed with.
    """
    if dead:
        return "wrongly-dead" if udp or tcp else "ok"
    if code == ANOTHER_KEY:
        return "another-key"
    if tcp:
        return "ok" if udp else "no-udp"
    if code and not code.startswith(NOBODY_THERE):
        return "no-handshake"
    return "no-tcp" if udp else "unreached"


def _believed(member: Member) -> Literal["alive", "suspect", "dead"]:
    if member.state is MemberState.DEAD:
        return "dead"
    return "suspect" if member.state is MemberState.SUSPECT else "alive"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)

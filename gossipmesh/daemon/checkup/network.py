"""Checks of this node's place among the others: how it is reached, and how it reaches them."""

from __future__ import annotations

import ipaddress
from statistics import median_low
from typing import Final

from gossipmesh.daemon.checkup.facts import Check, Facts, State, counted, named
from gossipmesh.identity.signed import SKEW_S
from gossipmesh.mesh.exchanges import Reached
from gossipmesh.model import MemberState, Serving, split_host_port
from gossipmesh.registry.names import MARK

CLOCK_WARN_S: Final = SKEW_S // 4
"""Clocks that are further apart than this are told of, long before handshakes fail."""
DIFFERS_WARN_S: Final = 30.0
"""A registry that differs for longer than this is no news under way."""
FILES_WARN: Final = 0.8
FILES_FAIL: Final = 0.95


def join(facts: Facts) -> Check:
    """Check that this node has joined, and takes work."""
    if facts.serving is not Serving.SERVING:
        found = f"this node is {facts.serving.value}: it takes no new requests from the mesh"
        return Check("join", State.WARN, found, "start it again to have it serve: gossipmesh up")
    if facts.not_ready:
        return Check(
            "join",
            State.FAIL,
            facts.not_ready,
            "see the checks below; `gossipmesh status` and the daemon's log say more",
        )
    living = sum(each.living for each in facts.members)
    found = f"in step with {counted(living, 'other member')}" if living else "alone in its mesh"
    return Check("join", State.OK, found)


def seeds(facts: Facts) -> Check:
    """Check that the seeds' names resolve, and that seeds answer."""
    silent = [each for each in facts.seeds if each.known and each.why]
    good = [each for each in facts.seeds if each.known and not each.why]
    details = tuple(
        {"address": each.address, "answers": "unknown" if not each.known else "no" if each.why else "yes"}
        | ({"why": each.why} if each.why else {})
        for each in facts.seeds
    )
    if not facts.seeds and not facts.unresolved:
        return Check("seeds", State.OK, "none are configured")
    problems = [
        *facts.unresolved,
        *(
            f"{each.address} {'refuses' if each.refusal else 'does not answer'}: {each.why}"
            for each in silent
        ),
    ]
    if problems:
        # With one good seed the mesh is found again, so the others are for later.
        state = State.WARN if good else State.FAIL
        hint = (
            "correct [node] join or --join, or start what should be there; port 7946 has to be open for TCP and UDP. "
            "They are tried for ever"
        )
        if not facts.unresolved and all(each.refusal for each in silent):
            hint = (
                "they are there and reached, so no port is in the way: the reason is what to mend; their logs and "
                "the checks chain, quota and clock here may say more"
            )
        return Check("seeds", state, f"{len(good)} good; {named(problems)}", hint, details)
    asked = "not asked yet" if not good else f"{counted(len(good), 'address', 'addresses')} good"
    return Check("seeds", State.OK, asked, details=details)


def address(facts: Facts) -> Check:
    """Check that others reach the address that this node advertises."""
    advertised = facts.address
    hint = "say --advertise HOST:PORT if they should dial another one; it has to be open for UDP and TCP"
    ago = f"{facts.witness} looked {round(facts.reached_ago_s)} s ago"
    if _is_loopback(advertised):
        others = [each.name for each in facts.members if each.living and not _is_loopback(each.address)]
        if others:
            found = f"this node advertises {advertised}, which {named(others)} cannot dial from another host"
            return Check("address", State.FAIL, found, hint)
    match facts.reached:
        case Reached.NO:
            return Check("address", State.FAIL, f"{advertised} is not reached: {ago}", hint)
        case Reached.DATAGRAMS_ONLY:
            found = f"{advertised} is reached by UDP and not by TCP: {ago}"
            return Check("address", State.FAIL, found, hint)
        case Reached.STREAM_ONLY:
            found = f"{advertised} is reached by TCP and not by UDP: {ago}"
            return Check("address", State.WARN, found, hint)
        case Reached.YES:
            return Check("address", State.OK, f"{advertised} is reached by UDP and TCP: {ago}")
        case Reached.UNKNOWN:
            return Check("address", State.OK, f"{advertised}; nobody has looked yet whether it is reached")


def udp(facts: Facts) -> Check:
    """Check that datagrams come through between this node and the others."""
    living = [each for each in facts.members if each.living]
    blocked = [each.name for each in living if each.udp_blocked]
    if not blocked:
        return Check("udp", State.OK, "no member answers over TCP only")
    hint = "open the mesh's port for UDP, both ways; until then gossip goes over TCP, which costs more"
    if len(blocked) == len(living):
        found = "members answer over TCP, and none of their datagrams arrives"
    else:
        found = f"no datagrams pass between this node and {named(blocked)}"
    return Check("udp", State.WARN, found, hint)


def clock(facts: Facts) -> Check:
    """Check this machine's clock against those that handshakes showed."""
    hint = f"set the clock that is wrong, and keep it by NTP; {SKEW_S} s are allowed"
    details = tuple({"node": name, "ahead_s": str(ahead_s)} for name, ahead_s in facts.clocks)
    if facts.clock_refused and not facts.clocks:
        return Check("clock", State.FAIL, facts.clock_refused, hint)
    ahead_s = median_low([each for _, each in facts.clocks]) if facts.clocks else 0
    if abs(ahead_s) > CLOCK_WARN_S:
        found = f"this machine's clock is {_ahead(ahead_s)} most members'"
        return Check("clock", State.WARN, found, hint, details)
    apart = [f"{name} ({_ahead(-each)} ours)" for name, each in facts.clocks if abs(each) > CLOCK_WARN_S]
    if apart:
        return Check("clock", State.WARN, f"other clocks are off: {named(apart)}", hint, details)
    if facts.clock_refused:
        return Check("clock", State.WARN, f"a handshake failed lately: {facts.clock_refused}", hint, details)
    known = f"within {CLOCK_WARN_S} s of {counted(len(facts.clocks), 'clock')} met lately"
    return Check(
        "clock", State.OK, known if facts.clocks else "no other clock was met lately", details=details
    )


def _ahead(seconds: int) -> str:
    return f"{seconds} s ahead of" if seconds > 0 else f"{-seconds} s behind"


def members(facts: Facts) -> Check:
    """Check that the other members live."""
    dead = [each.name for each in facts.members if each.state is MemberState.DEAD]
    suspect = [each.name for each in facts.members if each.state is MemberState.SUSPECT]
    living = sum(each.living for each in facts.members)
    hint = "`gossipmesh members` says since when; look at their hosts. Who comes back is taken in again by itself"
    if dead or suspect:
        words = [f"dead: {named(dead)}" for _ in dead[:1]] + [
            f"suspect: {named(suspect)}" for _ in suspect[:1]
        ]
        return Check("members", State.WARN, f"{living} alive or suspect; {'; '.join(words)}", hint)
    found = f"{counted(living, 'other member')}, none of them dead or suspect" if living else "no others"
    return Check("members", State.OK, found)


def agreement(facts: Facts) -> Check:
    """Check that the others know what this node knows."""
    living = [each for each in facts.members if each.living]
    long = [each for each in living if each.differs_s > DIFFERS_WARN_S]
    if long:
        worst = max(each.differs_s for each in long)
        found = f"registries differ for up to {round(worst)} s: {named(each.name for each in long)}"
        hint = "compare `gossipmesh members` here and there; it is what a partition or a full registry looks like"
        return Check("agreement", State.WARN, found, hint)
    differ = sum(1 for each in living if each.differs_s)
    found = f"{counted(differ, 'member')} with news under way" if differ else "all that is known agrees"
    return Check("agreement", State.OK, found)


def name(facts: Facts) -> Check:
    """Check that no two nodes claim one name."""
    hint = "give each node a name of its own: --name, or [node] name. Requests do not depend on names"
    if facts.shown_as != facts.name:
        found = f"another node is called {facts.name} already, so this one shows as {facts.shown_as}"
        return Check("name", State.WARN, found, hint)
    others = [each.name for each in facts.members if each.living and MARK in each.name]
    if others:
        return Check("name", State.WARN, f"names that others have already: {named(others)}", hint)
    return Check("name", State.OK, f"{facts.name} is nobody else's")


def listening(facts: Facts) -> Check:
    """Check that what is meant for this host's apps is not open to other hosts."""
    exposed = [(what, where) for what, where in facts.listening if not _is_loopback(where)]
    sending = [
        f"{what} on {where}" for what, where in exposed if what == "proxy" or what.startswith("upstream")
    ]
    reading = [f"{what} on {where}" for what, where in exposed if what in ("admin", "dns")]
    said: list[str] = []
    if sending:
        said.append(f"any host that reaches it may send requests as this node: {named(sending)}")
    if reading:
        said.append(f"any host that reaches it may read the mesh's members and services: {named(reading)}")
    if said:
        hint = "listen on 127.0.0.1; requests from outside the mesh come in by a [[gateway]]"
        return Check("listening", State.WARN, "; ".join(said), hint)
    return Check("listening", State.OK, "what is meant for this host's apps is open to this host only")


def _is_loopback(where: str) -> bool:
    return ipaddress.ip_address(split_host_port(where)[0].partition("%")[0]).is_loopback


def files(facts: Facts) -> Check:
    """Check that there are file descriptors left."""
    limit, used = facts.files_limit, facts.files_open
    found = f"{used} of {limit} files are open" if limit else f"{used} files are open"
    hint = "raise the limit: LimitNOFILE= in the unit, --ulimit nofile= of the container, or ulimit -n"
    if limit and used >= FILES_FAIL * limit:
        return Check("files", State.FAIL, found, hint)
    if limit and used >= FILES_WARN * limit:
        return Check("files", State.WARN, found, hint)
    return Check("files", State.OK, found)


CHECKS: Final = (join, seeds, address, udp, clock, members, agreement, name, listening, files)

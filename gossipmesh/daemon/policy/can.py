"""Who may do what: the answer of the policy in force to a question about any member, with the rule that gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gossipmesh.daemon.admin.policy_view import Allowed, CanEntry
from gossipmesh.daemon.policy.callers import Caller
from gossipmesh.errors import ConfigError
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import NodeId, Protocol, is_name
from gossipmesh.policy.decision import Source
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.admission import judge

SERVICE: Final = "service:"
SERVER: Final = "*"
"""The target of OPTIONS that is no path."""
MIN_ID: Final = 8
"""Hex digits of an id that name a member, as commands show them."""
MAX_CALLERS: Final = 256
"""Members that one answer is about."""


class Judge:
    """Answers questions about the policy.

    Args:
        mesh: the control plane, to be read only.
        policy: gives the one in force.
    """

    def __init__(self, mesh: Mesh, policy: Callable[[], Policy]) -> None:
        self._mesh = mesh
        self._policy = policy

    def can(self, source: str, service: str, method: str, target: str, *, speaks_as: str | None) -> Allowed:
        """Tell whether a request would be let in, at any node that has the same policy.

        Args:
            source: a member's name or id, or ``service:NAME`` for every member that offers it.
            service: what is asked.
            method: of the request.
            target: its path.
            speaks_as: the service that the member speaks as, or empty for none; None: its only one.

        Raises:
            ConfigError: there is no such member, it may not speak so, or this is no request.
        """
        policy = self._policy()
        found = self._mesh.snapshot.endpoints(service)
        tcp = any(each.service.protocol is Protocol.TCP for each in found)
        if not is_name(service):
            raise _wrong(f"{service!a} is not a service's name: 1 to 63 of a-z, 0-9 and -")
        of_server = target == SERVER and method == "OPTIONS"
        if not (target.startswith("/") or of_server):
            raise _wrong(f"{target!a} is not a path; write one such as /v1/orders, or OPTIONS *")
        if not target.isascii() or not target.isprintable() or " " in target:
            raise _wrong(f"{target!a} is not a path; percent-encode what is not printable ASCII, and spaces")
        if "#" in target:
            raise _wrong(f"{target!a}: no request has a #, and one that does is always refused (400)")
        if method == "CONNECT" and not tcp:
            raise _wrong(f"CONNECT is for tcp services; {service} gets none, whatever the policy says (405)")
        callers = self._callers(source, speaks_as)
        entries: list[CanEntry] = []
        for node, caller in callers:
            decision = judge(policy, caller, service, method.encode(), target.encode(), tcp=tcp)
            entries.append(
                CanEntry(
                    node=node,
                    id=caller.node.hex(),
                    speaks_as=caller.service,
                    verdict="allow" if decision.allow else "deny",
                    rule=decision.rule,
                )
            )
        # One that is denied is what somebody wants to know of; where all are alike, it does not matter.
        first = next((each for each in entries if each["verdict"] == "deny"), entries[0])
        return Allowed(
            source=source,
            service=service,
            method="" if tcp else method,
            path="" if tcp else target,
            protocol="tcp" if tcp else "http",
            offered=bool(found),
            verdict=first["verdict"],
            rule=first["rule"],
            version=policy.version,
            mode=policy.mode,
            callers=entries,
        )

    def _callers(self, source: str, speaks_as: str | None) -> list[tuple[str, Source]]:
        if not source.startswith(SERVICE):
            node = self._member(source)
            caller = self._speaking(node, self._only_service(node) if speaks_as is None else speaks_as)
            if caller is None:
                text = f"{source} may not speak as {speaks_as}: its record does not declare it, or its chain forbids it"
                raise _wrong(text)
            return [(self._name_of(node), caller)]
        service = source.removeprefix(SERVICE)
        if speaks_as is not None:
            raise _wrong(f"{source} speaks as {service}; leave out --as")
        found = [
            (self._name_of(node), caller)
            for node in self._offering(service)
            if (caller := self._speaking(node, service)) is not None
        ]
        if not found:
            raise _wrong(f"no member offers {service!a}; `gossipmesh services` lists all services")
        return found[:MAX_CALLERS]

    def _offering(self, service: str) -> Iterator[NodeId]:
        mesh = self._mesh
        records = [mesh.own, *(member.record for member in mesh.members.values() if member.living)]
        return (record.id for record in records if any(each.name == service for each in record.services))

    def _member(self, source: str) -> NodeId:
        mesh = self._mesh
        nodes = [mesh.id, *mesh.members]
        named = [node for node in nodes if self._name_of(node) == source]
        if not named and len(source) >= MIN_ID:
            named = [node for node in nodes if node.hex().startswith(source.lower())]
        if len(named) != 1:
            what = "names several members" if named else "is no member's name or id"
            raise _wrong(
                f"{source!a} {what}; `gossipmesh members` lists them, service:NAME means all that offer it"
            )
        return named[0]

    def _name_of(self, node: NodeId) -> str:
        return self._mesh.own.name if node == self._mesh.id else self._mesh.names.get(node, "")

    def _caller(self, node: NodeId) -> Caller | None:
        mesh = self._mesh
        record = mesh.own if node == mesh.id else mesh.members[node].record
        chain = mesh.chain_of(node)
        return None if chain is None else Caller(record, chain)

    def _only_service(self, node: NodeId) -> str:
        mesh = self._mesh
        record = mesh.own if node == mesh.id else mesh.members[node].record
        return record.services[0].name if len(record.services) == 1 else ""

    def _speaking(self, node: NodeId, service: str) -> Source | None:
        caller = self._caller(node)
        return None if caller is None else caller.speaking_as(service)


def _wrong(text: str) -> ConfigError:
    return ConfigError("config.value", text)

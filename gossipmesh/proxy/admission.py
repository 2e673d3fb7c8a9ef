"""Whether a request from the mesh may reach an app of this node: what its daemon must not have believed its peer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.errors import RemoteProtocolError, RequestError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId, Protocol, Service
from gossipmesh.policy.decision import Decision, Source, rule_in_words
from gossipmesh.policy.paths import ambiguous_path
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.headers import check_framing_untrusted, values_of
from gossipmesh.proxy.names import check_method
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.proxy.replies import STATUS, caller_fault, refusal
from gossipmesh.routing.rates import RateLimit
from gossipmesh.routing.traffic import Traffic

AUDIT: Final = "audit"
"""The mode in which what is denied is let through."""
AMBIGUOUS: Final = Decision(False, "ambiguous-path")
"""The decision on a path of which nobody can know what it is to the app, where a rule with paths names the service."""


def check_untrusted(request: RequestHead, service: Service) -> None:
    """Check what the other daemon should have seen to.

    Raises:
        RequestError: the request must not reach an app.
    """
    if request.method == b"CONNECT":
        if service.protocol is not Protocol.TCP:
            raise RequestError("AZ", 405, "CONNECT is not for http services")
        return
    if service.protocol is not Protocol.HTTP:
        raise refusal("AZ", f"{service.name} speaks tcp: HTTP requests are not for it")
    check_method(request.method)
    origin_form = request.target.startswith(b"/") and b"#" not in request.target
    if not origin_form and (request.method, request.target) != (b"OPTIONS", b"*"):
        raise refusal("DPE", "a request target that is not in origin form")
    if len(values_of(request.headers, b"host")) != 1:
        raise refusal("DPE", "a request without Host, or with two")
    try:
        check_framing_untrusted(request.headers, version=b"1.1")
    except RemoteProtocolError as error:
        raise caller_fault(error) from None


def authorize(ports: InboundPorts, request: RequestHead, peer: Peer, service: Service) -> None:
    """Decide on the source that the handshake proved, and tell of the decision.

    Raises:
        RequestError: policy does not allow the request, or its caller may not speak as it does.
    """
    source = ports.source(peer, request.source_service)
    if source is None:
        raise refusal("AZ", f"the caller's node may not speak as {request.source_service}")
    policy = ports.policy()
    tcp = service.protocol is Protocol.TCP
    decision = judge(policy, source, service.name, request.method, request.target, tcp=tcp)
    ports.decided(source, request, service, decision, policy)
    if not decision.allow and policy.mode != AUDIT:
        if decision is AMBIGUOUS:
            why = ambiguous_path(request.target)
            text = f"rules on paths are about {service.name}, and apps may differ about this one: {why}"
            raise RequestError("AZ", 400, text)
        raise refusal("AZ", f"policy does not allow this: {rule_in_words(decision.rule)}")


def judge(
    policy: Policy, source: Source, service: str, method: bytes, target: bytes, *, tcp: bool
) -> Decision:
    """Give what a policy says of a request. It tells nobody, and whether the policy is only tried it leaves aside.

    The arguments are those of :meth:`~gossipmesh.policy.rules.Policy.decide`.
    """
    if not tcp and policy.has_paths(service) and ambiguous_path(target) is not None:
        return AMBIGUOUS
    return policy.decide(source, service, method, target, tcp=tcp)


def is_denied(ports: InboundPorts, request: RequestHead, peer: Peer, service: Service) -> bool:
    """Tell whether a request that was let in would be refused now."""
    source, policy = ports.source(peer, request.source_service), ports.policy()
    if source is None:
        return True
    if policy.mode == AUDIT:
        return False
    tcp = service.protocol is Protocol.TCP
    return not judge(policy, source, service.name, request.method, request.target, tcp=tcp).allow


def rates_of(
    services: Iterable[str], traffic_of: Callable[[str], Traffic]
) -> dict[str, RateLimit[str | NodeId]]:
    """Give the limits of those of a node's ``services`` that have one."""
    settings = {service: traffic_of(service).rate for service in services}
    return {service: RateLimit(each) for service, each in settings.items() if each.per_s}


def renew_rates(
    rates: dict[str, RateLimit[str | NodeId]],
    services: Iterable[str],
    traffic_of: Callable[[str], Traffic],
) -> None:
    """Bring limits up to date in place; one whose settings are the same goes on from where it is."""
    former = dict(rates)
    rates.clear()
    for service, limit in rates_of(services, traffic_of).items():
        before = former.get(service, limit)
        limit.refused = before.refused
        rates[service] = before if before.settings == limit.settings else limit


def check_rate(ports: InboundPorts, request: RequestHead, peer: Peer) -> None:
    """Count a request that policy allows; its source is the service that its caller speaks as, else its node.

    Raises:
        RequestError: 429 ``RL``, with when to come back: it is one too many.
    """
    rate = ports.rates.get(request.service)
    if rate is None:
        return
    wait_s = rate.take(request.source_service or peer.id, now=ports.reactor.now)
    if wait_s:
        source = request.source_service or peer.chain.name
        text = f"{source} asks {request.service} more often than its node allows"
        raise RequestError("RL", STATUS["RL"], text, retry_after_s=max(1, math.ceil(wait_s)))

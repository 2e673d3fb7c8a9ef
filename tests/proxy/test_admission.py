"""What another daemon must not be believed, and who it may speak as."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from attrs import evolve

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.errors import RequestError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Protocol, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.admission import authorize, check_untrusted, services_of
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.ports import InboundPorts

HOST = (b"Host", b"hello")
GET = RequestHead("hello", b"GET", b"/", (HOST,))
HELLO = Service("hello", 80)
OLD = Service("old", 80, Protocol.TCP)


def ports(asked: list[tuple[object, ...]], *, allow: bool = True) -> InboundPorts:
    def decide(source: Source, service: str, method: bytes, target: bytes) -> Decision:
        asked.append((source, service, method, target))
        return Decision(allow, "test")

    def observe(_: RequestReport) -> None:
        sys.exit("nothing is reported here")

    # Neither connections nor time have a part in this.
    return InboundPorts({}.get, services_of, decide, None, None, observe, ProxyLimits())  # type: ignore[arg-type]


def refusal_of(head: RequestHead, peer: Peer, *, allow: bool = True) -> tuple[str, int]:
    with pytest.raises(RequestError) as raised:
        authorize(ports([], allow=allow), head, peer)
    return raised.value.flag, raised.value.status


@pytest.mark.parametrize(
    "head",
    [
        evolve(GET, target=b"http://169.254.169.254/latest"),
        evolve(GET, target=b"169.254.169.254:80"),
        evolve(GET, target=b"x"),
        evolve(GET, target=b"/#x"),
        evolve(GET, target=b"*"),
        evolve(GET, headers=()),
        evolve(GET, headers=(HOST, HOST)),
        evolve(GET, headers=(HOST, (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"))),
        evolve(GET, headers=(HOST, (b"Content_Length", b"2"))),
    ],
)
def test_a_request_that_no_honest_daemon_sends_is_refused(head: RequestHead) -> None:
    with pytest.raises(RequestError) as raised:
        check_untrusted(head, HELLO)
    assert (raised.value.flag, raised.value.status) == ("DPE", 400)


@pytest.mark.parametrize(
    ("head", "service", "status"),
    [
        (evolve(GET, method=b"CONNECT", target=b"/"), HELLO, 405),
        (evolve(GET, method=b"CONNECT", target=b"hello:80", headers=()), HELLO, 405),
        (evolve(GET, service="old"), OLD, 403),
        (evolve(GET, method=b"TRACE"), HELLO, 405),
    ],
)
def test_no_rule_is_walked_around_by_another_protocol(
    head: RequestHead, service: Service, status: int
) -> None:
    with pytest.raises(RequestError) as raised:
        check_untrusted(head, service)
    assert (raised.value.flag, raised.value.status) == ("AZ", status)


@pytest.mark.parametrize(
    ("head", "service"),
    [
        (GET, HELLO),
        (evolve(GET, method=b"OPTIONS", target=b"*"), HELLO),
        (evolve(GET, headers=(HOST, (b"Content-Length", b"2"))), HELLO),
        (RequestHead("old", b"CONNECT", b"old:80"), OLD),
    ],
)
def test_what_an_honest_daemon_sends_is_taken(head: RequestHead, service: Service) -> None:
    check_untrusted(head, service)


def test_policy_learns_who_asks_from_the_chain_and_the_record(lab: ModuleType) -> None:
    caller = lab.peer_of("web", "cron", "evil", allowed=("web", "cron"))
    asked: list[tuple[object, ...]] = []
    authorize(ports(asked), evolve(GET, source_service="cron", target=b"/x?y"), caller)
    source = Source(caller.id, "cron", frozenset({"web", "cron"}), frozenset({"ops"}))
    assert asked == [(source, "hello", b"GET", b"/x?y")]


@pytest.mark.parametrize("claimed", ["admin", "evil"])
def test_a_name_outside_record_or_chain_is_no_identity(lab: ModuleType, claimed: str) -> None:
    caller = lab.peer_of("web", "evil", allowed=("web",))
    assert refusal_of(evolve(GET, source_service=claimed), caller) == ("AZ", 403)


def test_what_policy_does_not_allow_is_refused(lab: ModuleType) -> None:
    assert refusal_of(GET, lab.peer_of("web"), allow=False) == ("AZ", 403)


def test_a_peer_speaks_for_what_its_record_declares_and_its_chain_allows(lab: ModuleType) -> None:
    assert services_of(lab.peer_of("web", "evil", allowed=("w*",))) == frozenset({"web"})

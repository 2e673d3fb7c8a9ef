"""What another daemon must not be believed, and who it may speak as."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.errors import RequestError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Protocol, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.policy.rules import Policy, Rule
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.admission import AMBIGUOUS, authorize, check_untrusted
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.transport.reactor import Reactor
from sources import source_of

HOST = (b"Host", b"hello")
GET = RequestHead("hello", b"GET", b"/", (HOST,))
HELLO = Service("hello", 80)
OLD = Service("old", 80, Protocol.TCP)
ALLOW, DENY = Policy.of_default(True), Policy.of_default(False)
REACTOR = Reactor()
APPS = AppPool(REACTOR, ProxyLimits(), fast_lane=True)
"""Neither connections nor time have a part in this."""
NO_ADMIN = Rule(False, "no-admin", services=("hello",), paths=(b"/admin/*",))


def ports(policy: Policy, told: list[Any] | None = None) -> InboundPorts:
    def observe(_: RequestReport) -> None:
        sys.exit("nothing is reported here")

    def decided(*what: object) -> None:
        if told is not None:
            told.append(what)

    return InboundPorts(
        service={}.get,
        source=source_of,
        policy=lambda: policy,
        reactor=REACTOR,
        apps=APPS,
        observe=observe,
        limits=ProxyLimits(),
        decided=decided,
    )


def refusal_of(
    head: RequestHead, peer: Peer, policy: Policy = ALLOW, service: Service = HELLO
) -> tuple[str, int]:
    with pytest.raises(RequestError) as raised:
        authorize(ports(policy), head, peer, service)
    return raised.value.flag, raised.value.status


@pytest.mark.parametrize(
    "head",
    [
        GET.changed(target=b"http://169.254.169.254/latest"),
        GET.changed(target=b"169.254.169.254:80"),
        GET.changed(target=b"x"),
        GET.changed(target=b"/#x"),
        GET.changed(target=b"*"),
        GET.changed(headers=()),
        GET.changed(headers=(HOST, HOST)),
        GET.changed(headers=(HOST, (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"))),
        GET.changed(headers=(HOST, (b"Content_Length", b"2"))),
    ],
)
def test_a_request_that_no_honest_daemon_sends_is_refused(head: RequestHead) -> None:
    with pytest.raises(RequestError) as raised:
        check_untrusted(head, HELLO)
    assert (raised.value.flag, raised.value.status) == ("DPE", 400)


@pytest.mark.parametrize(
    ("head", "service", "status"),
    [
        (GET.changed(method=b"CONNECT", target=b"/"), HELLO, 405),
        (GET.changed(method=b"CONNECT", target=b"hello:80", headers=()), HELLO, 405),
        (GET.changed(service="old"), OLD, 403),
        (GET.changed(method=b"TRACE"), HELLO, 405),
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
        (GET.changed(method=b"OPTIONS", target=b"*"), HELLO),
        (GET.changed(headers=(HOST, (b"Content-Length", b"2"))), HELLO),
        (RequestHead("old", b"CONNECT", b"old:80"), OLD),
    ],
)
def test_what_an_honest_daemon_sends_is_taken(head: RequestHead, service: Service) -> None:
    check_untrusted(head, service)


def test_policy_learns_who_asks_from_the_chain_and_the_record(lab: ModuleType) -> None:
    caller = lab.peer_of("web", "cron", "evil", allowed=("web", "cron"))
    told: list[Any] = []
    request = GET.changed(source_service="cron", target=b"/x?y")
    authorize(ports(ALLOW, told), request, caller, HELLO)
    source = Source(caller.id, "cron", frozenset({"web", "cron"}), frozenset({"ops"}))
    assert told == [(source, request, HELLO, Decision(True, "default"), ALLOW)]


@pytest.mark.parametrize("claimed", ["admin", "evil"])
def test_a_name_outside_record_or_chain_is_no_identity(lab: ModuleType, claimed: str) -> None:
    caller = lab.peer_of("web", "evil", allowed=("web",))
    assert refusal_of(GET.changed(source_service=claimed), caller) == ("AZ", 403)


def test_what_policy_does_not_allow_is_refused(lab: ModuleType) -> None:
    assert refusal_of(GET, lab.peer_of("web"), DENY) == ("AZ", 403)


def test_a_peer_speaks_for_what_its_record_declares_and_its_chain_allows(lab: ModuleType) -> None:
    source = source_of(lab.peer_of("web", "evil", allowed=("w*",)), "")
    assert source is not None
    assert source.services == {"web"}


def test_a_rule_on_paths_decides_about_the_bytes_that_are_forwarded(lab: ModuleType) -> None:
    web, policy = lab.peer_of("web"), Policy((NO_ADMIN,), default_allow=True)
    told: list[Any] = []
    for target in (b"/", b"/administration", b"/x?/admin/y", b"/x?a=%2f..//"):
        authorize(ports(policy, told), GET.changed(target=target), web, HELLO)
        assert told[-1][1].target == target
    for target in (b"/admin/x", b"/admin/x?y", b"/Admin/x", b"/%61dmin/x", b"/admin;a/x"):
        assert refusal_of(GET.changed(target=target), web, policy) == ("AZ", 403)


@pytest.mark.parametrize("target", [b"/x/..%2fadmin/y", b"//admin/y", b"/x/../admin/y", b"/x\\y", b"/%00"])
def test_a_path_that_apps_may_read_otherwise_is_a_400_where_a_rule_on_paths_names_the_service(
    target: bytes, lab: ModuleType
) -> None:
    web, policy = lab.peer_of("web"), Policy((NO_ADMIN,), default_allow=True)
    head = GET.changed(target=target)
    assert refusal_of(head, web, policy) == ("AZ", 400)
    other = Service("other", 80)
    authorize(ports(policy), head.changed(service="other"), web, other)
    authorize(ports(ALLOW), head, web, HELLO)


def test_audit_mode_lets_everything_through_and_tells_what_it_would_refuse(lab: ModuleType) -> None:
    web, policy = lab.peer_of("web"), Policy((NO_ADMIN,), default_allow=False, mode="audit")
    told: list[Any] = []
    for target in (b"/admin/x", b"/", b"//admin/x"):
        authorize(ports(policy, told), GET.changed(target=target), web, HELLO)
    assert [what[3] for what in told] == [Decision(False, "no-admin"), Decision(False, "default"), AMBIGUOUS]
    assert refusal_of(GET.changed(source_service="nobody"), web, policy) == ("AZ", 403)


def test_a_tcp_service_is_judged_by_the_rules_that_say_nothing_of_requests(lab: ModuleType) -> None:
    web = lab.peer_of("web")
    connect = RequestHead("old", b"CONNECT", b"old:80")
    by_path = Rule(True, "by-path", services=("old",), paths=(b"/*",))
    plain = Rule(True, "plain", services=("old",))
    assert refusal_of(connect, web, Policy((by_path,)), OLD) == ("AZ", 403)
    authorize(ports(Policy((plain,))), connect, web, OLD)
    denying = Rule(False, "some", services=("old",), methods=(b"POST",))
    assert refusal_of(connect, web, Policy((plain, denying)), OLD) == ("AZ", 403)

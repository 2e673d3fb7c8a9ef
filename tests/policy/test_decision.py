"""The decision on one request."""

from __future__ import annotations

import pytest

from gossipmesh.model import NodeId
from gossipmesh.policy.decision import DEFAULT_RULE, Decision, Source, decide

WEB = Source(NodeId(b"w" * 32), "web", frozenset({"web", "cron"}), frozenset({"ops"}))


@pytest.mark.parametrize("allow", [True, False])
def test_without_a_document_the_default_of_the_bundle_decides(allow: bool) -> None:
    assert decide(WEB, "hello", b"GET", b"/", allow) == Decision(allow, DEFAULT_RULE)

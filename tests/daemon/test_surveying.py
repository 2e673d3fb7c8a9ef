"""What is found of a member is compared with what is believed of it."""

from __future__ import annotations

import pytest

from gossipmesh.daemon.effects import ANOTHER_KEY
from gossipmesh.daemon.surveying import verdict


@pytest.mark.parametrize(
    ("dead", "udp", "tcp", "code", "found"),
    [
        (False, True, True, "", "ok"),
        (False, False, False, "connect.timeout", "unreached"),
        (False, False, True, "", "no-udp"),
        (False, True, False, "connect.refused", "no-tcp"),
        (False, False, False, ANOTHER_KEY, "another-key"),
        (True, False, False, "connect.refused", "ok"),
        (True, True, True, "", "wrongly-dead"),
        (True, False, True, "", "wrongly-dead"),
        (True, True, False, "connect.timeout", "wrongly-dead"),
        (True, False, False, ANOTHER_KEY, "ok"),
        (True, True, False, ANOTHER_KEY, "wrongly-dead"),
        (False, True, False, "credentials.clock", "no-handshake"),
        (False, False, False, "chain.root", "no-handshake"),
        (False, False, False, "channel.timeout", "unreached"),
    ],
)
def test_each_finding_has_its_verdict(dead: bool, udp: bool, tcp: bool, code: str, found: str) -> None:
    assert verdict(dead=dead, udp=udp, tcp=tcp, code=code) == found

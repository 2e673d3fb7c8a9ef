"""Limits that must agree with each other."""

from __future__ import annotations

from gossipmesh.channel.hop_messages import MAX_HEADERS
from gossipmesh.channel.hop_stream import MAX_INTERIM_HEADS
from gossipmesh.proxy.limits import ProxyLimits


def test_a_head_that_is_accepted_leaves_room_for_the_headers_we_add() -> None:
    assert ProxyLimits().head_count + 16 <= MAX_HEADERS


def test_an_app_may_send_fewer_interim_responses_than_a_channel_takes() -> None:
    assert ProxyLimits().informational_count <= MAX_INTERIM_HEADS

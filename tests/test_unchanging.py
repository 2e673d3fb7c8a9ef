"""Values that every request makes."""

from __future__ import annotations

import pytest

from gossipmesh.channel.hop_events import DataReceived, PongReceived, StreamReset
from gossipmesh.channel.hop_messages import End, RequestHead
from gossipmesh.unchanging import LONGEST

HEAD = RequestHead("hello", b"GET", b"/", attempt=2)


def test_values_are_equal_where_kind_and_fields_are() -> None:
    assert RequestHead("hello", b"GET", b"/", (), 0, 2) == HEAD
    assert hash(RequestHead("hello", b"GET", b"/", (), 0, 2)) == hash(HEAD)
    assert RequestHead("hello", b"GET", b"/") != HEAD
    assert PongReceived(1) != 1
    assert len({StreamReset(1, "UC"), StreamReset(1, "UC"), StreamReset(2, "UC")}) == 2


def test_a_changed_value_is_another_one_and_what_is_not_named_stays() -> None:
    assert HEAD.changed(method=b"PUT", service="other") == RequestHead("other", b"PUT", b"/", attempt=2)
    assert HEAD.method == b"GET"
    with pytest.raises(TypeError):
        HEAD.changed(verb=b"PUT")


def test_a_value_shows_its_fields_and_of_much_data_only_how_much() -> None:
    assert repr(StreamReset(3, "UC")) == "StreamReset(stream=3, flag='UC')"
    assert repr(End(in_flight=1)) == "End(trailers=(), in_flight=1, queued=0, app_us=0)"
    assert repr(DataReceived(1, b"few")) == "DataReceived(stream=1, data=b'few')"
    size = LONGEST + 1
    assert repr(DataReceived(1, bytes(size))) == f"DataReceived(stream=1, data=<{size} bytes>)"


def test_a_value_can_be_taken_apart_by_its_fields() -> None:
    match StreamReset(3, "UC"):
        case StreamReset(stream, flag):
            assert (stream, flag) == (3, "UC")

"""Who is told what of the streams of one channel."""

from __future__ import annotations

from attrs import define, field

from gossipmesh.channel.hop_events import GoneAway
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.hop_streams import HopStreams

GET = RequestHead("orders", b"GET", b"/")


@define
class Listener:
    """Notes what it is told."""

    told: list[str] = field(factory=list)

    def head_received(self, head: ResponseHead) -> None:
        self.told.append("head")

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        self.told.append("whole")

    def data_received(self, data: bytes) -> None:
        self.told.append("data")

    def end_received(self, end: End) -> None:
        self.told.append("end")

    def reset_received(self, flag: str) -> None:
        self.told.append(flag)

    def doubted(self) -> None:
        self.told.append("doubted")

    def credit_gained(self) -> None:
        self.told.append("credit")


def test_whoever_is_given_up_meanwhile_is_not_told_that_it_may_take_long() -> None:
    streams = HopStreams(lambda opened: None)
    listeners = {number: Listener() for number in (1, 2, 3)}
    kept = {number: HopStream(None, number, GET) for number in listeners}  # type: ignore[arg-type]

    class GivesUpTheSecond(Listener):
        def doubted(self) -> None:
            streams.forget(kept[2])

    listeners[1] = GivesUpTheSecond()
    for number, stream in kept.items():
        stream.listener = listeners[number]
        streams.add(stream)
    streams.doubt(lambda service: service == GET.service)
    assert [listeners[number].told for number in (2, 3)] == [[], ["doubted"]]


def test_what_waits_for_credit_is_woken_when_a_peer_that_goes_away_refuses_what_had_it() -> None:
    streams = HopStreams(lambda opened: None)
    listeners = {number: Listener() for number in (1, 2)}
    for number, listener in listeners.items():
        stream = HopStream(None, number, GET)  # type: ignore[arg-type]
        stream.listener = listener
        streams.add(stream)
        streams.block(stream)
    streams.perform([GoneAway(1, refused=(2,))])
    assert (listeners[1].told, listeners[2].told) == (["credit"], ["refused"])

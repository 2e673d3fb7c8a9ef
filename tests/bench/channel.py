"""What a hop channel costs without sockets: CPU per small request, and how fast one bulk body goes.

    python tests/bench/channel.py

Requests: 32 in a turn through two multiplexers and two channels, bodies of 16 bytes, 9 headers asked with and 6
answered with, another path and id each time. Bulk: one stream, 256 KiB in a turn. Figures are CPU time of all passes
together, the median of some rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

from gossipmesh.channel.hop import HopMux
from gossipmesh.channel.hop_events import DataReceived, RequestOpened, ResponseStarted, ResponseWhole
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, Record, SecureChannel
from gossipmesh.crypto import dh_public

TURN = 256 * 1024
READ = 256 * 1024
REQUESTS = 32
PASSES = ("ask", "take the question", "answer", "take the answer")
REQUEST_HEADERS = (
    (b"Host", b"orders"),
    (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"Accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"Accept-Language", b"en-GB,en;q=0.5"),
    (b"Accept-Encoding", b"gzip, deflate, br"),
    (b"Content-Length", b"16"),
    (b"Cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"Via", b"1.1 web-1"),
)
RESPONSE_HEADERS = (
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"16"),
    (b"Cache-Control", b"no-cache"),
    (b"Date", b"Tue, 01 Jul 2025 10:00:00 GMT"),
    (b"Server", b"orders/1.4"),
)


class Side:
    """One multiplexer and its channel."""

    def __init__(self, role: Role, *, compact: bool) -> None:
        secret = bytes([1 if role is Role.INITIATOR else 2] * 32)
        self.mux = HopMux(role, compact=compact)
        self.channel: SecureChannel[bytes] = SecureChannel(
            role,
            mesh_id=bytes(32),
            static_private=secret,
            ephemeral_private=dh_public(secret),
            credentials=b"",
            authenticate=lambda _, remote_static: remote_static,
        )

    def flush(self) -> bytes:
        for record in self.mux.take_records(TURN):
            self.channel.send_record(HOP, record)
        return self.channel.bytes_to_send()

    def receive(self, data: bytes) -> Iterator[object]:
        for start in range(0, len(data), READ):
            piece = data if len(data) <= READ else data[start : start + READ]
            for record in self.channel.receive_bytes_untrusted(piece):
                if isinstance(record, Record):
                    yield from self.mux.receive_record_untrusted(record.body)


def pair(*, compact: bool) -> tuple[Side, Side]:
    web, orders = Side(Role.INITIATOR, compact=compact), Side(Role.RESPONDER, compact=compact)
    orders.channel.receive_bytes_untrusted(web.channel.bytes_to_send())
    web.channel.receive_bytes_untrusted(orders.channel.bytes_to_send())
    orders.channel.receive_bytes_untrusted(web.channel.bytes_to_send())
    return web, orders


def requests_us(rounds: int, *, whole: bool) -> list[float]:
    """Give the CPU microseconds of each pass, per request."""
    web, orders = pair(compact=whole)
    spent = [0.0] * len(PASSES)
    for turn in range(rounds):
        heads = [
            (
                RequestHead(
                    "orders",
                    b"POST",
                    b"/v1/orders/%d" % (turn * REQUESTS + number),
                    (*REQUEST_HEADERS, (b"X-Request-Id", b"%032x" % (turn * REQUESTS + number))),
                    30_000,
                    1,
                    b"%032x" % (turn * REQUESTS + number),
                    "web",
                ),
                ResponseHead(200, (*RESPONSE_HEADERS, (b"X-Request-Id", b"%032x" % number))),
            )
            for number in range(REQUESTS)
        ]
        times = [time.process_time()]
        ask = ask_whole if whole else ask_in_parts
        for head, _ in heads:
            ask(web.mux, head)
        wire = web.flush()
        times.append(time.process_time())
        opened = [event.stream for event in orders.receive(wire) if isinstance(event, RequestOpened)]
        times.append(time.process_time())
        answer = answer_whole if whole else answer_in_parts
        for stream, (_, response) in zip(opened, heads, strict=True):
            answer(orders.mux, stream, response)
        wire = orders.flush()
        times.append(time.process_time())
        answered = [
            event for event in web.receive(wire) if isinstance(event, ResponseStarted | ResponseWhole)
        ]
        times.append(time.process_time())
        if len(answered) != REQUESTS or web.mux.open_streams or orders.mux.open_streams:
            raise RuntimeError("some requests were not answered")
        for index in range(len(PASSES)):
            spent[index] += times[index + 1] - times[index]
    return [1e6 * seconds / rounds / REQUESTS for seconds in spent]


def ask_whole(mux: HopMux, head: RequestHead) -> None:
    mux.open_stream(head, b"0123456789abcdef")


def ask_in_parts(mux: HopMux, head: RequestHead) -> None:
    stream = mux.open_stream(head)
    mux.send_data(stream, b"0123456789abcdef")
    mux.send_end(stream, End())


def answer_whole(mux: HopMux, stream: int, head: ResponseHead) -> None:
    mux.answer(stream, head, b"0123456789abcdef", End((), 3, 1))


def answer_in_parts(mux: HopMux, stream: int, head: ResponseHead) -> None:
    mux.send_head(stream, head)
    mux.send_data(stream, b"0123456789abcdef")
    mux.send_end(stream, End((), 3, 1))


def bulk_mb_s(size: int) -> float:
    """Give how many megabytes a second of CPU one stream moves, sealed, opened and taken apart again."""
    web, orders = pair(compact=True)
    stream = web.mux.open_stream(RequestHead("orders", b"PUT", b"/"))
    body = bytes(TURN)
    sent = received = 0
    began = time.process_time()
    while received < size:
        sent += web.mux.send_data(stream, body)
        for event in orders.receive(web.flush()):
            if isinstance(event, DataReceived):
                received += len(event.data)
                orders.mux.consume(stream, len(event.data))
        list(web.receive(orders.flush() or b""))
    return sent / 1e6 / (time.process_time() - began)


def report(name: str, measure: Callable[[], list[float]], rounds: int) -> None:
    measured = [measure() for _ in range(rounds)]
    passes = [median(each) for each in zip(*measured, strict=True)]
    details = ", ".join(f"{what} {us:.1f}" for what, us in zip(PASSES, passes, strict=True))
    print(f"{name}: {sum(passes):.1f} us a request ({details}); best {min(map(sum, measured)):.1f}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    report("in three frames", lambda: requests_us(150, whole=False), rounds)
    report("whole messages", lambda: requests_us(150, whole=True), rounds)
    figures = [bulk_mb_s(2**26) for _ in range(rounds)]
    print(f"bulk: {median(figures):.0f} MB/s, best {max(figures):.0f}")


if __name__ == "__main__":
    main()

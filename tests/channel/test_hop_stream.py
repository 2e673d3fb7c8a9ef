"""One stream: its directions end once, its credit is kept, its window grows while the budget lasts."""

from __future__ import annotations

import pytest

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.channel.hop_stream import (
    INITIAL_WINDOW,
    MAX_INTERIM_HEADS,
    STREAM_WINDOW,
    HopStreamState,
    ReceiveBudget,
    Receiving,
    Sending,
)
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

GROWTH = STREAM_WINDOW - INITIAL_WINDOW


def stream(*, opened_by_us: bool = False, budget: ReceiveBudget | None = None) -> HopStreamState:
    return HopStreamState(1, opened_by_us=opened_by_us, budget=budget or ReceiveBudget())


def test_a_new_stream_takes_one_initial_window_and_no_byte_more() -> None:
    acceptor = stream()
    assert acceptor.receive_data(INITIAL_WINDOW)
    with pytest.raises(RemoteProtocolError) as raised:
        acceptor.receive_data(1)
    assert raised.value.code == "hop.credit"


def test_credit_is_due_once_half_a_window_was_taken_and_grows_the_window() -> None:
    acceptor = stream()
    acceptor.receive_data(INITIAL_WINDOW)
    acceptor.consume(INITIAL_WINDOW // 2 - 1)
    assert not acceptor.credit_due
    acceptor.consume(1)
    assert acceptor.credit_due
    assert acceptor.take_credit() == INITIAL_WINDOW // 2 + GROWTH
    acceptor.consume(INITIAL_WINDOW // 2)
    assert not acceptor.credit_due


def test_windows_stay_small_while_the_budget_is_spent_and_grow_when_it_is_given_back() -> None:
    budget = ReceiveBudget(GROWTH)
    first, second = stream(budget=budget), stream(budget=budget)
    for each, growth in ((first, GROWTH), (second, 0)):
        each.receive_data(INITIAL_WINDOW)
        each.consume(INITIAL_WINDOW)
        assert each.take_credit() == INITIAL_WINDOW + growth
    first.release()
    assert budget.left == GROWTH
    second.receive_data(INITIAL_WINDOW)
    second.consume(INITIAL_WINDOW)
    assert second.take_credit() == STREAM_WINDOW


def test_no_credit_is_due_to_a_side_that_has_ended() -> None:
    acceptor = stream()
    acceptor.receive_data(INITIAL_WINDOW)
    acceptor.receive_end()
    acceptor.consume(INITIAL_WINDOW)
    assert not acceptor.credit_due


def test_an_app_cannot_take_what_did_not_come() -> None:
    acceptor = stream()
    acceptor.receive_data(10)
    with pytest.raises(LocalProtocolError):
        acceptor.consume(11)


def test_only_what_both_credits_allow_is_accepted() -> None:
    initiator = stream(opened_by_us=True)
    assert initiator.send_data(b"x" * 100, 10) == 10
    assert initiator.send_data(bytes(STREAM_WINDOW), 10**9) == INITIAL_WINDOW - 10
    assert initiator.send_data(b"x", 10**9) == 0
    assert initiator.waiting is not None
    assert initiator.waiting.size == INITIAL_WINDOW
    assert initiator.waiting.take(10) == b"x" * 10


@pytest.mark.parametrize("credit", [0, STREAM_WINDOW - INITIAL_WINDOW + 1, 2**32 - 1])
def test_credit_for_nothing_or_for_more_than_a_window_is_refused(credit: int) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        stream().receive_credit(credit)
    assert raised.value.code == "hop.credit"


def test_a_response_has_one_final_head_and_few_interim_ones() -> None:
    initiator = stream(opened_by_us=True)
    with pytest.raises(RemoteProtocolError):
        initiator.receive_data(1)
    with pytest.raises(RemoteProtocolError):
        initiator.receive_end()
    for _ in range(MAX_INTERIM_HEADS):
        assert initiator.receive_head(ResponseHead(103))
    with pytest.raises(RemoteProtocolError):
        initiator.receive_head(ResponseHead(103))
    assert initiator.receive_head(ResponseHead(200))
    with pytest.raises(RemoteProtocolError):
        initiator.receive_head(ResponseHead(200))


def test_a_direction_ends_once() -> None:
    acceptor = stream()
    assert acceptor.receive_end()
    for late in (acceptor.receive_end, lambda: acceptor.receive_data(1)):
        with pytest.raises(RemoteProtocolError) as raised:
            late()
        assert raised.value.code == "hop.order"


def test_what_comes_after_our_reset_is_ignored_until_the_other_side_ends() -> None:
    initiator = stream(opened_by_us=True)
    initiator.reset(b"DC")
    assert not initiator.receive_head(ResponseHead(200))
    assert not initiator.receive_data(100)
    assert not initiator.receive_end()
    with pytest.raises(RemoteProtocolError):
        initiator.receive_data(1)


def test_a_reset_is_answered_with_one_unless_we_have_ended() -> None:
    answering, ended = stream(), stream()
    answering.send_head(ResponseHead(200), b"head")
    answering.send_data(b"body", 100)
    assert answering.receive_reset(b"DC")
    assert answering.sending is Sending.RESETTING
    assert answering.drop_output() == 4
    assert answering.waiting is not None
    assert (answering.waiting.size, answering.heads) == (0, [])
    ended.sending = Sending.CLOSED
    assert ended.receive_reset(b"DC")
    assert ended.over


def test_a_reset_that_crosses_ours_is_no_news() -> None:
    initiator = stream(opened_by_us=True)
    initiator.reset(b"DC")
    assert not initiator.receive_reset(b"UC")
    assert (initiator.receiving, initiator.flag) == (Receiving.CLOSED, b"DC")


def test_our_own_order_is_checked_too() -> None:
    acceptor = stream()
    for early in (lambda: acceptor.send_data(b"x", 1), lambda: acceptor.send_end(b"")):
        with pytest.raises(LocalProtocolError):
            early()
    acceptor.send_head(ResponseHead(200), b"")
    with pytest.raises(LocalProtocolError):
        acceptor.send_head(ResponseHead(200), b"")
    acceptor.send_end(b"")
    with pytest.raises(LocalProtocolError):
        acceptor.send_data(b"x", 1)


def test_what_is_no_longer_wanted_is_ignored_and_our_own_end_still_goes() -> None:
    ending, ended, early = stream(), stream(), stream()
    ending.sending, ended.sending = Sending.ENDING, Sending.CLOSED
    assert (ending.discard(b"UR"), ending.sending, ending.flag) == (False, Sending.ENDING, b"UR")
    assert (ended.discard(b"UR"), ended.sending) == (True, Sending.RESETTING)
    assert not ending.receive_data(10)
    with pytest.raises(LocalProtocolError):
        early.discard(b"UR")

from __future__ import annotations

import pytest

from gossipmesh.routing.checks import LISTENS, CommandCheck, HealthCheck, HttpCheck, TcpCheck


@pytest.mark.parametrize(
    ("status", "expected"), [(199, False), (200, True), (204, True), (299, True), (302, False), (503, False)]
)
def test_any_status_of_success_is_expected_where_nothing_else_is_said(status: int, expected: bool) -> None:
    assert HttpCheck("/").expects(status) is expected


def test_both_ends_of_a_range_belong_to_it() -> None:
    check = HttpCheck("/", expect=((200, 200), (401, 403)))
    assert [status for status in range(200, 600) if check.expects(status)] == [200, 401, 402, 403]


def test_one_look_tells_whether_somebody_listens_and_two_whether_an_app_works_again() -> None:
    assert (LISTENS.method, LISTENS.rise, LISTENS.fall) == (TcpCheck(), 1, 3)
    assert HealthCheck(HttpCheck("/")).rise == 2
    assert HealthCheck(TcpCheck(), rise=3).rise == 3


def test_the_words_for_a_command_do_not_tell_its_arguments() -> None:
    assert str(CommandCheck(("/bin/check", "--password=x"))) == "command /bin/check"

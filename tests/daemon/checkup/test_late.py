"""The checks of a daemon that loads them when it is asked, from files that may not be its own any more."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, cast

import pytest

from gossipmesh.daemon.admin.answers import Answer, answer
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.view import NodeView
from gossipmesh.daemon.checkup.late import load_examiner

LATE: Final = "gossipmesh.daemon.checkup.gathering"


class Upgraded:
    """A node that has not been started again since its files were replaced."""

    def check(self) -> Checked:
        return cast("Checked", {"made by": load_examiner()})


@pytest.fixture
def no_gathering() -> Iterator[None]:
    """Let the module that is loaded late be one that cannot be."""
    modules: dict[str, Any] = dict(sys.modules)
    cast("dict[str, Any]", sys.modules)[LATE] = None
    yield
    del sys.modules[LATE]
    sys.modules.update({LATE: modules[LATE]} if LATE in modules else {})


@pytest.mark.usefixtures("no_gathering")
def test_a_daemon_that_cannot_load_its_checks_says_why_and_what_to_do() -> None:
    given = answer(cast("NodeView", Upgraded()), "GET", "/v1/check")
    assert isinstance(given, Answer)
    assert given.status is HTTPStatus.SERVICE_UNAVAILABLE
    said = json.loads(given.body)["error"]
    assert LATE in said
    assert "start the daemon again" in said

"""What is said of members of an older release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.mixed import MAX_NAMED, old_members, warn_of


class Answering(AdminClient):
    """A client of a node that knows some members."""

    def __init__(self, *members: tuple[str, str, bool]) -> None:
        super().__init__(Path("nowhere"))
        self._members = [{"name": n, "state": state, "enforces": enforces} for n, state, enforces in members]

    def document(self, path: str) -> dict[str, Any]:
        assert path == "/v1/members"
        return {"members": self._members}


def test_only_living_members_whose_release_enforces_nothing_are_old() -> None:
    client = Answering(
        ("new", "alive", True), ("old", "alive", False), ("slow", "suspect", False), ("gone", "dead", False)
    )
    assert old_members(client) == ["old", "slow"]


def test_they_are_named_in_one_line_up_to_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of([], "policies")
    assert capsys.readouterr() == ("", "")
    warn_of([f"n{number}" for number in range(MAX_NAMED + 2)], "policies")
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "enforces no policies: n0, n1" in err
    assert "and 2 more; upgrade them" in err

from __future__ import annotations

from pathlib import Path

import pytest

from gossipmesh.config.places import MAX_SOCKET_PATH, admin_socket, default_state
from gossipmesh.errors import StateError


def test_the_state_of_root_is_the_systems_and_that_of_others_their_own() -> None:
    assert default_state({"HOME": "/home/a"}, root=True) == Path("/var/lib/gossipmesh")
    assert default_state({"HOME": "/home/a"}, root=False) == Path("/home/a/.local/state/gossipmesh")
    assert default_state({"XDG_STATE_HOME": "/x"}, root=False) == Path("/x/gossipmesh")


def test_a_path_that_no_unix_socket_can_have_is_refused_with_its_length() -> None:
    longest = Path("/" + "a" * (MAX_SOCKET_PATH - len("//admin.sock")))
    assert len(str(admin_socket(longest))) == MAX_SOCKET_PATH
    with pytest.raises(StateError, match=r"108 bytes.*shorter --state"):
        admin_socket(Path(f"{longest}a"))

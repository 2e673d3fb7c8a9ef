from __future__ import annotations

from gossipmesh.config.hints import nearest
from gossipmesh.config.keys import VARIABLES


def test_the_nearest_known_name_is_suggested() -> None:
    assert nearest("nmae", ["name", "zone"]) == "did you mean name?"
    assert nearest("qqqq", ["name", "zone"]) == "known are name, zone"
    assert "gossipmesh config" in nearest("qqqq", [f"key{n}" for n in range(20)])


def test_what_all_variables_have_in_common_makes_none_of_them_near() -> None:
    assert nearest("GOSSIPMESH_ZON", VARIABLES) == "did you mean GOSSIPMESH_ZONE?"
    assert "did you mean" not in nearest("GOSSIPMESH_BOGUS", VARIABLES)

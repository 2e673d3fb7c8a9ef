from __future__ import annotations

from attrs import fields

from gossipmesh.config.keys import FLAGS, GATEWAY, KEYS, LISTS, VARIABLES
from gossipmesh.membership.parameters import Parameters
from gossipmesh.proxy.limits import ProxyLimits


def test_every_limit_and_parameter_has_a_key() -> None:
    places = {key.place for key in KEYS.values()}
    assert {("proxy", "limits", field.name) for field in fields(ProxyLimits)} <= places
    assert {("gossip", field.name) for field in fields(Parameters)} <= places


def test_times_have_their_unit_in_the_value_and_not_in_the_key() -> None:
    assert not [path for path in KEYS if path.endswith("_s")]


def test_every_path_but_that_of_gateways_has_a_variable_of_its_own() -> None:
    assert sorted((*VARIABLES.values(), GATEWAY)) == sorted((*KEYS, *LISTS))


def test_variables_are_named_after_the_flags_where_there_is_one() -> None:
    for path, flag in FLAGS.items():
        assert VARIABLES["GOSSIPMESH_" + flag.removeprefix("--").replace("-", "_").upper()] == path

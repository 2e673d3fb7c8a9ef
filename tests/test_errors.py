"""Whose fault an error is, what scripts know it by, and what people read."""

from __future__ import annotations

import pytest

from gossipmesh import errors
from gossipmesh.errors import (
    AppFault,
    AppRefused,
    ConfigError,
    ConnectError,
    LocalProtocolError,
    MeshError,
    PeerGone,
    RemoteProtocolError,
    RequestError,
    StateError,
    StreamLimit,
    StreamResetError,
    TrustError,
    UnreachableError,
)

CODED = [
    MeshError,
    ConfigError,
    StateError,
    RemoteProtocolError,
    TrustError,
    LocalProtocolError,
    ConnectError,
    UnreachableError,
    StreamLimit,
    PeerGone,
]
FLAGGED = [RequestError, StreamResetError, AppFault, AppRefused]


@pytest.mark.parametrize("kind", CODED)
def test_an_error_has_a_code_for_scripts_and_a_line_for_people(kind: type[MeshError]) -> None:
    error = kind("chain.expired", "the chain has expired; renew it")
    assert error.code == "chain.expired"
    assert str(error) == "the chain has expired; renew it"


def test_there_is_one_tree_of_errors() -> None:
    kinds = {value for value in vars(errors).values() if isinstance(value, type)}
    assert kinds == {*CODED, *FLAGGED}
    assert all(issubclass(kind, MeshError) for kind in kinds)


def test_a_proof_that_fails_is_the_peers_fault_and_a_call_out_of_order_is_ours() -> None:
    assert issubclass(TrustError, RemoteProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)


def test_an_answer_of_the_meshs_own_has_its_flag_in_its_code() -> None:
    error = RequestError("UH", 503, "no endpoint of hello is healthy")
    assert (error.flag, error.status, error.code) == ("UH", 503, "request.uh")
    assert str(error) == "no endpoint of hello is healthy"

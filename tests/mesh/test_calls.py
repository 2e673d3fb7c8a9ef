"""What becomes of requests, answers and failures over TCP, by their kind."""

from __future__ import annotations

import pytest

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.mesh.exchanges import (
    AskReached,
    Carry,
    DialBack,
    Greet,
    Kind,
    Probe,
    Purpose,
    Renew,
    decode_plain_untrusted,
)
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output, Refused, RoutabilityChanged
from gossipmesh.model import Address
from gossipmesh.sim.world import World

ALSO = Address("198.51.100.1", 7946)


def pair() -> tuple[World, Mesh, Mesh]:
    world = World(1)
    world.populate(2)
    return world, world.nodes["n0"].running, world.nodes["n1"].running


def fail(
    world: World,
    us: Mesh,
    them: Mesh,
    purpose: Purpose,
    *,
    seed: bool = False,
    also: tuple[Address, ...] = (),
) -> list[Output]:
    """Let an exchange end with a handshake that proves somebody else's key."""
    target = None if seed else them.id
    begun = us._exchanges.begin(purpose, target, (*them.own.addresses, *also), b"", now=world.now)
    assert begun is not None
    return us.exchange_failed(
        begun.number, "another one is there", refused=True, another_key=True, now=world.now, wall=world.wall
    )


def out_of_rotation(outputs: list[Output]) -> list[str]:
    return [each.why for each in outputs if isinstance(each, RoutabilityChanged) and not each.routable]


@pytest.mark.parametrize("purpose", [Greet(), Probe(1), Renew(), Carry(), AskReached(), DialBack()])
def test_whoever_is_dialled_for_whatever_reason_another_key_there_takes_it_out_of_rotation(
    purpose: Purpose,
) -> None:
    world, us, them = pair()
    assert out_of_rotation(fail(world, us, them, purpose)) == ["its address proves another key"]


def test_a_seed_may_be_anybody() -> None:
    world, us, them = pair()
    assert out_of_rotation(fail(world, us, them, Greet(), seed=True)) == []


def test_of_several_addresses_one_may_be_anothers() -> None:
    world, us, them = pair()
    assert out_of_rotation(fail(world, us, them, Greet(), also=(ALSO,))) == []


def test_another_key_at_an_address_that_a_member_has_left_meanwhile_says_nothing_about_it() -> None:
    world, us, them = pair()
    begun = us._exchanges.begin(Greet(), them.id, (ALSO,), b"", now=world.now)
    assert begun is not None
    told = us.exchange_failed(
        begun.number, "another one is there", refused=True, another_key=True, now=world.now, wall=world.wall
    )
    assert out_of_rotation(told) == []


@pytest.mark.parametrize("kind", [16, 20, 23, 24, 26, 28, 30, 31, 127])
def test_what_is_no_request_is_refused_with_a_reason(kind: int) -> None:
    world, us, them = pair()
    answer, outputs = us.answer_untrusted(
        world.peer_of(them), wire.pack([kind]), now=world.now, wall=world.wall
    )
    assert [type(output) for output in outputs] == [Refused]
    with pytest.raises(RemoteProtocolError, match="the peer refused"):
        decode_plain_untrusted(answer, Kind.PROBED)


def test_a_dial_is_answered_and_changes_nothing() -> None:
    world, us, them = pair()
    answer, outputs = us.answer_untrusted(
        world.peer_of(them), wire.pack([Kind.DIAL]), now=world.now, wall=world.wall
    )
    decode_plain_untrusted(answer, Kind.DIALLED)
    assert outputs == []

"""The port of costly functions: by default it is the functions themselves."""

from __future__ import annotations

from attrs import evolve

from gossipmesh.identity.accusation import decode_accusation_untrusted, verify_decoded_accusation
from gossipmesh.identity.chain import verify_chain_untrusted
from gossipmesh.identity.checks import CHECKS
from gossipmesh.identity.record import decode_record_untrusted, verify_decoded_record
from gossipmesh.mesh.setup import Setup
from gossipmesh.sim.world import World


def test_by_default_everything_is_checked_by_the_functions_themselves() -> None:
    assert CHECKS.decode_record is decode_record_untrusted
    assert CHECKS.verify_record is verify_decoded_record
    assert CHECKS.verify_chain is verify_chain_untrusted
    assert CHECKS.decode_accusation is decode_accusation_untrusted
    assert CHECKS.verify_accusation is verify_decoded_accusation


def test_a_node_verifies_with_what_its_setup_says() -> None:
    calls: list[bytes] = []

    def decode(raw: bytes) -> object:
        calls.append(raw)
        return decode_record_untrusted(raw)

    world = World(1, crypto="real")

    class Counting(world.add("a").machine):
        def __init__(self, setup: Setup, **others: object) -> None:
            super().__init__(evolve(setup, checks=evolve(CHECKS, decode_record=decode)), **others)

    world.add("b", machine=Counting, seeds=["a"])
    world.run(3)
    assert world.complete()
    assert world.nodes["a"].running.own.signed.raw in calls

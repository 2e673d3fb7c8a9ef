"""What ``make fuzz`` begins with, and what it found, replayed: each input, its truncations, and some damage to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import admin_port
import decoders
import handshakes
import members
import proofs
from adminlab import Node
from gossipmesh import wire
from gossipmesh.channel.secure import HandshakeDone, Record
from gossipmesh.daemon.admin.view import Readiness
from gossipmesh.errors import TrustError
from gossipmesh.identity.authority import Authority
from gossipmesh.identity.checks import Checks
from gossipmesh.policy.document import new_document

CORPUS: Final = Path(__file__).parent / "corpus"
TARGETS: Final[dict[str, tuple[Callable[[bytes], str], int]]] = {
    "decoders": (decoders.run, 60),
    "proofs": (proofs.run, 60),
    "handshakes": (handshakes.run, 6),
    "members": (members.run, 4),
    "admin_port": (admin_port.run, 10),
}
"""What each runs, and how many damaged copies of an input a test has time for."""
FILES: Final = [path for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


def damaged(data: bytes, count: int) -> Iterator[bytes]:
    """Give ``count`` copies, each cut, or with some bytes changed, repeated or moved; the same ones at each run."""
    rng = Random(data)
    for _ in range(count):
        twin = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(len(twin) + 1)
            match rng.randrange(4):
                case 0:
                    del twin[at:]
                case 1:
                    twin[at : at + 1] = bytes([rng.choice([0, 1, 0x7F, 0x80, 0x90, 0xC4, 0xFF])])
                case 2:
                    twin[at:at] = twin[at : at + rng.randrange(1, 40)]
                case _:
                    del twin[at : at + rng.randrange(1, 8)]
        yield bytes(twin)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_of_the_corpus_and_damage_to_it_break_nothing(path: Path) -> None:
    run, count = TARGETS[path.parent.name]
    data = path.read_bytes()
    run(data)
    for bad in damaged(data, count):
        run(bad)


@pytest.mark.parametrize("key", sorted(decoders.DECODERS), ids=lambda key: key.decode())
def test_every_decoder_has_an_input_in_the_corpus_that_it_takes(key: bytes) -> None:
    """Else the replay, and the fuzzer with it, may never get past a first check."""
    known = [path.read_bytes() for path in sorted((CORPUS / "decoders").iterdir())]
    results = Counter(decoders.run(data) for data in known if data.startswith(key))
    assert results["taken"]


@given(st.binary(max_size=80))
def test_arbitrary_bytes_break_no_decoder(data: bytes) -> None:
    decoders.run(data)
    proofs.run(data)


def test_every_example_of_a_rightly_signed_object_is_taken() -> None:
    assert {name: proofs.run(data) for name, data in proofs.examples()} == {
        name: "taken" for name, _ in proofs.examples()
    }


# --- each oracle can fail ---


def test_a_handshake_that_nobody_touches_is_told_to_both_and_carries_records() -> None:
    """Where this did not hold, nothing that the target checks would ever be checked."""
    alice, bob = handshakes.Side("alice", 1), handshakes.Side("bob", 1)
    for _ in range(4):
        for speaker, listener in ((alice, bob), (bob, alice)):
            speaker.speak()
            listener.hear(bytes(speaker.sent[len(listener.heard) :]))
    for side in (alice, bob):
        kinds = [type(event) for event in side.events]
        assert kinds[0] is HandshakeDone
        assert kinds[1:] == [Record] * len(kinds[1:])
        assert len(kinds) > 1


def test_the_handshake_target_notices_a_side_that_believes_whatever_it_hears() -> None:
    alice, bob = handshakes.Side("alice", 1), handshakes.Side("bob", 1)
    alice.speak()
    bob.hear(bytes(alice.sent))
    bob.speak()
    alice.hear(bytes(bob.sent))
    alice.heard[40] ^= 1
    with pytest.raises(AssertionError, match="tampered"):
        handshakes._judge(bob, alice)


def test_the_members_target_notices_a_node_that_verifies_no_signature() -> None:
    stage = members.Stage(Checks(verify_record=lambda record, *_, **__: record))
    said = wire.unpack_untrusted(stage.carol.own.signed.body, code="t")
    assert isinstance(said, list)
    said[3] += 1
    body = wire.pack(said)
    with pytest.raises(AssertionError, match="did not sign"):
        stage.take(4, body)
    members.Stage().take(4, body)


def test_the_admin_target_gets_to_answers_waits_and_streams() -> None:
    went = {name: admin_port.run(data) for name, data in admin_port.examples()}
    assert [went[name] for name in ("paths-reader", "own-owner", "wait", "events", "leave")] == ["200"] * 5
    assert [went[name] for name in ("own-reader", "head-body", "head-http2")] == ["405", "413", "505"]


def test_the_admin_target_notices_an_answer_that_has_a_bug() -> None:
    class Broken(Node):
        def ready(self) -> Readiness:
            raise LookupError("nobody thought of this")

    with pytest.raises(AssertionError, match="LookupError"):
        admin_port.run(b"\x00GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", Broken())


@pytest.mark.parametrize("name", ["policy", "revocation"])
def test_the_members_target_notices_a_node_that_takes_what_its_signer_may_not_sign(name: str) -> None:
    said = dict(members.examples())[name]
    members.run(said)
    # The same words, by a key that may say them.
    stage = members.Stage(signer=Authority(members.ROOT.seed))
    with pytest.raises(AssertionError, match=r"may sign nothing|sent where no record says"):
        for kind, payload in members.pieces(said):
            stage.take(kind, payload)


def test_the_proofs_target_notices_a_charter_that_looks_at_no_signer() -> None:
    document = new_document(1, 'default = "deny"', signed_at=1)
    of_root = (proofs.authorities()[0],) * 4
    for number, match in ((b"\2", "may only revoke"), (b"\3", "may sign nothing")):
        with pytest.raises(AssertionError, match=match):
            proofs._objects([number + b"p" + document.body], of_root)
        with pytest.raises(TrustError, match="nothing of it"):
            proofs._objects([number + b"p" + document.body])

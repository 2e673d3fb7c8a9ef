"""What trust costs: handshakes, datagrams, identities without number, and a flood. Asked and got.

    python tests/bench/trust.py [--rounds N] [--identities N] [--flood SECONDS] [--per-s N] [--json FILE]

Handshakes: both sides in this process, a task for each, over sockets of loopback that are connected, each with a peer
that nobody met before, so that its chain and record are verified; all of one X25519 key, as a daemon has one for a
day. Handshakes per CPU second of both sides together, streams and event loop included: the median, and the best round
of all, which says what it costs where other work of the machine gets in the way of the median. Beside them, in the same
rounds, the curve operations that no handshake can do without: how fast this core was just then. Datagrams: 300 bytes,
sealed and opened; the median round. Identities: a member shows a node's whole control plane so many chains of one
stolen token, each with its record and all rightly signed, beside ten honest members of another token; what the process
holds more, by the kernel's count. The flood: a mesh of four daemons as it comes, of which one gets junk from another
process; suspicions are those in any honest member's log, and probes are answered if the victim's own go on.
Authorization is measured by policy.py. Figures are CPU time, and medians.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import trio
from attrs import frozen
from nacl.bindings import crypto_sign_open

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))
sys.path.insert(0, str(HERE.parent / "fuzz"))

import members  # noqa: E402
from gossipmesh.channel.datagram import DatagramOpener, DatagramSealer, derive_pair_keys  # noqa: E402
from gossipmesh.channel.noise import Role  # noqa: E402
from gossipmesh.crypto import dh, dh_public, sign, signing_public  # noqa: E402
from gossipmesh.identity.chain import Caveats, chain_hash, join_chain  # noqa: E402
from gossipmesh.identity.credentials import encode_credentials, verify_credentials_untrusted  # noqa: E402
from gossipmesh.identity.keys import NodeKey  # noqa: E402
from gossipmesh.identity.record import sign_record  # noqa: E402
from gossipmesh.identity.token import Token, new_token  # noqa: E402
from gossipmesh.model import Address, NodeId  # noqa: E402
from gossipmesh.registry.sync_messages import ExchangeRequest, Parcel, encode  # noqa: E402
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream  # noqa: E402
from harness import Mesh, Node, eventually, said  # noqa: E402

WALL: Final = 1_700_000_000
RNG: Final = Random(6)
STATIC: Final = RNG.randbytes(32)
ROOT, TRUST = members.ROOT, members.TRUST
CAVEATS: Final = Caveats(WALL - 300, WALL + 86_400, services=("web*",))
AT_ONCE: Final = 100
"""Identities in one exchange; more do not fit."""
HANDSHAKES: Final = 60
"""In one round."""
DATAGRAMS: Final = 5_000
SIZE: Final = 300
NODES: Final = 4


@frozen
class Row:
    """One figure. ``least``: at least as much is asked, not at most."""

    name: str
    asked: float | None
    got: float
    unit: str
    least: bool = False

    @property
    def missed(self) -> bool:
        """Whether it is worse than what is asked."""
        if self.asked is None:
            return False
        return self.got < self.asked if self.least else self.got > self.asked


def token() -> Token:
    return new_token(TRUST.path[0], ROOT.seed, CAVEATS, RNG.randbytes)


def newcomer(of: Token, name: str, dh_key: bytes) -> tuple[NodeId, bytes, bytes]:
    """Give id, chain and record of an identity that nobody saw before."""
    key = NodeKey.generate(RNG.randbytes)
    chain = join_chain(of, key.seed, name)
    record = sign_record(
        seed=key.seed,
        mesh_id=TRUST.mesh_id,
        boot=1,
        incarnation=0,
        name=name,
        addresses=[Address("127.0.0.1", 7_946)],
        dh_key=dh_key,
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
    )
    return key.id, chain, record.signed.raw


# --- handshakes


def identity(of: Token, name: str) -> ChannelIdentity:
    """Give who a new member is, as its daemon would tell its channels."""
    private = STATIC
    _, chain, record = newcomer(of, name, dh_public(private))
    return ChannelIdentity(
        mesh_id=TRUST.mesh_id,
        credentials=lambda _: encode_credentials(0, chain, record, wall=WALL),
        authenticate=lambda shown, static, _: verify_credentials_untrusted(shown, static, TRUST, wall=WALL),
        static_private=lambda: private,
        entropy=os.urandom,
    )


async def _shake(ours: list[ChannelIdentity], theirs: list[ChannelIdentity]) -> float:
    """Give the CPU seconds of a handshake for each pair, one after the other, over connections that are there."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()[:2]
    pairs = []
    async with listener:
        for one, other in zip(ours, theirs, strict=True):
            pairs.append((await trio.open_tcp_stream(*address), one, await listener.accept(), other))

    async def dial() -> None:
        for here, one, _, _ in pairs:
            await SecureStream(here, Role.INITIATOR, one).handshake()

    async def accept() -> None:
        for _, _, there, other in pairs:
            await SecureStream(there, Role.RESPONDER, other).handshake()

    gc.collect()
    began = time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        nursery.start_soon(accept)
    took = time.process_time() - began
    for here, _, there, _ in pairs:
        here.socket.close()
        there.socket.close()
    return took


def _curves() -> float:
    """Give the CPU seconds of what no handshake can do without: its curve operations, each side's as it does them."""
    private, public = RNG.randbytes(32), dh_public(RNG.randbytes(32))
    seed, message = RNG.randbytes(32), RNG.randbytes(SIZE)
    verifying, signed = signing_public(seed), sign(seed, message) + message
    began = time.process_time()
    for _ in range(2):
        dh_public(private)
        for _ in range(3):
            dh(private, public)
        for _ in range(2):
            crypto_sign_open(signed, verifying)
    return time.process_time() - began


def handshakes(rounds: int) -> Iterator[Row]:
    of = token()
    rates, curves = [], []
    for _ in range(rounds * 3):
        ours, theirs = ([identity(of, f"web-{n}") for n in range(HANDSHAKES)] for _ in range(2))
        rates.append(HANDSHAKES / trio.run(_shake, ours, theirs))
        curves.append(sum(_curves() for _ in range(HANDSHAKES)) / HANDSHAKES)
    shares = [rate * curve for rate, curve in zip(rates, curves, strict=True)]
    yield Row("handshakes, both sides, unknown peers", 800, statistics.median(rates), "/s", least=True)
    yield Row("... in the best round", None, max(rates), "/s", least=True)
    yield Row("... libsodium's curves alone take of it", None, statistics.median(shares) * 100, "%")
    yield Row("... and at best", None, min(curves) * 1e6, "us")


# --- datagrams


def cost_us(work: Callable[[], object], count: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) / count * 1e6


def _seal(sealer: DatagramSealer, plaintext: bytes, sealed: list[bytes]) -> None:
    for _ in range(DATAGRAMS):
        sealed.append(sealer.seal(plaintext))


def _open(opener: DatagramOpener, sealed: list[bytes]) -> None:
    for each in sealed:
        opener.open_untrusted(each)


def datagrams(rounds: int) -> Iterator[Row]:
    alice, bob = NodeId(b"a" * 32), NodeId(b"b" * 32)
    private, other = bytes([1] * 32), bytes([2] * 32)
    keys = derive_pair_keys(private, dh_public(other), mesh_id=TRUST.mesh_id, own_id=alice, peer_id=bob)
    back = derive_pair_keys(other, dh_public(private), mesh_id=TRUST.mesh_id, own_id=bob, peer_id=alice)
    sealing, opening = [], []
    plaintext = bytes(SIZE)
    for _ in range(rounds * 3):
        sealer = DatagramSealer(
            keys.sealing, own_id=alice, own_generation=1, peer_generation=1, entropy=os.urandom
        )
        opener = DatagramOpener(back.opening, peer_id=alice, peer_generation=1, own_generation=1)
        sealed: list[bytes] = []
        sealing.append(cost_us(partial(_seal, sealer, plaintext, sealed), DATAGRAMS))
        opening.append(cost_us(partial(_open, opener, sealed), DATAGRAMS))
    yield Row("sealing a datagram", 10, statistics.median(sealing), "us")
    yield Row("opening a datagram", 10, statistics.median(opening), "us")


# --- identities


def resident_mib() -> float:
    """Give what this process holds; what is free inside of it counts too, as in a daemon."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def identities(count: int) -> Iterator[Row]:
    """A member shows a whole control plane identities of a stolen token, as many at once as one exchange holds."""
    stage = members.Stage()
    honest_token, stolen = (
        new_token(members.TRUST.path[0], members.ROOT.seed, CAVEATS, RNG.randbytes) for _ in range(2)
    )
    honest = [newcomer(honest_token, f"web-{number}", RNG.randbytes(32)) for number in range(10)]
    alice = stage.alice
    show(stage, honest)
    for number in range(200):  # what any work at all makes a process hold
        newcomer(honest_token, f"web-{number}", RNG.randbytes(32))
    gc.collect()
    before, used, begun = resident_mib(), 0.0, len(alice.members)
    for number in range(0, count, AT_ONCE):
        crowd = [newcomer(stolen, f"web-{number + each}", RNG.randbytes(32)) for each in range(AT_ONCE)]
        used += show(stage, crowd)
        if number % 20_000 < AT_ONCE:
            print(f"  {number} identities", file=sys.stderr, flush=True)
    yield Row(f"memory more after {count:,} identities of one token", 64, resident_mib() - before, "MiB")
    yield Row("... of them admitted", None, len(alice.members) - begun, "")
    lost = sum(node not in alice.members for node, _, _ in honest)
    yield Row("... honest members lost", 0, lost, "")
    late = newcomer(honest_token, "web-late", RNG.randbytes(32))
    show(stage, [late])
    yield Row("... honest newcomers turned away", 0, late[0] not in alice.members, "")
    yield Row("... what each cost us", None, used / count * 1e6, "us")


def show(stage: members.Stage, crowd: list[tuple[NodeId, bytes, bytes]]) -> float:
    """Let Mallory show Alice some identities; give the CPU seconds that it cost Alice."""
    parcels = tuple(Parcel(chain, record) for _, chain, record in crowd)
    request = encode(ExchangeRequest((), parcels))
    began = time.process_time()
    stage.alice.answer_untrusted(stage.peer, request, now=0.0, wall=WALL)
    return time.process_time() - began


# --- the flood


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def sees_others(node: Node) -> bool:
    """Tell whether a node takes all others for alive, itself among its members or not."""
    return list(node.members().values()).count("alive") >= NODES - 1


def flood(seconds: float, per_s: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        mesh = Mesh(said("init", f"{home}/root"))
        mesh.config.write_text("")
        try:
            first = mesh.node("n0").start().ready()
            for number in range(1, NODES):
                mesh.node(f"n{number}", join=first).start().ready()
            eventually(lambda: all(sees_others(node) for node in mesh.nodes))
            assert first.process is not None
            host, _, port = first.listen("mesh").rpartition(":")
            command = [sys.executable, str(HERE.parent / "fuzz" / "junk.py"), host, port]
            subprocess.run([*command, "--seconds", "1"], check=True, capture_output=True)
            before, probed = rss_mib(first.process.pid), first.metric("gossipmesh_probe_rtt_seconds_count")
            command += ["--seconds", str(seconds), "--per-s", str(per_s)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            grown = rss_mib(first.process.pid) - before
            answered = first.metric("gossipmesh_probe_rtt_seconds_count") - probed
            suspected = sum(
                node.log().count('"now":"suspect"') + node.log().count('"now":"dead"') for node in mesh.nodes
            )
        finally:
            mesh.close()
    yield Row(f"junk datagrams sent in {seconds:g} s", 50_000, int(done.stdout) / seconds, "/s", least=True)
    yield Row("... suspicions among honest members", 0, suspected, "")
    yield Row("... the victim's probes that were answered", 0.8 * seconds - 1, answered, "", least=True)
    yield Row("... the victim's memory more", 16, grown, "MiB")


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--identities", type=int, default=100_000)
    parser.add_argument("--flood", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--per-s", type=float, default=55_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [*handshakes(options.rounds), *datagrams(options.rounds)]
    if options.flood:
        rows += flood(options.flood, options.per_s)
    if options.identities:
        rows += identities(options.identities)
    for row in rows:
        asked = "-" if row.asked is None else f"{'>=' if row.least else '<='} {row.asked:,g} {row.unit}"
        print(f"{row.name:52} {asked:>14} {row.got:>12,.1f} {row.unit:4}{' missed' if row.missed else ''}")
    if options.json is not None:
        found: list[dict[str, Any]] = [
            {"name": each.name, "asked": each.asked, "got": each.got, "unit": each.unit} for each in rows
        ]
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if (HERE / "policy.py").exists():
        subprocess.run([sys.executable, str(HERE / "policy.py")], check=True)


if __name__ == "__main__":
    main()

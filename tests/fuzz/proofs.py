"""Whatever a signer may sign: bodies that no decoder could be shown by a stranger, for here each is rightly signed.

A fuzzer that flips bits never gets past a signature. So the input holds bodies, and this file signs them as a token's
holder, a root or a member would who writes whatever it likes. What must hold then is what a signature cannot give:
later blocks only narrow, a record proves nothing beyond its chain, a path of bundles only grows, a charter holds what
its signers may say, versions of it only rise, and nothing but
RemoteProtocolError comes out. The first byte says which kind of object the rest is for.

    proofs.py [CORPUS ...] [-max_total_time=SECONDS ...]
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Final, NoReturn

import msgpack

from fuzzing import fuzz
from gossipmesh import wire
from gossipmesh.config.policy_text import read_policy
from gossipmesh.crypto import blake2b, signing_public
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.accusation import ACCUSATION_LABEL, verify_accusation_untrusted
from gossipmesh.identity.authority import Authority, sign_as_authority
from gossipmesh.identity.block import (
    BLOCK_LABEL,
    FIRST_LINK,
    MAX_BLOCKS,
    Block,
    BlockKind,
    decode_block_untrusted,
    encode_blocks,
)
from gossipmesh.identity.bundle import BUNDLE_LABEL, TrustStore, new_bundle, successor
from gossipmesh.identity.chain import (
    Caveats,
    VerifiedChain,
    chain_hash,
    join_chain,
    verify_chain_untrusted,
)
from gossipmesh.identity.credentials import verify_credentials_untrusted
from gossipmesh.identity.grants import Capability
from gossipmesh.identity.record import RECORD_LABEL, refused_services, sign_record, verify_record_untrusted
from gossipmesh.identity.revocation import REVOCATION_LABEL
from gossipmesh.identity.signed import SKEW_S, seal
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.charter import Charter
from gossipmesh.model import Address
from gossipmesh.policy.document import POLICY_LABEL, Stage, new_document

WALL: Final = 1_700_000_000
DH: Final = b"d" * 32
SEEDS: Final = tuple(blake2b(b"key %d" % number, 32) for number in range(5))
"""The root's, then that of the key which each block in turn is supposed to name."""
BUNDLE: Final = new_bundle([signing_public(SEEDS[0])], default_allow=True)
MESH: Final = BUNDLE.hash
NAMES: Final = ("a", "web", "web-1", "orders", "db-primary", "x" * 63)


@cache
def member() -> VerifiedChain:
    """Give the chain of the node whose key is the last of :data:`SEEDS`."""
    caveats = Caveats(WALL - 300, WALL + 86_400, services=("web*",))
    token = new_token(BUNDLE, SEEDS[0], caveats, Random(7).randbytes)
    return verify_chain_untrusted(join_chain(token, SEEDS[4], "web-1"), TrustStore(BUNDLE), wall=WALL)


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut ``data`` at its own words: a length of two bytes, then as many."""
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : end]
        at = end


def joined(*bodies: bytes) -> bytes:
    """Give what :func:`pieces` cuts."""
    return b"".join(len(body).to_bytes(2, "big") + body for body in bodies)


def run(data: bytes) -> str:
    """Try what one kind of signer can sign; give ``taken`` or the error's code.

    Raises:
        AssertionError: a proof that proves too much. What is no RemoteProtocolError goes through.
    """
    try:
        match data[:1]:
            case b"c":
                _chain(list(pieces(data[1:])))
            case b"r":
                _record(data[1:])
            case b"b":
                _bundles(list(pieces(data[1:])))
            case b"a":
                accusation = verify_accusation_untrusted(
                    seal(ACCUSATION_LABEL, MESH, data[1:], SEEDS[4]).raw, MESH, wall=WALL
                )
                assert accusation.accuser == signing_public(SEEDS[4]) != accusation.subject
                assert abs(accusation.issued_at - WALL) <= 600 + SKEW_S
            case b"o":
                _objects(list(pieces(data[1:])))
            case _:
                _credentials(list(pieces(data[1:])))
    except RemoteProtocolError as error:
        assert "\n" not in str(error), "an error of more than one line"
        return error.code
    return "taken"


def _chain(bodies: list[bytes]) -> None:
    """Sign each body with the key that the one before should name, and verify the row."""
    blocks: list[Block] = []
    link = FIRST_LINK
    for body, seed in zip(bodies, SEEDS, strict=False):
        blocks.append(decode_block_untrusted(seal(BLOCK_LABEL, MESH, body, seed, link=link).raw))
        link = blake2b(link + blocks[-1].signed.body, len(FIRST_LINK))
    raw = encode_blocks(blocks)
    chain = verify_chain_untrusted(raw, TrustStore(BUNDLE), wall=WALL)
    assert chain.raw == raw
    assert 0 < len(blocks) <= MAX_BLOCKS
    kinds = [block.kind for block in blocks]
    first_node = kinds.index(BlockKind.NODE)
    assert kinds[-1] is BlockKind.NODE
    assert BlockKind.DELEGATION not in kinds[first_node:], "a node's key made a token"
    each = [block.restrictions for block in blocks]
    assert chain.grants.expires_at == min(one.expires_at for one in each)
    assert chain.grants.expires_at + SKEW_S >= WALL >= chain.grants.not_before - SKEW_S
    for one in each:
        assert one.caps is None or chain.grants.caps <= one.caps, "a later block widened"
        assert one.groups is None or chain.grants.groups <= one.groups, "a later block widened"
        alone = one.as_grants()
        for name in NAMES:
            assert alone.allows_service(name) or not chain.grants.allows_service(name), "widened"
            assert alone.allows_name(name) or not chain.grants.allows_name(name), "widened"
        # What a revocation may name stays attached.
        assert set(one.token_ids) <= set(chain.token_ids)
        assert set(one.issuers) <= set(chain.issuers)
    needed = [Capability.JOIN] * (first_node > 0) + [Capability.ISSUE] * (len(blocks) - first_node > 1)
    for block, restrictions in zip(blocks, each, strict=True):
        if block is not blocks[-1]:
            assert restrictions.caps is None or set(needed) <= set(restrictions.caps) or first_node == 0


def _record(body: bytes) -> None:
    record = verify_record_untrusted(seal(RECORD_LABEL, MESH, body, SEEDS[4]).raw, member(), MESH, wall=WALL)
    assert (record.id, record.name) == (member().id, "web-1")
    routed = {service.name for service in record.services} - set(refused_services(record, member()))
    assert all(name.startswith("web") for name in routed), "a service outside the token"
    assert record.expires_at - record.issued_at <= 86_400


def _bundles(bodies: list[bytes]) -> None:
    trust = TrustStore(BUNDLE)
    for body in bodies[:8]:
        n, path = trust.n, trust.path
        signer = next((seed for seed in SEEDS if signing_public(seed) in trust.roots), SEEDS[0])
        try:
            news = trust.offer_successor_untrusted(seal(BUNDLE_LABEL, MESH, body, signer).raw)
        except RemoteProtocolError:
            assert trust.path == path
            continue
        assert trust.path[: len(path)] == path
        assert trust.n == n + news
        assert trust.mesh_id == MESH
        assert trust.default_allow


def _credentials(parts: list[bytes]) -> None:
    """Show a record of our own making, with a chain and a rest of anybody's."""
    body, chain, rest = [*parts, b"", b"", b""][:3]
    raw = seal(RECORD_LABEL, MESH, body, SEEDS[4]).raw
    payload = (
        bytes([0x90 + 3 + _elements(rest)])
        + wire.pack(0)
        + wire.pack(chain or member().raw)
        + wire.pack(raw)
        + rest
    )
    trust, learnt = TrustStore(BUNDLE), list[bytes]()
    try:
        peer = verify_credentials_untrusted(payload, DH, trust, wall=WALL, learn=learnt.extend)
    finally:
        # Whoever shows bundles changes nothing by it; those that are handed out follow ours, each signed.
        assert trust.path == (BUNDLE,)
        assert TrustStore(BUNDLE, learnt).n == len(learnt)
    assert peer.id == member().id == peer.record.id
    assert peer.record.dh_key == DH
    assert peer.record.chain_hash == peer.chain.hash == chain_hash(peer.chain.raw)


@cache
def authorities() -> tuple[Authority, ...]:
    """Give a root, a token that may sign all, one that may only revoke, inside of names, and one that may neither."""
    caveats = (
        Caveats(WALL - 300, WALL + 86_400, b"wide----", caps=frozenset(Capability)),
        Caveats(WALL - 300, WALL + 86_400, b"narrow--", names=("db-*",), caps=frozenset({Capability.REVOKE})),
        Caveats(WALL - 300, WALL + 86_400, b"plain---", caps=frozenset({Capability.JOIN})),
    )
    tokens = (new_token(BUNDLE, SEEDS[0], each, Random(8).randbytes) for each in caveats)
    return (Authority(SEEDS[0]), *map(Authority.of_token, tokens))


def _objects(parts: list[bytes], signers: tuple[Authority, ...] | None = None) -> None:
    """Show a charter objects that one of four signed, and see that it holds what they may say and nothing else."""
    charter, made = Charter(TrustStore(BUNDLE), read_policy), 0
    for part in parts[:12]:
        who, kind, body = part[:1] or b"\0", part[1:2], part[2:]
        number = who[0] % len(authorities())
        authority = (signers or authorities())[number]
        label, name = (POLICY_LABEL, "policy") if kind == b"p" else (REVOCATION_LABEL, "revocation")
        before, version = charter.kept(), _version(charter)
        try:
            charter.offer_untrusted(name, sign_as_authority(label, body, authority, MESH), wall=WALL)
        except (RemoteProtocolError, ConfigError) as error:
            assert "\n" not in str(error), "an error of more than one line"
            assert charter.kept() == before, "refused, and yet it changed something"
            continue
        made += 1
        assert number != 3, "taken from who may sign nothing"
        assert name == "revocation" or number != 2, "a policy of who may only revoke"
        assert _version(charter) >= version or name == "revocation", "a version that went back"
    narrow = authorities()[2].seed
    found = charter.revocations.find(member())
    assert found is None or found.signer.key != signing_public(narrow), (
        "a revocation beyond its signer's names"
    )
    held = charter.policy
    assert held is None or charter.revocations.find(held.authorised.signer) is None
    again = Charter(TrustStore(BUNDLE), read_policy)
    again.restore(*charter.kept(), wall=WALL)
    assert again.digest == charter.digest, "another charter after a restart"
    if not made:
        raise TrustError("fuzz.refused", "nothing of it was taken")


def _version(charter: Charter) -> int:
    return 0 if charter.policy is None else charter.policy.document.version


def _shown(record: bytes, *bundles: bytes) -> bytes:
    """Give the pieces of credentials that show bundles."""
    rest = wire.pack(WALL) + wire.pack(1) + wire.pack(bytes(16)) + wire.pack([*bundles])
    return b"".join((joined(record, b""), joined(rest), b""))


def _elements(rest: bytes) -> int:
    """Count what ``rest`` holds, at most twelve, so that the array's head is right for it."""
    unpacker = msgpack.Unpacker(max_buffer_size=4_096, strict_map_key=False)
    unpacker.feed(rest)
    count = 0
    try:
        while count < 12:
            unpacker.skip()
            count += 1
    except (ValueError, msgpack.UnpackException):
        pass
    return max(count, 1)


def examples() -> Iterator[tuple[str, bytes]]:
    """Give inputs that are taken, by name: what a corpus begins with."""
    caps = frozenset({Capability.JOIN, Capability.ISSUE})
    keys = [signing_public(seed) for seed in SEEDS]

    def block(kind: int, number: int, name: bytes, *rest: wire.Value) -> bytes:
        said = rest or ([], [], [], [], [], [])
        return wire.pack([1, kind, keys[number], name, WALL - 300, WALL + 86_400, *said])

    bits = sum(1 << number for number, _ in enumerate(caps))
    first = ([b"token-id"], [[b"web*", b"db"]], [[b"*"]], [[b"ops"]], [bits], [])
    yield "chain", b"c" + joined(block(1, 1, b"", *first), block(2, 2, b"web-1"))
    narrower = ([], [[b"web-*"]], [], [[]], [1], [])
    yield (
        "chain-narrowed",
        b"c" + joined(block(1, 1, b"", *first), block(1, 2, b"", *narrower), block(2, 3, b"web-1")),
    )
    yield (
        "chain-issued",
        b"c" + joined(block(1, 1, b"", *first), block(2, 2, b"issuer"), block(2, 3, b"web-1")),
    )
    yield "chain-root", b"c" + joined(block(2, 1, b"web-1", *first[:5], [keys[3]]))
    record = sign_record(
        seed=SEEDS[4],
        mesh_id=MESH,
        boot=1,
        incarnation=2,
        name="web-1",
        addresses=[Address("192.0.2.1", 7_946)],
        dh_key=DH,
        dh_generation=3,
        chain_hash=member().hash,
        issued_at=WALL,
    ).signed.body
    yield "record", b"r" + record
    yield "credentials", b"w" + joined(record, b"", wire.pack(WALL) + wire.pack(1))
    second = successor(BUNDLE, [keys[0], keys[1]], SEEDS[0])
    third = successor(second, [keys[1]], SEEDS[0], mesh_id=MESH)
    yield "bundles", b"b" + joined(second.signed.body, third.signed.body)
    yield "bundles-shown", b"w" + _shown(record, second.raw)
    word = wire.pack([1, 1, member().id, b"stolen", WALL, WALL + 99, [], 0])
    document = new_document(1, 'default = "deny"\n', signed_at=WALL)
    stages = (Stage(100, 60), Stage(500, 60))
    after = new_document(2, 'default = "allow"\n', signed_at=WALL, stages=stages, return_to=document.hash)
    of_token = wire.pack([1, 2, b"wide----", b"", WALL, WALL + 99, [keys[4]], 1])
    yield (
        "objects",
        b"o" + joined(b"\0p" + document.body, b"\1p" + after.body, b"\2r" + word, b"\0r" + of_token),
    )
    yield "accusation", b"a" + wire.pack([1, keys[4], keys[3], 1, 0, WALL])


def main() -> NoReturn:
    """Fuzz until told to stop."""
    fuzz(run)


if __name__ == "__main__":
    main()

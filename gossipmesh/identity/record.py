"""The member record: what a node says of itself, signed by itself.

Law: only the owner can raise its incarnation, change its services, or say that it leaves; everybody else relays the
bytes as they came. A record is at most 1,100 bytes signed, so that it always fits one gossip datagram, and lives
for 24 hours, so that what nobody refreshes disappears.

Body: ``[1, id, boot, incarnation, name, [[ip, port]...], dh key, dh generation, zone,
[[name, port, protocol, weight, [tag...], healthy]...], serving, chain hash, issued at, expires at, policy]``, the last
being ``[policy version, first 8 bytes of its hash, gate]``, or ``[]`` where none is in effect at the node. Release 0.1,
which knew nothing of policies and revocations, leaves it out: so each member's record tells whether it enforces them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from attrs import field, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.chain import CHAIN_HASH_BYTES, VerifiedChain
from gossipmesh.identity.signed import MAX_WALL, SKEW_S, Signed, decode_signed_untrusted, seal
from gossipmesh.model import (
    ID_BYTES,
    MAX_SERVICES,
    MAX_TAGS,
    MAX_WEIGHT,
    Address,
    NodeId,
    Protocol,
    Service,
    Serving,
)

RECORD_LABEL: Final = b"gossipmesh/record\0"
RECORD_VERSION: Final = 1
MAX_RECORD: Final = 1_100
MAX_ADDRESSES: Final = 4
MAX_GENERATION: Final = 255
MAX_COUNTER: Final = 2**32 - 1
RECORD_LIFETIME_S: Final = 24 * 60 * 60
RECORD_HASH_BYTES: Final = 16
POLICY_PREFIX: Final = 8
MAX_GATE: Final = 127
NO_POLICY: Final = (0, b"", 0)
MALFORMED: Final = "record.malformed"

_PROTOCOLS: Final = (Protocol.HTTP, Protocol.TCP)
_SERVING: Final = (Serving.SERVING, Serving.DRAINING, Serving.LEAVING)


@frozen
class MemberRecord:
    """One member in its own words.

    ``boot`` counts the node's starts and ``incarnation`` its changes since; both are u32. ``issued_at`` and
    ``expires_at`` are unix seconds. A value from :func:`decode_record_untrusted` is a claim; one from
    :func:`verify_record_untrusted` or :func:`sign_record` is proved.
    """

    id: NodeId
    boot: int
    incarnation: int
    name: str
    addresses: tuple[Address, ...]
    dh_key: bytes
    dh_generation: int
    zone: str
    services: tuple[Service, ...]
    serving: Serving
    chain_hash: bytes
    issued_at: int
    expires_at: int
    signed: Signed = field(repr=False)
    policy: tuple[int, bytes, int] = NO_POLICY
    """The version of the policy in effect there (0: none), the first 8 bytes of its hash, and what its gate says."""
    enforces: bool = True
    """Whether its release enforces policies and revocations, and knocks and answers as this one does."""

    @property
    def version(self) -> tuple[int, int]:
        """What orders two records of one id: boot above incarnation."""
        return self.boot, self.incarnation

    @property
    def hash(self) -> bytes:
        """The BLAKE2b-128 of the signed bytes, 16 bytes: tells two records of one version apart."""
        return crypto.blake2b(self.signed.raw, RECORD_HASH_BYTES)


def sign_record(
    *,
    seed: bytes,
    mesh_id: bytes,
    boot: int,
    incarnation: int,
    name: str,
    addresses: Sequence[Address],
    dh_key: bytes,
    dh_generation: int,
    chain_hash: bytes,
    issued_at: int,
    zone: str = "",
    services: Sequence[Service] = (),
    serving: Serving = Serving.SERVING,
    policy: tuple[int, bytes, int] = NO_POLICY,
) -> MemberRecord:
    """Make and sign a node's own record; it lives for 24 hours from ``issued_at``.

    Raises:
        ConfigError: ``record.too-long`` with the byte count, or ``record.invalid``, if others would refuse it.
    """
    unsigned = MemberRecord(
        id=NodeId(crypto.signing_public(seed)),
        boot=boot,
        incarnation=incarnation,
        name=name,
        addresses=tuple(addresses),
        dh_key=dh_key,
        dh_generation=dh_generation,
        zone=zone,
        services=tuple(services),
        serving=serving,
        chain_hash=chain_hash,
        issued_at=issued_at,
        expires_at=issued_at + RECORD_LIFETIME_S,
        signed=Signed(b"", b"", b""),
        policy=policy,
    )
    return _sign(unsigned, seed, mesh_id)


def resign_record(changed: MemberRecord, *, seed: bytes, mesh_id: bytes, issued_at: int) -> MemberRecord:
    """Sign a changed copy of one's own record, as ``attrs.evolve`` made it; its lifetime begins again.

    Raises:
        ConfigError: as :func:`sign_record`.
    """
    fresh = attrs.evolve(changed, issued_at=issued_at, expires_at=issued_at + RECORD_LIFETIME_S)
    return _sign(fresh, seed, mesh_id)


def _sign(record: MemberRecord, seed: bytes, mesh_id: bytes) -> MemberRecord:
    signed = seal(RECORD_LABEL, mesh_id, _encode_body(record), seed)
    if len(signed.raw) > MAX_RECORD:
        raise ConfigError(
            "record.too-long",
            f"this node's record is {len(signed.raw)} bytes, {MAX_RECORD} are allowed: "
            "declare fewer services, or shorter names and tags",
        )
    try:
        # What every other node would refuse is refused here, where somebody can still mend it.
        return decode_record_untrusted(signed.raw)
    except RemoteProtocolError as error:
        raise ConfigError("record.invalid", f"this node's record would be refused: {error}") from None


def _encode_body(record: MemberRecord) -> bytes:
    services: list[wire.Value] = [
        [
            service.name.encode(),
            service.port,
            _PROTOCOLS.index(service.protocol),
            service.weight,
            [tag.encode() for tag in service.tags],
            int(service.healthy),
        ]
        for service in record.services
    ]
    return wire.pack(
        [
            RECORD_VERSION,
            record.id,
            record.boot,
            record.incarnation,
            record.name.encode(),
            [[address.packed, address.port] for address in record.addresses],
            record.dh_key,
            record.dh_generation,
            record.zone.encode(),
            services,
            _SERVING.index(record.serving),
            record.chain_hash,
            record.issued_at,
            record.expires_at,
            [] if record.policy == NO_POLICY else record.policy,
        ]
    )


def decode_record_untrusted(raw: bytes) -> MemberRecord:
    """Give the record that ``raw`` claims to be: structure and ranges only, nothing is proved yet.

    Raises:
        RemoteProtocolError: ``record.malformed``, for any other bytes.
    """
    signed = decode_signed_untrusted(raw, MAX_RECORD, code=MALFORMED)
    body = wire.unpack_untrusted(signed.body, code=MALFORMED, max_bytes=MAX_RECORD)
    fields = wire.Fields(body, code=MALFORMED)
    fields.integer(RECORD_VERSION, RECORD_VERSION)
    record = MemberRecord(
        id=NodeId(fields.binary(ID_BYTES, ID_BYTES)),
        boot=fields.integer(0, MAX_COUNTER),
        incarnation=fields.integer(0, MAX_COUNTER),
        name=fields.name(),
        addresses=tuple(_decode_address(item) for item in fields.array(MAX_ADDRESSES)),
        dh_key=fields.binary(crypto.KEY, crypto.KEY),
        dh_generation=fields.integer(0, MAX_GENERATION),
        zone=fields.name(empty=True),
        services=tuple(_decode_service(item) for item in fields.array(MAX_SERVICES)),
        serving=_SERVING[fields.integer(0, len(_SERVING) - 1)],
        chain_hash=fields.binary(CHAIN_HASH_BYTES, CHAIN_HASH_BYTES),
        issued_at=fields.integer(0, MAX_WALL),
        expires_at=fields.integer(0, MAX_WALL),
        signed=signed,
        enforces=bool(fields.left),
        policy=_decode_policy(fields),
    )
    if not record.addresses:
        raise RemoteProtocolError(MALFORMED, "a record without an address")
    if len({service.name for service in record.services}) < len(record.services):
        raise RemoteProtocolError(MALFORMED, "a record that declares one service twice")
    if not 0 < record.expires_at - record.issued_at <= RECORD_LIFETIME_S:
        raise RemoteProtocolError(MALFORMED, "a record that lives longer than 24 hours, or not at all")
    return record


def _decode_policy(fields: wire.Fields) -> tuple[int, bytes, int]:
    # Earlier releases appended nothing here, and what a later one may put in its place is no reason to refuse it.
    if not fields.left or not fields.next_is_array():
        return NO_POLICY
    policy = fields.fields(wire.MAX_ARRAY)
    if not policy.left:
        return NO_POLICY
    version = policy.integer(0, MAX_COUNTER)
    return version, policy.binary(POLICY_PREFIX, POLICY_PREFIX), policy.integer(0, MAX_GATE)


def _decode_address(item: object) -> Address:
    fields = wire.Fields(item, code=MALFORMED)
    packed = fields.binary(4, 16)
    if len(packed) not in (4, 16):
        raise RemoteProtocolError(MALFORMED, "an IP address is 4 or 16 bytes")
    if not _is_a_hosts(packed):
        raise RemoteProtocolError(
            MALFORMED, "a link-local, multicast or unspecified address, or a mapped one"
        )
    return Address.from_packed(packed, fields.integer(0, 65_535))


def _is_a_hosts(packed: bytes) -> bool:
    """Tell whether an address can be one host's, the same for everybody in the mesh.

    A record makes all members send to its addresses. Link-local ones mean another host to each of them, and the one
    that tells virtual machines their secrets (169.254.169.254); multicast ones mean many hosts at once.
    """
    if len(packed) == 4:
        return packed[0] not in (0, *range(224, 256)) and packed[:2] != b"\xa9\xfe"
    link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
    # Of 0::/96 and ::ffff:0:0/96 only the loopback address is not an IPv4 address in another spelling.
    spelt_otherwise = packed[:10] == bytes(10) and packed[10:12] in (b"\0\0", b"\xff\xff")
    return packed[0] != 0xFF and not link_local and (not spelt_otherwise or packed == bytes(15) + b"\1")


def _decode_service(item: object) -> Service:
    fields = wire.Fields(item, code=MALFORMED)
    name = fields.name()
    port = fields.integer(1, 65_535)
    protocol = _PROTOCOLS[fields.integer(0, len(_PROTOCOLS) - 1)]
    weight = fields.integer(0, MAX_WEIGHT)
    listed = fields.fields(MAX_TAGS)
    tags: list[str] = [listed.name() for _ in range(listed.left)]
    return Service(
        name=name,
        port=port,
        protocol=protocol,
        weight=weight,
        tags=tuple(tags),
        healthy=fields.integer(0, 1) == 1,
    )


def verify_record_untrusted(raw: bytes, chain: VerifiedChain, mesh_id: bytes, *, wall: float) -> MemberRecord:
    """Give the record that ``raw`` proves: signed by the id that ``chain`` admits, under its name, in its time.

    Raises:
        RemoteProtocolError: ``record.malformed``.
        TrustError: as :func:`verify_decoded_record`.
    """
    return verify_decoded_record(decode_record_untrusted(raw), chain, mesh_id, wall=wall)


def verify_decoded_record(
    record: MemberRecord, chain: VerifiedChain, mesh_id: bytes, *, wall: float
) -> MemberRecord:
    """Give ``record`` back, proved. For callers that decoded it first, to find out which chain it needs.

    A service outside the chain's grants is no error of the record: see :func:`refused_services`.

    Raises:
        TrustError: ``record.chain``, ``record.name``, ``record.expired``, ``record.not-yet-valid`` or
            ``record.signature``.
    """
    if record.id != chain.id or record.chain_hash != chain.hash:
        raise TrustError("record.chain", "a record quotes another chain than its node's own")
    if record.name != chain.name:
        raise TrustError("record.name", f"a record says {record.name!r}, its chain {chain.name!r}")
    if wall > record.expires_at + SKEW_S:
        raise TrustError("record.expired", f"the record of {record.name!r} is no longer valid")
    if wall < record.issued_at - SKEW_S:
        raise TrustError("record.not-yet-valid", f"the record of {record.name!r} is from the future")
    if not record.signed.verify(RECORD_LABEL, mesh_id, record.id):
        raise TrustError("record.signature", "a record is not signed by its own id")
    return record


def refused_services(record: MemberRecord, chain: VerifiedChain) -> tuple[str, ...]:
    """Give the services that ``record`` declares outside its chain's grants: no route leads to them."""
    return tuple(s.name for s in record.services if not chain.grants.allows_service(s.name))

"""Join tokens: text that proves itself, narrows offline, and never shows its secret."""

from __future__ import annotations

import base64
import random
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import ConfigError, TrustError
from gossipmesh.identity.block import MAX_BLOCKS, MAX_CHAIN, BlockKind, append_block, encode_blocks
from gossipmesh.identity.bundle import new_bundle, successor
from gossipmesh.identity.chain import join_chain
from gossipmesh.identity.grants import Capability, Caveats, Restrictions
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.signed import MAX_WALL
from gossipmesh.identity.token import (
    MAX_TEXT,
    NODE_ROOM,
    Token,
    check_token_time,
    narrow,
    new_token,
    parse_token,
)

START = 1_767_225_600  # 2026-01-01
END = START + 365 * 86_400
ROOT = NodeKey.from_seed(b"r" * 32)
NEXT = NodeKey.from_seed(b"n" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
ENTROPY = random.Random(7).randbytes


def token(**caveats: object) -> Token:
    return new_token(BUNDLE, ROOT.seed, Caveats(START, END, **caveats), ENTROPY)  # type: ignore[arg-type]


def refusal(text: str) -> TrustError:
    with pytest.raises(TrustError) as caught:
        parse_token(text)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_token_survives_its_text_form() -> None:
    made = token(services=("web-*",), groups=("ops",), caps=frozenset({Capability.JOIN, Capability.ISSUE}))
    assert str(made).startswith("gmt1.")
    assert parse_token(str(made)) == made
    assert parse_token(f"  {made}\n") == made
    assert made.trust().mesh_id == made.mesh_id == BUNDLE.hash


def test_left_out_caveats_are_any_service_any_name_no_groups_and_join() -> None:
    grants = token().grants
    assert grants.allows_service("anything")
    assert grants.allows_name("anyone")
    assert grants.groups == frozenset()
    assert grants.caps == {Capability.JOIN}
    assert (grants.not_before, grants.expires_at) == (START - 300, END)


def test_the_token_id_is_the_one_given_or_a_fresh_one() -> None:
    assert token(token_id=b"12345678").token_ids == (b"12345678",)
    assert token().token_ids != token().token_ids
    narrowed = narrow(token(token_id=b"12345678"), Caveats(START, END, b"abcdefgh"), ENTROPY)
    assert narrowed.token_ids == (b"12345678", b"abcdefgh")


CAVEATS = st.builds(
    Caveats,
    not_before=st.integers(START - 5_000, START + 5_000),
    expires_at=st.integers(END - 5_000, END + 5_000),
    services=st.none() | st.lists(st.text("ab*-", min_size=1, max_size=4), max_size=3).map(tuple),
    names=st.none() | st.lists(st.text("ab*-", min_size=1, max_size=4), max_size=3).map(tuple),
    groups=st.none() | st.lists(st.sampled_from(["x", "y", "z"]), unique=True).map(tuple),
    caps=st.none() | st.frozensets(st.sampled_from(list(Capability))),
)


@settings(max_examples=60)
@given(CAVEATS, CAVEATS, CAVEATS, st.lists(st.text("ab-", min_size=1, max_size=5), min_size=8, max_size=8))
def test_a_later_block_never_widens(
    first: Caveats, second: Caveats, third: Caveats, names: list[str]
) -> None:
    row = [new_token(BUNDLE, ROOT.seed, first, ENTROPY)]
    row.append(narrow(row[-1], second, ENTROPY))
    row.append(narrow(row[-1], third, ENTROPY))
    for before, after in pairwise(row):
        for name in names:
            assert before.grants.allows_service(name) or not after.grants.allows_service(name)
            assert before.grants.allows_name(name) or not after.grants.allows_name(name)
        assert after.grants.groups <= before.grants.groups
        assert after.grants.caps <= before.grants.caps
        assert after.grants.not_before >= before.grants.not_before
        assert after.grants.expires_at <= before.grants.expires_at
    # What the minting side says the token grants is what every verifier finds.
    assert parse_token(str(row[-1])) == row[-1]


def test_every_changed_letter_and_every_truncation_of_the_text_is_refused() -> None:
    text = str(narrow(token(), Caveats(START, END, names=("a*",)), ENTROPY))
    for size in range(len(text)):
        assert refusal(text[:size]).code in {"token.malformed", "token.signature"}
    for index in range(len(text)):
        for bit in range(7):
            letter = chr(ord(text[index]) ^ 1 << bit)
            assert refusal(text[:index] + letter + text[index + 1 :]).code.startswith("token.")


def test_every_bit_flip_of_the_packed_token_is_refused() -> None:
    text = str(token())[5:]
    packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for bit in range(len(packed) * 8):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal("gmt1." + base64.urlsafe_b64encode(flipped).decode().rstrip("="))


def test_what_is_no_token_is_told_in_one_line() -> None:
    assert str(refusal("hello")) == "this is not a join token: it should start with gmt1."
    assert str(refusal("")) == "this is not a join token: it should start with gmt1."
    assert str(refusal("gmt1.")).startswith("this join token is damaged or cut short")
    assert str(refusal("gmt1.a b")).startswith("this join token is damaged or cut short")
    assert str(refusal("gmt1.a")).startswith("this join token is damaged or cut short")
    assert str(refusal("gmt1." + "A" * MAX_TEXT)).startswith("this join token is damaged or cut short")
    assert refusal("gmt1.kA").code == "token.malformed"


def unusual(bundles: list[bytes], blocks: list[bytes], seed: bytes) -> str:
    packed = wire.pack([list(bundles), list(blocks), seed])
    return "gmt1." + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def test_well_formed_tokens_that_prove_nothing_are_refused() -> None:
    made = token()
    raws = [block.signed.raw for block in made.blocks]
    other = new_bundle([NEXT.id], default_allow=True)
    node = append_block(
        made.blocks,
        BlockKind.NODE,
        NEXT.id,
        "node",
        Restrictions(0, END),
        mesh_id=made.mesh_id,
        seed=made.seed,
    )
    assert refusal(unusual([BUNDLE.raw], raws, NEXT.seed)).code == "token.signature"
    assert refusal(unusual([other.raw], raws, made.seed)).code == "token.signature"
    assert refusal(unusual([], raws, made.seed)).code == "token.malformed"
    assert refusal(unusual([BUNDLE.raw], [], made.seed)).code == "token.malformed"
    assert refusal(unusual([BUNDLE.raw], raws * 4, made.seed)).code == "token.malformed"
    assert refusal(unusual([BUNDLE.raw], [b.signed.raw for b in node], NEXT.seed)).code == "token.malformed"


def test_a_token_that_leaves_no_room_for_a_node_is_refused_though_it_is_rightly_signed() -> None:
    globs = tuple(f"{index}-{'a' * 59}*" for index in range(14))
    made = token()
    wide = Restrictions(START, END, services=(globs,))
    blocks = append_block(
        made.blocks, BlockKind.DELEGATION, NEXT.id, "", wide, mesh_id=made.mesh_id, seed=made.seed
    )
    raws = [block.signed.raw for block in blocks]
    assert "leaves no room" in str(refusal(unusual([BUNDLE.raw], raws, NEXT.seed)))


def test_an_expired_or_early_token_parses_and_says_so() -> None:
    made = parse_token(str(token()))
    check_token_time(made, wall=START)
    check_token_time(made, wall=END + 120)
    with pytest.raises(TrustError, match="this token expired on 2027-01-01 00:00 UTC") as late:
        check_token_time(made, wall=END + 121)
    assert late.value.code == "token.expired"
    check_token_time(made, wall=START - 420)
    with pytest.raises(TrustError, match="is the clock right") as early:
        check_token_time(made, wall=START - 421)
    assert early.value.code == "token.not-yet-valid"


def test_a_token_is_narrowed_twice_and_no_more() -> None:
    twice = narrow(narrow(token(), Caveats(START, END), ENTROPY), Caveats(START, END), ENTROPY)
    assert len(twice.blocks) == MAX_BLOCKS - 1
    with pytest.raises(ConfigError) as caught:
        narrow(twice, Caveats(START, END), ENTROPY)
    assert caught.value.code == "token.too-long"


def test_a_token_leaves_room_for_a_node_with_the_longest_name() -> None:
    def stating(count: int) -> Token:
        globs = tuple(f"{index}-{'a' * 59}*" for index in range(count))
        return new_token(BUNDLE, ROOT.seed, Caveats(0, MAX_WALL, services=globs), ENTROPY)

    widest = stating(11)
    with pytest.raises(ConfigError, match="bytes of a node's chain") as caught:
        stating(12)
    assert caught.value.code == "token.too-long"
    size = len(encode_blocks(widest.blocks))
    chain = join_chain(widest, NEXT.seed, "n" * 63)
    assert len(chain) - size <= NODE_ROOM
    assert len(chain) <= MAX_CHAIN


@pytest.mark.parametrize(
    "caveats",
    [
        {"services": ("Web",)},
        {"names": ("a?",)},
        {"groups": ("a b",)},
        {"services": ("a",) * 17},
        {"token_id": b"short"},
    ],
)
def test_caveats_outside_the_grammar_are_a_configuration_error(caveats: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        token(**caveats)
    assert caught.value.code == "token.caveat"


def test_only_a_root_of_the_newest_bundle_makes_tokens_and_they_carry_the_path() -> None:
    second = successor(BUNDLE, [NEXT.id], ROOT.seed)
    made = new_token(BUNDLE, NEXT.seed, Caveats(START, END), ENTROPY, successors=[second])
    parsed = parse_token(str(made))
    assert parsed.mesh_id == BUNDLE.hash
    assert parsed.trust().roots == (NEXT.id,)
    with pytest.raises(ConfigError) as caught:
        new_token(BUNDLE, ROOT.seed, Caveats(START, END), ENTROPY, successors=[second])
    assert caught.value.code == "token.root"


def test_repr_hides_the_secret_and_the_text() -> None:
    made = attrs.evolve(token(), seed=b"secret-secret-secret-secret-1234")
    assert "secret" not in repr(made)
    assert "gmt1." not in repr(made)
    assert "secret" not in repr([made])

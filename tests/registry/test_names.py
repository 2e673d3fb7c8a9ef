"""Names are labels, ids are identity."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.signed import Signed
from gossipmesh.model import Address, NodeId, Serving
from gossipmesh.registry.names import display_names, holders_of


def record(first: str, name: str, issued_at: int = 0) -> MemberRecord:
    """Give a record whose id begins with the hex digits ``first``; nothing here looks at signatures."""
    return MemberRecord(
        id=NodeId(bytes.fromhex(first).ljust(32, b"\0")),
        boot=1,
        incarnation=0,
        name=name,
        addresses=(Address("192.0.2.1", 7946),),
        dh_key=bytes(32),
        dh_generation=0,
        zone="",
        services=(),
        serving=Serving.SERVING,
        chain_hash=bytes(16),
        issued_at=issued_at,
        expires_at=issued_at + 86_400,
        signed=Signed(b"", b"", b""),
    )


def everybody(_: NodeId) -> bool:
    return True


OLD, NEW = record("ff01", "web-1", issued_at=100), record("ab12", "web-1", issued_at=200)


def test_different_names_are_shown_as_they_are() -> None:
    other = record("ab12", "web-2")
    assert display_names([OLD, other], everybody) == {OLD.id: "web-1", other.id: "web-2"}


def test_a_live_holder_keeps_its_name_and_the_newcomer_shows_with_four_digits_of_its_id() -> None:
    assert display_names([NEW, OLD], everybody) == {OLD.id: "web-1", NEW.id: "web-1~ab12"}


def test_the_name_moves_when_its_holder_is_no_longer_live() -> None:
    assert display_names([OLD, NEW], lambda node: node != OLD.id) == {NEW.id: "web-1", OLD.id: "web-1~ff01"}


def test_a_holder_that_signs_anew_stays_the_holder() -> None:
    shown = display_names([OLD, NEW], everybody)
    refreshed = record("ff01", "web-1", issued_at=300)
    assert display_names([refreshed, NEW], everybody, holders=holders_of(shown)) == shown


def test_a_name_that_has_moved_does_not_move_back_while_its_new_holder_lives() -> None:
    moved = display_names([OLD, NEW], lambda node: node != OLD.id)
    assert display_names([OLD, NEW], everybody, holders=holders_of(moved))[NEW.id] == "web-1"


def test_ids_with_the_same_first_digits_show_as_many_as_tell_them_apart() -> None:
    twins = [record("ab12aa", "web-1", issued_at=1), record("ab12bb", "web-1", issued_at=1)]
    shown = display_names([record("00", "web-1"), *twins], everybody)
    assert {shown[twin.id] for twin in twins} == {"web-1~ab12aa00", "web-1~ab12bb00"}


def test_a_lone_dead_member_keeps_its_name() -> None:
    assert display_names([OLD], lambda _: False) == {OLD.id: "web-1"}


records = st.lists(
    st.builds(
        record,
        st.binary(min_size=1, max_size=3).map(bytes.hex),
        st.sampled_from(["web-1", "web-2", "db"]),
        st.integers(0, 3),
    ),
    unique_by=lambda r: r.id,
)


@given(records, st.sets(st.integers(0, 255)), st.randoms(use_true_random=False))
def test_every_id_gets_its_own_name_whatever_the_order_and_a_live_one_comes_first(
    held: list[MemberRecord], dead: set[int], rng: object
) -> None:
    def is_live(node: NodeId) -> bool:
        return node[0] not in dead

    shown = display_names(held, is_live)
    assert set(shown) == {each.id for each in held}
    assert len(set(shown.values())) == len(shown)
    shuffled = list(held)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert display_names(shuffled, is_live) == shown
    for name, holder in holders_of(shown).items():
        claimants = [each.id for each in held if each.name == name]
        assert is_live(holder) or not any(map(is_live, claimants))

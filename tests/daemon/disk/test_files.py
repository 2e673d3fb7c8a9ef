from __future__ import annotations

from pathlib import Path

import pytest

from gossipmesh.daemon.disk.files import damaged, make_private_directory, read_bounded, write_atomically
from gossipmesh.errors import RemoteProtocolError, StateError, TrustError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_written_file_is_the_owners_only_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert (path.read_bytes(), mode(path)) == (b"two", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_a_broken_off_write_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file.tmp").write_bytes(b"half of the n")
    assert read_bounded(tmp_path / "file", most=9) == b"old"
    write_atomically(tmp_path / "file", b"new")
    assert read_bounded(tmp_path / "file", most=9) == b"new"


def test_a_temporary_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "file.tmp").symlink_to(victim)
    write_atomically(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"precious"


def test_a_write_that_cannot_be_done_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="none/file cannot be written: No such file"):
        write_atomically(tmp_path / "none" / "file", b"")


def test_reading_is_bounded_and_gives_none_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_bounded(path, most=3) is None
    path.write_bytes(b"abcd")
    assert read_bounded(path, most=4) == b"abcd"
    with pytest.raises(StateError, match=f"{path} is damaged"):
        read_bounded(path, most=3)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o777])
def test_a_secret_that_others_may_read_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, bits: int
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(bits)
    with pytest.raises(StateError, match=f"chmod 600 {path}"):
        read_bounded(path, most=1, secret=True)
    path.chmod(0o600)
    assert read_bounded(path, most=1, secret=True) == b"x"


def test_a_directory_is_made_for_its_owner_only_and_an_empty_one_closed(tmp_path: Path) -> None:
    make_private_directory(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume").chmod(0o777)
    make_private_directory(tmp_path / "volume")
    assert mode(tmp_path / "volume") == 0o700


def test_a_directory_with_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").touch()
    make_private_directory(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match=f"chmod go-w {tmp_path}"):
        make_private_directory(tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="is a file"):
        make_private_directory(tmp_path / "file")


def test_damage_is_told_in_words_for_people_with_the_file_and_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "chain"
    for why, words in (
        ("it is empty", "it is empty"),
        (TrustError("chain.root", "no root signed it"), "no root signed it"),
        (RemoteProtocolError("chain.malformed", "not a message: ValueError"), "it was cut short or altered"),
    ):
        assert str(damaged(path, why, "join again")) == f"{path} is damaged: {words}; join again"
    assert "restore it" in str(damaged(path, "it is empty"))

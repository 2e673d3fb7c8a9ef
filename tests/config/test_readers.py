from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.config import readers
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address, Protocol


@pytest.mark.parametrize("raw", ["", "Web", "a_b", "a.b", "a" * 64, "x\n", 5, None, ["a"]])
def test_what_is_no_name_is_refused(raw: object) -> None:
    with pytest.raises(ConfigError, match="is not a name"):
        readers.read_name(raw)


@pytest.mark.parametrize(
    ("raw", "least", "most"), [(0, 1, 1000), (1001, 1, 1000), (True, 1, 1000), ("3", 1, 1000)]
)
def test_a_weight_is_a_whole_number_from_1_to_1000(raw: object, least: int, most: int) -> None:
    with pytest.raises(ConfigError, match=f"whole number from {least} to {most}"):
        readers.read_weight(raw)


def test_a_service_listens_on_a_port_that_can_be_found() -> None:
    assert readers.read_service_port(65_535) == 65_535
    with pytest.raises(ConfigError):
        readers.read_service_port(0)


def test_tags_are_at_most_eight_different_names() -> None:
    assert readers.read_tags(["v1", "v2"]) == ("v1", "v2")
    for raw in (["a"] * 2, [f"t{n}" for n in range(9)], "v1", ["V1"]):
        with pytest.raises(ConfigError):
            readers.read_tags(raw)


def test_a_service_speaks_http_or_tcp() -> None:
    assert [readers.read_protocol(word) for word in ("http", "tcp")] == [Protocol.HTTP, Protocol.TCP]
    for raw in ("udp", "HTTP", None, 6):
        with pytest.raises(ConfigError, match="is not one of http, tcp"):
            readers.read_protocol(raw)


def test_names_outside_the_mesh_are_listed_once_and_in_lower_case() -> None:
    raw = ["*.Example.com", "*.example.com", "10.0.0.1"]
    assert readers.read_globs(raw) == ("*.example.com", "10.0.0.1")
    for wrong in ("*.example.com", ["*"], [1], ["a.b"] * (readers.MAX_GLOBS + 1)):
        with pytest.raises(ConfigError):
            readers.read_globs(wrong)


def test_what_a_flag_may_say_of_a_service_is_told_where_it_is_wrong() -> None:
    assert readers.service_of_flag("db=5432,protocol=tcp,tag=a,weight=2") == {
        "name": "db",
        "port": 5432,
        "protocol": "tcp",
        "tags": ["a"],
        "weight": 2,
    }
    with pytest.raises(ConfigError, match="protocol=tcp"):
        readers.service_of_flag("db=5432,proto=tcp")


def test_a_seed_without_a_port_has_the_mesh_port() -> None:
    raw = ["seed", "10.0.0.1:1", "fd00::1", "[fd00::2]:3", "seed:7946", "[fe80::1%lo]:3"]
    assert readers.read_seeds(raw) == (
        "seed:7946",
        "10.0.0.1:1",
        "[fd00::1]:7946",
        "[fd00::2]:3",
        "[fe80::1%lo]:3",
    )


@pytest.mark.parametrize("raw", ["seed", ["seed:0"], ["a b"], ["http://seed"], [""], ["x"] * 65, ["seed:"]])
def test_what_is_no_array_of_seeds_is_refused(raw: object) -> None:
    with pytest.raises(ConfigError):
        readers.read_seeds(raw)


def test_addresses_have_their_usual_host_and_port() -> None:
    assert readers.read_bind("127.0.0.1:0") == Address("127.0.0.1", 0)
    assert readers.read_bind("::") == Address("::", 7946)
    assert readers.read_advertise("10.0.0.1") == Address("10.0.0.1", 0)
    assert readers.read_local_address("4140") == Address("127.0.0.1", 4140)
    assert readers.read_local_address(4140) == Address("127.0.0.1", 4140)
    assert readers.read_local_address("localhost:1") == Address("127.0.0.1", 1)


def test_a_name_cannot_be_bound_and_an_unspecified_address_not_dialled() -> None:
    with pytest.raises(ConfigError, match="not an IP address"):
        readers.read_bind("web.example:7946")
    with pytest.raises(ConfigError, match="that others can dial"):
        readers.read_advertise("0.0.0.0:7946")


def test_a_duration_is_above_zero_and_only_some_may_be_none() -> None:
    assert readers.read_duration("2s") == 2
    assert readers.read_duration_or_none("none") == math.inf
    for raw in ("0s", 2, True, None, "none"):
        with pytest.raises(ConfigError):
            readers.read_duration(raw)


def test_a_size_is_bytes_or_has_a_unit() -> None:
    assert [readers.read_size(raw) for raw in (65_536, "64KiB", "1MiB", "5B")] == [65_536, 65_536, 1 << 20, 5]
    for raw in (0, "64K", "64", -1, 1.5, "9GiB"):
        with pytest.raises(ConfigError):
            readers.read_size(raw)


def test_a_service_flag_stands_for_a_table() -> None:
    assert readers.service_of_flag("hello=8080") == {"name": "hello", "port": 8080, "tags": []}
    assert readers.service_of_flag("hello=localhost:80,weight=3,tag=a,tag=b") == {
        "name": "hello",
        "port": 80,
        "weight": 3,
        "tags": ["a", "b"],
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "169.254.169.254", "web.example", "[::1]"])
def test_a_service_can_only_be_on_loopback_and_the_error_says_why(host: str) -> None:
    with pytest.raises(ConfigError, match="so that nobody gets to it around the mesh"):
        readers.service_of_flag(f"hello={host}:80")


@pytest.mark.parametrize(
    "text", ["hello", "hello=", "hello=x", "hello=80,weigth=2", "hello=80,tag", "hello=80,"]
)
def test_a_service_flag_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        readers.service_of_flag(text)


@given(st.text(max_size=40))
def test_flags_give_a_table_or_one_kind_of_error(text: str) -> None:
    for read in (readers.service_of_flag, readers.upstream_of_flag):
        try:
            assert isinstance(read(text), dict)
        except ConfigError as error:
            assert "\n" not in str(error)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
READERS = [value for value in vars(readers).values() if isinstance(value, readers.Reader)]


@pytest.mark.parametrize("reader", READERS)
@given(raw=ANYTHING)
def test_every_reader_gives_a_value_or_one_line_of_error(reader: readers.Reader, raw: object) -> None:
    try:
        reader.show(reader.read(raw))
    except ConfigError as error:
        assert str(error).isprintable()

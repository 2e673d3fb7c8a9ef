from __future__ import annotations

from pathlib import Path

import pytest

from gossipmesh.config.health import read_health, show_health
from gossipmesh.config.load import Loaded, load
from gossipmesh.errors import ConfigError
from gossipmesh.routing.checks import LISTENS, CommandCheck, HealthCheck, HttpCheck, TcpCheck

FULL = (
    '{ http = "/healthz", expect = [200, "301-302"], interval = "5s", timeout = "500ms", rise = 3, fall = 4 }'
)


def loaded(tmp_path: Path, health: str) -> Loaded:
    file = tmp_path / "mesh.toml"
    file.write_text(f'[[service]]\nname = "hello"\nport = 80\nhealth = {health}\n')
    return load(file, {}, {}, host_name="host", root=False)


def from_flag(option: str) -> HealthCheck | None:
    return load(None, {}, {"service": [f"hello=80{option}"]}, root=False).config.services[0].health


def test_all_of_it_can_be_said(tmp_path: Path) -> None:
    (service,) = loaded(tmp_path, FULL).config.services
    assert service.health == HealthCheck(
        HttpCheck("/healthz", ((200, 200), (301, 302))), interval_s=5.0, timeout_s=0.5, rise=3, fall=4
    )


def test_little_needs_to_be_said(tmp_path: Path) -> None:
    for health, method in (
        ('{ http = "/" }', HttpCheck("/")),
        ('{ http = "/", expect = "200-299" }', HttpCheck("/")),
        ('{ http = "/", expect = 204 }', HttpCheck("/", ((204, 204),))),
        ("{ tcp = true }", TcpCheck()),
        ('{ command = ["/bin/check", "arg"] }', CommandCheck(("/bin/check", "arg"))),
    ):
        assert loaded(tmp_path, health).config.services[0].health == HealthCheck(method)


def test_where_nothing_is_said_somebody_has_to_listen_and_off_is_off(tmp_path: Path) -> None:
    assert from_flag("") == LISTENS
    assert loaded(tmp_path, '"off"').config.services[0].health is None


def test_flags_say_it_in_short() -> None:
    assert from_flag(",health=/healthz?x=1,weight=2") == HealthCheck(HttpCheck("/healthz?x=1"))
    assert from_flag(",health=tcp") == HealthCheck(TcpCheck())
    assert from_flag(",health=off") is None


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("health=bad", '"health=bad" is not health=/PATH, health=tcp or health=off'),
        ("weight=0", "weight: 0 is not a whole number from 1 to 1000"),
        ("health=", '"health=" is not health=/PATH, health=tcp or health=off'),
        ("health=/a b", 'health: http: "/a b" is not a path such as "/healthz"'),
    ],
)
def test_what_is_wrong_in_a_flag_is_said_with_what_to_write(option: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as info:
        from_flag(f",{option}")
    assert str(info.value).startswith(f"--service: {complaint}")


@pytest.mark.parametrize(
    ("health", "complaint"),
    [
        ("true", "true is not a health check: { http = "),
        ("{}", "{} is not a health check: { http = "),
        ('{ interval = "1s" }', '{"interval": "1s"} is not a health check: { http = '),
        ('{ http = "/", tcp = true }', "http and tcp are both there; keep one of them"),
        ('{ tcp = true, command = ["x"] }', "tcp and command are both there; keep one of them"),
        ("{ tcp = false }", 'tcp: write true; for no check at all, write health = "off"'),
        (
            '{ http = "healthz" }',
            'http: "healthz" is not a path such as "/healthz": it begins with / and has no blanks',
        ),
        (
            '{ http = "/a b" }',
            'http: "/a b" is not a path such as "/healthz": it begins with / and has no blanks',
        ),
        (
            '{ http = "/a#b" }',
            'http: "/a#b" is not a path such as "/healthz": it begins with / and has no blanks',
        ),
        ('{ http = "http://x/" }', 'http: "http://x/" is not a path such as'),
        ('{ http = "/", expect = [] }', "expect: [] is not 1 to 16 statuses"),
        (
            '{ http = "/", expect = 100 }',
            'expect: 100 is not a status from 200 to 599, or a range such as "200-299"',
        ),
        ('{ http = "/", expect = "299-200" }', 'expect: "299-200" is not a status from 200 to 599'),
        ('{ http = "/", expect = "2xx" }', 'expect: "2xx" is not a status from 200 to 599'),
        ('{ http = "/", expect = [true] }', "expect: true is not a status from 200 to 599"),
        ("{ tcp = true, expect = 200 }", "expect is for http checks, not for tcp; drop it"),
        ("{ tcp = true, rise = 0 }", "rise: 0 is not a whole number from 1 to 100"),
        ("{ tcp = true, fall = 101 }", "fall: 101 is not a whole number from 1 to 100"),
        ("{ tcp = true, fall = true }", "fall: true is not a whole number from 1 to 100"),
        ("{ tcp = true, interval = 2 }", 'interval: 2 has no unit; write "2s" or "2ms"'),
        ('{ tcp = true, interval = "99ms" }', 'interval: "99ms" is not a duration of 100ms or more'),
        ('{ tcp = true, timeout = "0s" }', 'timeout: "0s" is not a duration above zero'),
        ("{ tcp = true, intervall = 2 }", "there is no key intervall; did you mean interval?"),
        ('{ command = "x" }', 'command: "x" is not an array of a program and its arguments'),
        ("{ command = [] }", "command: [] is not an array of a program and its arguments"),
        ('{ command = [""] }', 'command: [""] is not a program and its arguments: the program is empty'),
        ('{ command = ["x", 1] }', "command: 1 is not a string"),
        (
            '{ command = ["x", "a\\u0000b"] }',
            'command: "a\\u0000b" is not a string that a program can be given',
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, health: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as info:
        loaded(tmp_path, health)
    assert str(info.value).startswith(f"{tmp_path / 'mesh.toml'}: service[0].health: {complaint}")


@pytest.mark.parametrize("half", ["\ud800", "a\udc80"])
def test_half_a_character_which_json_may_have_is_nothing_that_a_program_can_be_given(half: str) -> None:
    for command in ([half], ["/bin/true", half]):
        with pytest.raises(ConfigError, match="is not a string that a program can be given"):
            read_health({"command": command})


@pytest.mark.parametrize(
    "health", [FULL, '{ http = "/" }', "{ tcp = true }", '{ command = ["x", "y"] }', '"off"']
)
def test_what_is_shown_can_be_read_again(tmp_path: Path, health: str) -> None:
    given = loaded(tmp_path, health)
    (shown,) = given.describe()["service"]["value"]  # type: ignore[misc]
    assert read_health(shown["health"]) == given.config.services[0].health
    assert show_health(read_health(shown["health"])) == shown["health"]

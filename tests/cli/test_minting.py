from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from gossipmesh.cli.minting import YEAR_S, any_node, caveats_of, mint, with_ttl
from gossipmesh.daemon.disk.root import make_root
from gossipmesh.identity.bundle import successor
from gossipmesh.identity.token import parse_token


def test_what_no_flag_states_is_left_unsaid() -> None:
    caveats = caveats_of(services=(), names=(), groups=(), caps=(), expires_at=20.9, wall=10.9)
    assert (caveats.not_before, caveats.expires_at) == (10, 20)
    assert (caveats.services, caveats.names, caveats.groups, caveats.caps) == (None, None, None, None)


def test_a_token_carries_every_bundle_of_its_mesh() -> None:
    root = make_root(lambda size: b"r" * size, default_allow=True)
    first = root.trust.path[0]
    root.trust.offer_successor_untrusted(successor(first, first.roots, root.seed).raw)
    token = parse_token(str(mint(root, any_node(1_900_000_000.0))))
    assert [bundle.n for bundle in token.bundles] == [0, 1]
    assert token.grants.expires_at == 1_900_000_000 + YEAR_S


@pytest.mark.parametrize("text", ["0s", "0.5s", "999ms"])
def test_a_token_that_never_was_valid_is_wrong_usage(text: str) -> None:
    @click.command()
    @with_ttl("1s", "How long.")
    def show(ttl_s: float) -> None:
        click.echo(ttl_s)

    result = CliRunner().invoke(show, ["--ttl", text])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Invalid value for '--ttl': {text} is no time" in result.stderr
    assert CliRunner().invoke(show, []).stdout == "1.0\n"

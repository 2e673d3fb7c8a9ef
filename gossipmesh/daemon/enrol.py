"""Who this daemon is in which mesh, settled before it opens a socket: from its state directory, a token, or anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from gossipmesh.config.model import NodeConfig
from gossipmesh.daemon.root import MeshRoot, make_root
from gossipmesh.daemon.state import StateDirectory
from gossipmesh.errors import ConfigError, TrustError
from gossipmesh.identity.block import decode_blocks_untrusted
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.grants import Capability, Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.token import Token, check_token_time, parse_token

YEAR_S: Final = 365 * 86_400


@frozen
class Enrolment:
    """What the control plane needs to know of this node, and whether it just started a mesh of its own."""

    key: NodeKey
    trust: TrustStore
    chain: VerifiedChain
    boot: int
    root_seed: bytes | None = field(repr=False)
    founded: bool


def enrol(
    state: StateDirectory,
    config: NodeConfig,
    token_text: str | None,
    entropy: Callable[[int], bytes],
    *,
    named: bool,
    wall: float,
) -> Enrolment:
    """Settle this node's identity; what is new is on the disk when this returns.

    A node that has joined needs no token. With one, it takes a new chain under the same key where its chain has
    expired or is for another name. With neither state, token nor seeds it founds a mesh.

    Args:
        state: where it is kept.
        config: how the node is called and whom it joins.
        token_text: the join token, or None.
        entropy: gives random bytes.
        named: whether somebody chose the name. One taken from the host's name gives way to the name in the chain:
            a container that is made anew has another host name every time.
        wall: Unix seconds.

    Raises:
        ConfigError: ``up.token``, where a token is needed and none is given.
        TrustError: ``token.*`` or ``chain.*``, where what is given does not prove membership now.
        StateError: as the state directory says, ``state.other-mesh`` among them.
    """
    token = None if token_text is None else parse_token(token_text)
    if token is not None:
        state.check_mesh(token.mesh_id)
        check_token_time(token, wall=wall)
    key = state.load_or_make_key(entropy)
    trust = state.load_trust()
    raw = state.load_chain()
    name = config.name if named or raw is None else decode_blocks_untrusted(raw)[-1].name
    founded = trust is None and token is None and not config.join
    if trust is None:
        trust = _first_trust(state, config, token, entropy)
    root_seed = state.load_root_key()
    if raw is None or _needs_new_chain(raw, trust, name, has_means=bool(token or root_seed), wall=wall):
        if token is None and root_seed is not None:
            caveats = Caveats(int(wall), int(wall) + YEAR_S, caps=frozenset(Capability))
            token = MeshRoot(root_seed, trust).mint(caveats, entropy)
        if token is None:
            raise ConfigError("up.token", f"{state.path} holds no membership yet; give --token-file FILE")
        raw = join_chain(token, key.seed, name)
        state.save_chain(raw)
    chain = verify_chain_untrusted(raw, trust, wall=wall)
    if chain.id != key.id:
        raise TrustError(
            "chain.owner", f"{state.path} holds the chain of another key; restore the directory whole"
        )
    if chain.name != name:
        text = f"this node joined as {chain.name!r}; to call it {name!r}, give a token again"
        raise ConfigError("up.name", text)
    return Enrolment(key, trust, chain, state.next_boot(), root_seed, founded)


def _first_trust(
    state: StateDirectory, config: NodeConfig, token: Token | None, entropy: Callable[[int], bytes]
) -> TrustStore:
    if token is not None:
        trust = token.trust()
    elif config.join:
        text = f"to join {config.join[0]} a token is needed: --token-file FILE, or GOSSIPMESH_TOKEN"
        raise ConfigError("up.token", text)
    else:
        root = make_root(entropy, default_allow=True)
        trust = root.trust
        state.save_root_key(root.seed)
    state.save_trust(trust)
    return trust


def _needs_new_chain(raw: bytes, trust: TrustStore, name: str, *, has_means: bool, wall: float) -> bool:
    """Tell whether the chain on disk no longer does and there is something to make another from."""
    if not has_means:
        return False
    try:
        return verify_chain_untrusted(raw, trust, wall=wall).name != name
    except TrustError as error:
        if error.code == "chain.expired":
            return True
        raise

"""Who this daemon is in which mesh, settled before it opens a socket: from its state directory, a token, or anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from gossipmesh import crypto
from gossipmesh.config.model import NodeConfig
from gossipmesh.daemon.disk.root import MeshRoot, make_root, token_of_text
from gossipmesh.daemon.disk.state import StateDirectory, has_identity
from gossipmesh.errors import ConfigError, MeshError, RemoteProtocolError, StateError, TrustError
from gossipmesh.identity.block import decode_blocks_untrusted
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.grants import Capability, Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.renewal import renewal_overdue
from gossipmesh.identity.token import Token, check_token_time
from gossipmesh.model import day

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
    fresh: bool
    """Whether it had no chain before: it has never been in this mesh."""
    unused: str = ""
    """Why a token that was given was not used, and how it would be; empty: none was, or it is the chain's own."""


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

    A node that has joined needs no token. With one, or with the mesh's root key, it takes a new chain under the same
    key where its chain has expired or is about to, is damaged, is for another name, or hangs on an older root. With
    neither state, token nor seeds it founds a mesh.

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
    token = None if token_text is None else token_of_text(token_text)
    if token is not None:
        state.check_mesh(token.mesh_id)
        check_token_time(token, wall=wall)
    key = state.load_or_make_key(entropy)
    trust = state.load_trust()
    founded = trust is None and token is None and not config.join
    if trust is None:
        trust = _first_trust(state, config, token, entropy)
    if token is not None:
        _catch_up(state, trust, token)
    root_seed = state.load_root_key()
    fresh = not has_identity(state.path)
    kept = _kept_chain(state, trust, key, wall=wall)
    name = config.name if named or kept.name is None else kept.name
    chain = kept.chain
    stale = chain is not None and _is_stale(chain, trust, token, root_seed, wall=wall)
    unused = ""
    if (token is not None or root_seed is not None) and (chain is None or chain.name != name or stale):
        if token is None and root_seed is not None:
            caveats = Caveats(int(wall), int(wall) + YEAR_S, caps=frozenset(Capability))
            token = MeshRoot(root_seed, trust).mint(caveats, entropy)
        assert token is not None
        raw = join_chain(token, key.seed, name)
        chain = verify_chain_untrusted(raw, trust, wall=wall)
        state.save_chain(raw)
    elif token is not None and chain is not None:
        unused = _why_unused(state, token, chain)
    if chain is None:
        raise kept.problem
    if chain.name != name:
        text = f"this node joined as {chain.name!r}; to call it {name!r}, give a token again"
        raise ConfigError("up.name", text)
    return Enrolment(key, trust, chain, state.next_boot(), root_seed, founded, fresh, unused)


def _is_stale(
    chain: VerifiedChain, trust: TrustStore, token: Token | None, root_seed: bytes | None, *, wall: float
) -> bool:
    """Tell whether a good chain should give way to one that the token, or the root key, would make."""
    on_newest = (token is not None and token.root == trust.newest_root) or (
        root_seed is not None and crypto.signing_public(root_seed) == trust.newest_root
    )
    lasts_longer = token is not None and token.grants.expires_at > chain.grants.expires_at
    return (on_newest and chain.root != trust.newest_root) or (lasts_longer and renewal_overdue(chain, wall))


def _why_unused(state: StateDirectory, token: Token, chain: VerifiedChain) -> str:
    # A unit file names the token at every start; that is nothing to talk about.
    if set(token.token_ids) <= set(chain.token_ids):
        return ""
    return (
        f"the token given ({token.token_ids[-1].hex()}) is not used: this node has a chain that is good until "
        f"{day(chain.grants.expires_at)}, and what that allows holds. To have what the token allows, stop the node, "
        f"remove the file `chain` from {state.path} and start it with the token again; it keeps its id"
    )


def _catch_up(state: StateDirectory, trust: TrustStore, token: Token) -> None:
    """Take the mesh's newer roots from a token: a node that slept through their replacement hears of them here.

    Raises:
        TrustError: ``bundle.conflict``, or ``token.root`` for a token of a root that was dropped since.
    """
    news = [trust.offer_successor_untrusted(bundle.raw) for bundle in token.bundles[1:]]
    if any(news):
        state.save_trust(trust)
    if token.root not in trust.roots:
        text = "this token hangs on a root that the mesh has replaced: make another with gossipmesh token new"
        raise TrustError("token.root", text)


def _first_trust(
    state: StateDirectory, config: NodeConfig, token: Token | None, entropy: Callable[[int], bytes]
) -> TrustStore:
    if token is not None:
        trust = token.trust()
    elif has_identity(state.path):
        # Not founding a mesh here: this node has one, and has only lost what names it.
        raise state.damaged_trust("it is missing beside a chain")
    elif config.join:
        text = f"to join {config.join[0]} a token is needed: --token-file FILE, or GOSSIPMESH_TOKEN"
        raise ConfigError("up.token", text)
    else:
        root = make_root(entropy, default_allow=True)
        trust = root.trust
        state.save_root_key(root.seed)
    state.save_trust(trust)
    return trust


@frozen
class _Kept:
    """The chain on the disk, where it proves membership now, or the error to give where nothing can replace it.

    ``name`` is what the chain calls this node, where its signatures hold, be it expired or not.
    """

    problem: MeshError
    chain: VerifiedChain | None = None
    name: str | None = None


def _kept_chain(state: StateDirectory, trust: TrustStore, key: NodeKey, *, wall: float) -> _Kept:
    """Look at the chain on the disk.

    Raises:
        TrustError: ``chain.not-yet-valid``: our clock is wrong, and a new chain would not help.
        StateError: ``state.read``.
    """
    nothing = ConfigError("up.token", f"{state.path} holds no membership yet; give --token-file FILE")
    try:
        raw = state.load_chain()
    except StateError as error:
        if error.code != "state.damaged":
            raise
        return _Kept(error)
    if raw is None:
        return _Kept(nothing)
    try:
        chain = verify_chain_untrusted(raw, trust, wall=wall)
    except RemoteProtocolError as error:
        if error.code == "chain.not-yet-valid":
            raise
        if error.code == "chain.root" and trust.n > 0:
            text = "this node's chain hangs on a root that the mesh has replaced; give a new token: --token-file FILE"
            return _Kept(TrustError(error.code, text), name=decode_blocks_untrusted(raw)[-1].name)
        if error.code == "chain.expired":
            problem = TrustError(error.code, f"{error}; give a token again: --token-file FILE")
            return _Kept(problem, name=decode_blocks_untrusted(raw)[-1].name)
        return _Kept(state.damaged_chain(error))
    if chain.id != key.id:
        return _Kept(state.damaged_chain("it is the chain of another key"))
    return _Kept(nothing, chain, chain.name)

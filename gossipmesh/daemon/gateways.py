"""The gateways of one node: their listeners, and their certificates, which are read again when they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import trio

from gossipmesh.config.model import GatewayConfig
from gossipmesh.daemon.ports import listen
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address
from gossipmesh.proxy.gateway import Gate
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.routes import Routes
from gossipmesh.transport.tls import Certificate

REFRESH_S: Final = 1.0
"""Between two looks at a certificate's files."""


class Gateways:
    """What strangers reach of this node.

    Each gateway has limits of its own, as many connections and requests as the proxy of the local apps has: however
    many strangers come, there is room for those.

    Args:
        configs: one for each listener.
        ports: what the proxy is connected to.
        log: is told of certificates.

    Raises:
        ConfigError: ``tls.files``, for a certificate that cannot be used.
    """

    def __init__(self, configs: Sequence[GatewayConfig], ports: OutboundPorts, log: Log) -> None:
        self._log = log
        self._certificates: list[Certificate] = []
        self._gateways = [(config, self._make(config, ports)) for config in configs]
        self.bound: tuple[Address, ...] = ()
        """Where they listen, once :meth:`start` is done."""
        self._ending_since = -math.inf

    def _make(self, config: GatewayConfig, ports: OutboundPorts) -> Outbound:
        certificate = None
        if config.tls is not None:
            certificate = Certificate(config.tls.cert, config.tls.key)
            self._certificates.append(certificate)
        scheme = "http" if certificate is None else "https"
        gate = Gate(
            Routes(config.routes),
            scheme=scheme,
            trusted_hops=config.trusted_hops,
            trusted_headers=config.trusted_headers,
        )
        return Outbound(ports, gate=gate, wrap=None if certificate is None else certificate.wrap)

    async def start(self, nursery: trio.Nursery) -> None:
        """Listen.

        Raises:
            ConfigError: an address cannot be bound.
        """
        for config, outbound in self._gateways:
            address = config.listen
            bound = await listen(nursery, outbound.serve, address, "gateway.listen", address)
            self.bound = (*self.bound, bound)
            tls = config.tls is not None
            self._log.info("gateway", listen=str(bound), tls=tls, routes=len(config.routes))
        if self._certificates:
            nursery.start_soon(self._keep_fresh)

    async def _keep_fresh(self) -> None:
        """Read certificates again as they change; one that cannot be used is said once, and the last good one stays."""
        said: dict[Certificate, str] = {}
        while True:
            await trio.sleep(REFRESH_S)
            for each in self._certificates:
                try:
                    # Files may lie on a disk that does not answer.
                    changed = await trio.to_thread.run_sync(each.refresh, abandon_on_cancel=True)
                except ConfigError as error:
                    if said.get(each) != str(error):
                        said[each] = str(error)
                        self._log.warning(error.code, detail=f"{error}; the last good one stays in use")
                else:
                    if changed:
                        said.pop(each, None)
                        self._log.info("gateway.certificate", detail="a certificate was read again")

    @property
    def in_flight(self) -> int:
        """Requests of strangers that are not over."""
        return sum(outbound.in_flight for _, outbound in self._gateways)

    def end_connections(self) -> None:
        """End each connection with its next answer."""
        self._ending_since = trio.current_time()
        for _, outbound in self._gateways:
            outbound.end_connections()

    async def finish(self) -> None:
        """Take no more connections once whoever is in front has had its time, and return when nothing is in flight."""
        async with trio.open_nursery() as nursery:
            for config, outbound in self._gateways:
                nursery.start_soon(self._finish, outbound, self._ending_since + config.drain_delay_s)

    async def _finish(self, outbound: Outbound, closes_at: float) -> None:
        await trio.sleep_until(closes_at)
        outbound.stop_accepting()
        await outbound.wait_idle()

    def end_idle(self) -> None:
        """Take no more connections, and close those that carry no request."""
        for _, outbound in self._gateways:
            outbound.stop_accepting()
            outbound.end_idle()

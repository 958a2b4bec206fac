"""The port pool, from the options."""

from __future__ import annotations

from dataclasses import replace

from router.admission.pool import PortPool
from router.cli.named_addresses import check_known
from router.cli.run_settings import RunSettings
from router.cli.stand_in import stand_in
from router.settings import AdmissionSettings, PortRanges, RenderSettings


def with_stand_in(settings: RenderSettings, options: RunSettings) -> RenderSettings:
    """Give settings with what sockets show that are nobody's yet, if there are to be any."""
    return replace(settings, stand_in=stand_in().certificate.pem) if options.mtls_pool else settings


def pool_of(options: RunSettings, admission: AdmissionSettings) -> PortPool:
    """Make the pool.

    Raises:
        SettingsError: it has ports that no Route can have, or is of an address that there is not.
    """
    check_known("--address-port-pool", (name for name, _ in options.address_port_pool), admission.addresses)
    of_addresses: dict[str, PortRanges] = {}
    for name, ranges in options.address_port_pool:
        of_addresses[name] = of_addresses.get(name, PortRanges(())) | options.allowed("--address-port-pool", ranges)
    ports = options.allowed("--port-pool", options.port_pool)
    shown = stand_in() if options.tls_pool else None
    return PortPool(
        ports, options.sni_pool, admission.defaults, of_addresses, admission.overlapping, options.tls_pool, shown
    )

"""The port pool, from the options."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from router.admission.pool import PortPool
from router.cli.bases import common_bases
from router.cli.named_addresses import check_known
from router.cli.run_settings import RunSettings
from router.cli.stand_in import stand_in
from router.errors import SettingsError
from router.haproxy.process.binary import HaproxyBinary
from router.reconcile.filling import Filling, spare_ports
from router.reconcile.state_dir import StateDir
from router.settings import AdmissionSettings, PortRanges, RenderSettings, RouteDefaults


def in_advance(
    settings: RenderSettings, options: RunSettings, defaults: RouteDefaults, binary: HaproxyBinary
) -> RenderSettings:
    """Give settings with what backends can take up that are added while HAProxy runs, and what sockets show that are nobody's yet, if there are to be any."""
    shown = stand_in().certificate.pem if options.mtls_pool else settings.stand_in
    return replace(settings, stand_in=shown, bases=common_bases(binary, defaults))


def filling_of(options: RunSettings, admission: AdmissionSettings, state: StateDir, stack: ExitStack) -> Filling | None:
    """Give what keeps a pool that sizes itself, until what is on the stack is undone; None where an admin says what is in it.

    Raises:
        SettingsError: there are no ports to choose from.
    """
    if options.port_pool != "auto":
        return None
    if not admission.auto_ports.ranges:
        raise SettingsError(
            "--port-pool auto takes its ports from --auto-ports, which has none; name them there, or write the ports of the pool themselves"
        )
    filling = Filling(spare_ports(admission.auto_ports, state.busiest_hours), state.busiest_hours)
    stack.callback(filling.keep)
    return filling


def pool_of(options: RunSettings, admission: AdmissionSettings, filling: Filling | None = None) -> PortPool:
    """Make the pool.

    Args:
        options: say how large it is.
        admission: says which ports there are.
        filling: chooses ports beside.

    Raises:
        SettingsError: it has ports that no Route can have, or is of an address that there is not.
    """
    check_known("--address-port-pool", (name for name, _ in options.address_port_pool), admission.addresses)
    of_addresses: dict[str, PortRanges] = {}
    for name, ranges in options.address_port_pool:
        of_addresses[name] = of_addresses.get(name, PortRanges(())) | options.allowed("--address-port-pool", ranges)
    ports = options.port_pool if options.port_pool != "auto" else PortRanges(())
    return PortPool(
        options.allowed("--port-pool", ports),
        options.sni_pool,
        admission.defaults,
        of_addresses,
        admission.overlapping,
        options.tls_pool,
        stand_in() if options.tls_pool else None,
        filling.spare if filling is not None else None,
    )

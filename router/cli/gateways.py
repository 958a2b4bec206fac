"""What reports on the Gateway API, put together; on first use, for most routers serve no Gateways."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from ipaddress import ip_address

from router.cli.named_addresses import addresses_of
from router.cli.run_settings import RunSettings
from router.kube.api import Api
from router.status.events import EventSender
from router.status.gateway import Facts
from router.status.gateway_writer import GatewayWriter
from router.status.precedence import Precedence
from router.status.route import Identity


def gateway_writer(
    options: RunSettings, api: Api, is_leader: Callable[[], bool], precedence: Precedence
) -> GatewayWriter:
    """Make what writes the statuses of Gateways and of all that belongs to them."""
    bound = tuple(ip for ip in options.bind_addresses if not ip_address(ip).is_unspecified)
    own = options.host_ips if options.host_network else options.pod_ips
    facts = Facts(
        controller=options.gateway_controller,
        hostname=options.canonical_hostname or "",
        addresses=addresses_of(options.addresses, options.ip_mode),
        ips=bound or own,
        ends_tls=options.gateway_certificates,
    )
    identity, pod = Identity(options.router_name), socket.gethostname()
    events = EventSender(api, identity, pod, clock=time.monotonic, wall_clock=time.time)
    return GatewayWriter(api, facts, is_leader, events=events, precedence=precedence)

"""The options that tell a router of its own addresses, where nobody else does."""

from __future__ import annotations

from router.cli.options import option
from router.cli.run_settings import RunSettings
from router.cli.types import AddressListType
from router.cluster.machine import Machine

OWN_ADDRESSES = (
    option("--pod-ips", env="POD_IPS", type=AddressListType(), default="", show_default="none",
           help="Addresses of the pod that this process is in, with commas between."),
    option("--host-ips", env="HOST_IPS", type=AddressListType(), default="", show_default="none",
           help="Addresses of the node that this process is on, with commas between."),
)  # fmt: skip


def machine_of(options: RunSettings) -> Machine:
    """Make what knows the addresses of this process."""
    return Machine((*options.pod_ips, *options.host_ips), listens_everywhere=options.listens_everywhere)

"""Where the router is: the options that tell it of its own addresses, where nobody else does, and by which name or address clients come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from router.cli.options import option
from router.cli.run_settings import RunSettings
from router.cli.types import AddressListType
from router.cluster.machine import Machine
from router.errors import SettingsError

if TYPE_CHECKING:
    from router.cli.cluster import Cluster

OWN_ADDRESSES = (
    option("--pod-ips", env="POD_IPS", type=AddressListType(), default="", show_default="none",
           help="Addresses of the pod that this process is in, with commas between."),
    option("--host-ips", env="HOST_IPS", type=AddressListType(), default="", show_default="none",
           help="Addresses of the node that this process is on, with commas between."),
)  # fmt: skip


def machine_of(options: RunSettings) -> Machine:
    """Make what knows the addresses of this process."""
    return Machine((*options.pod_ips, *options.host_ips), listens_everywhere=options.listens_everywhere)


def reached_by(options: RunSettings, cluster: Cluster | None) -> Callable[[], str | None]:
    """Give what says it: the name that an admin gave, else what the Service in front has; None is not known.

    Raises:
        SettingsError: there is to be such a Service, and no API server that has it.
    """
    if options.publish_service is not None and cluster is None:
        raise SettingsError("--publish-service needs an API server; with --manifests there is none")
    publishing = cluster.publishing if cluster is not None else None
    if publishing is None or options.canonical_hostname:
        return lambda: options.canonical_hostname
    return lambda: publishing.address or None

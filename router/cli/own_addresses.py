"""Where the router is: the options that tell it of its own addresses, where nobody else does, and by which name or address clients come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from router.cli.run_settings import RunSettings
from router.cluster.machine import Machine
from router.errors import SettingsError

if TYPE_CHECKING:
    from router.cli.cluster import Cluster


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

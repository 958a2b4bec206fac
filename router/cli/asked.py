"""What ``tcp-router run`` asks the API server for at once: all that it reads whole, where it follows all namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from router.kube.ahead import Ahead, paths
from router.kube.connection import Connection
from router.settings import KubeSettings

_SELECTS = ("namespaces", "namespace_selector", "route_selector")


@dataclass(frozen=True, slots=True)
class Server:
    """An API server."""

    connection: Connection
    ahead: Ahead | None
    """What gives the answers that it was asked for; None where it was asked for nothing."""


def ask(values: Mapping[str, Any], stack: ExitStack) -> Server:
    """Find the API server and ask it.

    Args:
        values: those of the options of ``run``.
        stack: what must be undone at the end goes there.

    Raises:
        SettingsError: there is no usable configuration.
    """
    connection = Connection.open(KubeSettings(kubeconfig=values["kubeconfig"], context=values["context"]))
    if any(values[name] for name in _SELECTS):
        return Server(connection, None)
    claims = "" if values["claims"] == "off" else values["lease_namespace"]
    ahead = Ahead(connection, paths(claims, slices=values["endpoints"] == "endpointslices"))
    stack.callback(ahead.close)
    return Server(connection, ahead)

"""Keep the limits of Routes and namespaces a share of what HAProxy really takes.

Where nobody sets ``maxconn`` HAProxy computes it from its file descriptors, at each load, and a configuration cannot name the
result. So a HAProxy that was loaded is asked for it, and told the shares.
"""

from __future__ import annotations

import structlog

from router.errors import HaproxyError
from router.haproxy.talk import runtime, stats
from router.plan.commands import limit_connections
from router.settings import ConnectionLimits, RenderSettings

log = structlog.get_logger()


class ConnectionLimiter:
    """Adjusts the newest worker.

    Args:
        settings: what stands in its configuration.
        timeout_s: seconds that each question or command may take.
    """

    def __init__(self, settings: RenderSettings, timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._in_force = settings.connection_limits
        self._problem = ""

    @property
    def in_force(self) -> ConnectionLimits:
        """The limits that the newest worker is known to have; any thread."""
        return self._in_force

    def loaded(self, stages: int = 1) -> None:
        """Adjust a worker that was just loaded. Where that fails, what its configuration says holds: nothing is the worse served.

        Args:
            stages: how many of its connections one of a client may be; the limits are of clients.
        """
        written = self._settings.connection_limits
        self._in_force = written
        try:
            takes = stats.info(self._settings.stats_socket, self._timeout_s).max_connections
            wanted = self._settings.limits_at(takes // stages)
            if wanted != written:
                runtime.run(self._settings.stats_socket, limit_connections(wanted), self._timeout_s)
                self._in_force = wanted
        except HaproxyError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning(
                    "limits of routes not adjusted",
                    problem=self._problem,
                    route=written.route,
                    namespace=written.namespace,
                )

"""The port pool: sections declared to HAProxy in advance, so that a Route is served without a reload; pure.

Each port of the pool is a frontend with a backend of its own, without servers, and kept closed. A Route that asks for nothing
out of the ordinary is served by it at once; the next reload, whenever it comes, gives the Route a section of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from router.admission.options import read_options
from router.model import NOBODY, Frontend, Model, RouteSection, Step, pool_backend_name, ports
from router.settings import MAX_PORT, PortRanges, RouteDefaults

EVERYBODY = ("0.0.0.0/0", "::/0")
"""The allowlist of a section of the pool, so that a Route's own can take its place."""


class PortPool:
    """The sections of the pool; the same objects from one configuration to the next.

    Args:
        wanted: the ports of the pool.
        sni_backends: how many Routes that are reached through shared ports only can be served without a reload.
        defaults: what a Route gets that asks for nothing.
    """

    def __init__(self, wanted: PortRanges, sni_backends: int, defaults: RouteDefaults) -> None:
        self._by_port = {
            port: _section(port, defaults)
            for port in sorted({port for low, high in wanted.ranges for port in range(low, high + 1)})
        }
        self._sni = tuple(_section(None, defaults, f"sni:{number}") for number in range(1, sni_backends + 1))

    def sections(self, model: Model, unavailable: Collection[int] = ()) -> tuple[RouteSection, ...]:
        """Give the sections to declare beside a model, sorted by port: those of ports that it does not use itself.

        Args:
            model: what shall be served.
            unavailable: ports that cannot be had.
        """
        if not self._by_port or Step.POOL in model.saved:
            return self._sni
        not_ours = ports(model) | set(unavailable)
        return (*(section for port, section in self._by_port.items() if port not in not_ours), *self._sni)


def allowlist_id(section: RouteSection) -> int:
    """Give the number by which HAProxy knows the allowlist of a section of the pool: its port, or for a place ``sni:1`` 65536."""
    if section.frontend is not None:
        return section.frontend.port
    return MAX_PORT + int(section.backend.name.rpartition(":")[2])


def _section(port: int | None, defaults: RouteDefaults, place: str = "") -> RouteSection:
    name = pool_backend_name(place or str(port))
    options = read_options({}, defaults, claims_port=True)
    return RouteSection(
        asker=NOBODY,
        backend=replace(options.backend, name=name, allowlist=EVERYBODY),
        frontend=Frontend(port, options.port) if port is not None else None,
    )

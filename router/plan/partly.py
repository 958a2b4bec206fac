"""What is served when all is done that needs no reload, while something waits for one; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter

from router.model import Model, RouteSection, SharedFrontend, SniHost, Spot


def partly(
    desired: Model,
    running: Model,
    kept: Mapping[str, RouteSection | None],
    kept_shared: Mapping[Spot, SharedFrontend | None],
    hosts: Mapping[Spot, tuple[SniHost, ...]],
) -> Model:
    """Give it.

    Args:
        desired: what shall be served.
        running: what is served.
        kept: Routes that wait, by their backends, and the sections by which they are served until then.
        kept_shared: the same for shared ports.
        hosts: of the shared ports that are there.
    """
    routes = {section.backend.name: section for section in desired.routes if section.backend.name not in kept}
    routes.update({name: section for name, section in kept.items() if section is not None})
    shared = {each.spot: each for each in desired.shared}
    for spot, there in kept_shared.items():
        if there is not None:
            shared[spot] = there
        else:
            del shared[spot]
    for spot, of_port in hosts.items():
        shared[spot] = replace(shared[spot], hosts=of_port)
    return Model(
        tuple(sorted(routes.values(), key=attrgetter("asker"))),
        tuple(shared[spot] for spot in sorted(shared)),
        running.pool,
        running.saved,
        desired.namespace_limits,
    )

"""What the next worker is told of the servers that the last one knew to be down: each by the section that it is in then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import structlog

from router.errors import HaproxyError
from router.haproxy.talk.server_states import NOTHING_DOWN, DownServers, NewServer, state_file
from router.model import Model
from router.model.stages import own_backend
from router.render import Renderer

log = structlog.get_logger()


class Asked(Protocol):
    """The last worker; HaproxyError is what it raises."""

    def down_servers(self) -> DownServers:
        """Give the servers that failed their checks."""


def handed_over(last: Asked, renderer: Renderer, full: Model, owners: Mapping[str, str]) -> bytes:
    """Give the file for a worker; where the last one does not say, it has nothing.

    Args:
        last: the last worker.
        renderer: the templates of the next.
        full: what the next one is loaded with.
        owners: by backend of the pool of the last one, the backend that whoever it served has now.
    """
    try:
        down = last.down_servers()
    except HaproxyError as error:
        log.warning("health of servers not handed over", problem=str(error))
        return NOTHING_DOWN
    if not down:
        return NOTHING_DOWN
    sections = {section.backend.name: section for section in full.routes}

    def becomes(backend: str, server: str, address: str) -> NewServer | None:
        name = owners.get(backend, backend)
        own = own_backend(name)
        text = renderer.text(sections[own]) if own in sections else None
        lines = (text.servers if own == name else text.apart) if text is not None else {}
        line = lines.get(server)
        if line is None or not line.is_checked or line.address != address:
            return None
        return NewServer(name, line.id, line.weight)

    return state_file(down, becomes)
